/* SPDX-License-Identifier: BSD-3-Clause
 * Values that came by name. */
#include "steer/cli/pulled.h"

#include <errno.h>

#include "steer/cli/value.h"
#include "wire/wire.h"

static bool read_array(struct pulled *pulled, const json_t *told, const ipp_answer_t *answer)
{
    size_t index;
    json_t *extent, *shape = json_object_get(told, "shape");
    struct npy_array *array = &pulled->array;
    if (!json_is_array(shape) || json_array_size(shape) > NPY_DIMS_MAX || answer->buffer_count < 1)
        return false;
    array->dtype = json_object_get(told, "dtype");
    array->ndims = (int)json_array_size(shape);
    json_array_foreach(shape, index, extent)
    {
        array->shape[index] = json_integer_value(extent);
    }
    array->data = answer->buffers[0].data;
    pulled->scalar = json_is_true(json_object_get(told, "scalar"));
    return npy_measure(array, NULL) == 0 && array->size == answer->buffers[0].size;
}

void pulled_read(struct pulled *pulled, const ipp_answer_t *answer)
{
    *pulled = (struct pulled){ 0 };
    if (answer->status != IPP_OK)
        return;
    json_t *content = answer_content(answer);
    pulled->entry = json_incref(json_array_get(json_object_get(content, "names"), 0));
    json_decref(content);
    const json_t *array = json_object_get(pulled->entry, "array");
    pulled->value = json_object_get(pulled->entry, "json");
    if (array)
        pulled->kind = read_array(pulled, array, answer) ? PULLED_ARRAY : PULLED_NOTHING;
    else if (pulled->value)
        pulled->kind = PULLED_JSON;
    else if (json_object_get(pulled->entry, "pickle"))
        pulled->kind = PULLED_PICKLE;
}

void pulled_clear(struct pulled *pulled)
{
    json_decref(pulled->entry);
    *pulled = (struct pulled){ 0 };
}

void pulled_print(struct text *out, const struct pulled *pulled)
{
    if (pulled->kind == PULLED_ARRAY)
        array_print(out, &pulled->array);
    else if (pulled->kind == PULLED_JSON)
        value_print(out, pulled->value);
    else if (pulled->kind == PULLED_PICKLE)
        text_print(out, "<an object of Python %s's>",
                   wire_json_string(json_object_get(pulled->entry, "pickle"), "python", ""));
}

void pulled_json(json_t *object, const struct pulled *pulled)
{
    struct text text = { 0 };
    json_t *value = NULL, *shape = json_array();
    if (pulled->kind == PULLED_JSON) {
        value = json_incref(pulled->value);
    } else if (pulled->kind == PULLED_ARRAY) {
        value = array_json(&pulled->array);
        json_object_set(object, "dtype", pulled->array.dtype);
        for (int i = 0; i < pulled->array.ndims; i++)
            json_array_append_new(shape, json_integer(pulled->array.shape[i]));
        json_object_set(object, "shape", shape);
    }
    json_decref(shape);
    if (!value && pulled->kind != PULLED_NOTHING) {
        pulled_print(&text, pulled);
        json_object_set_new(object, "text", json_string(text_string(&text)));
    } else if (value) {
        json_object_set_new(object, "value", value);
    }
    text_clear(&text);
}
