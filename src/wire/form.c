/* SPDX-License-Identifier: BSD-3-Clause
 * Forms: JSON objects that are written once, by jansson, and filled in often. */
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct wire_form {
    char *text;
    size_t size, blanks;
    size_t at[]; /* where each blank is in the text */
};

/* Where the blanks are in the text of `object`, whose first members they are; -1: they are not. */
static int find_blanks(wire_form_t *form, json_t *object)
{
    const char *key;
    json_t *unused;
    size_t found = 0, at = strlen("{");
    json_object_foreach(object, key, unused)
    {
        if (found == form->blanks)
            break;
        char member[64];
        int length = snprintf(member, sizeof member, "\"%s\":\"\"", key);
        if (length >= (int)sizeof member || strncmp(form->text + at, member, (size_t)length) != 0)
            break;
        form->at[found++] = at + (size_t)length - strlen("\"");
        at += (size_t)length + strlen(",");
    }
    return found == form->blanks ? 0 : -1;
}

wire_form_t *wire_form_create(json_t *object, size_t blanks)
{
    wire_form_t *form = calloc(1, sizeof *form + blanks * sizeof form->at[0]);
    if (!form) {
        json_decref(object);
        errno = ENOMEM;
        return NULL;
    }
    form->blanks = blanks;
    form->text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    form->size = form->text ? strlen(form->text) : 0;
    if (!form->text || find_blanks(form, object) < 0) {
        wire_form_destroy(form);
        form = NULL;
        errno = EINVAL;
    }
    json_decref(object);
    return form;
}

void wire_form_destroy(wire_form_t *form)
{
    if (!form)
        return;
    int saved_errno = errno;
    free(form->text);
    free(form);
    errno = saved_errno;
}

static char *append(char *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

ipp_frame_t *wire_form_fill(const wire_form_t *form, const struct wire_slice *values)
{
    size_t size = form->size, from = 0;
    for (size_t i = 0; i < form->blanks; i++)
        size += values[i].size;
    ipp_frame_t *frame = ipp_frame_alloc(size);
    if (!frame)
        return NULL;
    char *to = ipp_frame_data(frame);
    for (size_t i = 0; i < form->blanks; from = form->at[i++]) {
        to = append(to, form->text + from, form->at[i] - from);
        to = append(to, values[i].data, values[i].size);
    }
    append(to, form->text + from, form->size - from);
    return frame;
}
