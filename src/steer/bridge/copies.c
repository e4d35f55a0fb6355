/* SPDX-License-Identifier: BSD-3-Clause
 * Which answers a client waits for when its broadcast never reaches the engines. */
#include <string.h>

#include "steer/bridge/bridge_private.h"

json_t *copies_awaited(const json_t *metadata)
{
    size_t i;
    json_t *item, *names = json_object();
    if (json_is_true(json_object_get(metadata, "is_coalescing")))
        return names;
    json_array_foreach(json_object_get(metadata, "targets"), i, item)
    {
        json_t *name = json_array_get(item, 0);
        const char *text = json_string_value(name);
        if (text && strlen(text) == json_string_length(name))
            json_object_set_new(names, text, json_null());
    }
    return names;
}
