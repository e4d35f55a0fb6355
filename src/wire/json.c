/* SPDX-License-Identifier: BSD-3-Clause
 * JSON objects in frames. */
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The parser's text quotes what a peer sent: nothing of it may move a terminal or break the line.
 * Where memory ends it has none. */
static int bad_json(ipp_err_t *err, json_error_t *error)
{
    if (!error->text[0])
        return ipp_err(err, ENOMEM, "out of memory");
    for (char *c = error->text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return ipp_err(err, EBADMSG, "byte %d: %s", error->position, error->text);
}

/* Duplicate keys are let in: here as in Python's json the last one counts, so nobody is misled. NUL
 * is let in because source code may hold it; who reads strings minds their length (wire_json_string
 * does). */
json_t *wire_json_read(ipp_frame_t *frame, ipp_err_t *err)
{
    json_error_t error;
    json_t *value =
        json_loadb(ipp_frame_data(frame), ipp_frame_size(frame), JSON_ALLOW_NUL, &error);
    if (!value) {
        bad_json(err, &error);
        return NULL;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        ipp_err(err, EBADMSG, "not a JSON object");
        return NULL;
    }
    return value;
}

static void free_text(void *text, void *arg)
{
    (void)arg;
    free(text);
}

ipp_frame_t *wire_json_frame(const json_t *value)
{
    if (!json_is_object(value) && !json_is_array(value)) {
        errno = EINVAL;
        return NULL;
    }
    char *text = json_dumps(value, JSON_COMPACT);
    ipp_frame_t *frame = text ? ipp_frame_adopt(text, strlen(text), free_text, NULL) : NULL;
    if (!frame) {
        free(text);
        errno = ENOMEM;
    }
    return frame;
}

ipp_frame_t *wire_json_frame_new(json_t *value)
{
    ipp_frame_t *frame = wire_json_frame(value);
    int saved_errno = errno;
    json_decref(value);
    errno = saved_errno;
    return frame;
}

int wire_json_write(const char *path, const json_t *value, ipp_err_t *err)
{
    char *text = json_dumps(value, JSON_INDENT(2));
    if (!text)
        return ipp_err(err, EINVAL, "cannot write %s: a text is not in UTF-8, or no memory", path);
    int result = ipp_private_write(path, text, err);
    int saved_errno = errno;
    free(text);
    errno = saved_errno;
    return result;
}

const char *wire_json_string(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : fallback;
}
