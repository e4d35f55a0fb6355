/* SPDX-License-Identifier: BSD-3-Clause
 * Names for the tab key, from the engines. */
#include <string.h>

#include "steer/cli/connect.h"

#define LIMIT_MS 700 /* an engine that is busy does not answer, and the user waits */

json_t *complete_ask(struct talk *talk, const char *code, size_t cursor)
{
    json_t *content = json_pack("{s:s,s:I}", "code", code, "cursor_pos", (json_int_t)cursor);
    return content ? talk_ask_soon(talk, "complete_request", content, LIMIT_MS) : NULL;
}

size_t complete_characters(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

size_t complete_common(const json_t *matches)
{
    size_t index, common = 0;
    json_t *match;
    const char *first = NULL;
    json_array_foreach((json_t *)matches, index, match)
    {
        const char *text = json_is_string(match) ? json_string_value(match) : "";
        if (!first) {
            first = text;
            common = strlen(text);
        }
        size_t i = 0;
        while (i < common && text[i] == first[i])
            i++;
        common = i;
    }
    /* Not in the middle of a character. */
    while (common > 0 && first && ((unsigned char)first[common] & 0xc0) == 0x80)
        common--;
    return common;
}
