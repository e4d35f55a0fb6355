/* SPDX-License-Identifier: BSD-3-Clause
 * Values on a command line and on the screen: JSON, or plain text. */
#include "steer/cli/value.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

json_t *value_parse(const char *text, ipp_err_t *err)
{
    json_error_t problem;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (!value && json_error_code(&problem) == json_error_numeric_overflow) {
        ipp_err(err, ERANGE,
                "'%.80s': numbers of more than 64 bits are not pushed: let the engines have them "
                "from ipp-steer exec 'NAME = ...'; text is put in double quotes",
                text);
        return NULL;
    }
    if (!value)
        value = json_string(text);
    if (!value)
        ipp_err(err, EINVAL, "'%s' is not UTF-8", text);
    return value;
}

bool value_is_name(const char *text, size_t length)
{
    if (length == 0 || isdigit((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!isalnum(c) && c != '_' && c < 128)
            return false;
    }
    return true;
}

bool value_split(const char *text, size_t *length)
{
    const char *equals = strchr(text, '=');
    *length = equals ? (size_t)(equals - text) : 0;
    if (!value_is_name(text, *length))
        return false;
    json_t *name = json_stringn(text, *length);
    json_decref(name);
    return name != NULL; /* NULL: not UTF-8 */
}

void value_print(struct text *out, const json_t *value)
{
    if (json_is_string(value)) {
        text_add(out, json_string_value(value), json_string_length(value));
    } else if (!value || json_is_null(value)) {
        text_add_string(out, "None");
    } else if (json_is_boolean(value)) {
        text_add_string(out, json_is_true(value) ? "True" : "False");
    } else {
        char *dump = json_dumps(value, JSON_ENCODE_ANY);
        text_add_string(out, dump ? dump : "?");
        free(dump);
    }
}
