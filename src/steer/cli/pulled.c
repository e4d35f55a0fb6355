/* SPDX-License-Identifier: BSD-3-Clause
 * Values that came by name. */
#include "steer/cli/pulled.h"

#include <errno.h>
#include <stdlib.h>

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
    pulled->content = answer_content(answer);
    pulled->entry = json_array_get(json_object_get(pulled->content, "names"), 0);
    pulled->shown = json_object_get(pulled->content, "shown");
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
    json_decref(pulled->content);
    *pulled = (struct pulled){ 0 };
}

bool pulled_wants_python(const struct pulled *pulled)
{
    return pulled->kind == PULLED_PICKLE ||
           (pulled->kind == PULLED_ARRAY && !array_is_shown(&pulled->array));
}

void pulled_print(struct text *out, const struct pulled *pulled)
{
    if (pulled->shown)
        text_add_string(out, code_value_text(pulled->shown));
    else if (pulled->kind == PULLED_ARRAY)
        array_print(out, &pulled->array);
    else if (pulled->kind == PULLED_JSON)
        value_print(out, pulled->value);
    else if (pulled->kind == PULLED_PICKLE)
        text_print(out, "<an object of Python %s's>",
                   wire_json_string(json_object_get(pulled->entry, "pickle"), "python", ""));
}

static void add_kind(json_t *object, const struct npy_array *array)
{
    json_t *shape = json_array();
    for (int i = 0; i < array->ndims; i++)
        json_array_append_new(shape, json_integer(array->shape[i]));
    json_object_set(object, "dtype", array->dtype);
    json_object_set_new(object, "shape", shape);
}

void pulled_describe(json_t *object, const struct pulled *pulled)
{
    if (pulled->kind == PULLED_ARRAY)
        add_kind(object, &pulled->array);
}

void pulled_json(json_t *object, const struct pulled *pulled)
{
    struct text text = { 0 };
    json_t *value = NULL;
    pulled_describe(object, pulled);
    if (pulled->shown) {
        code_value_json(object, pulled->shown);
        return;
    }
    if (pulled->kind == PULLED_JSON)
        value = json_incref(pulled->value);
    else if (pulled->kind == PULLED_ARRAY)
        value = array_json(&pulled->array);
    if (value) {
        json_object_set_new(object, "value", value);
    } else if (pulled->kind != PULLED_NOTHING) {
        pulled_print(&text, pulled);
        json_object_set_new(object, "text", json_stringn(text_string(&text), text.size));
    }
    text_clear(&text);
}

/* ---- what only Python can show ---- */

char *pulled_wanting_python(const struct job *job)
{
    struct text ids = { 0 };
    size_t count = ipp_future_count(job->future);
    for (size_t i = 0; i < count; i++) {
        struct pulled pulled;
        const ipp_answer_t *answer = ipp_future_answer(job->future, i);
        pulled_read(&pulled, answer);
        if (pulled_wants_python(&pulled))
            text_print(&ids, "%s%d", ids.size > 0 ? "," : "", answer->engine);
        pulled_clear(&pulled);
    }
    text_add_string(&ids, "");
    return ids.at;
}

int pulled_ask(struct cli *cli, const char *targets, json_t *texts)
{
    struct job job = { .cli = cli, .targets = targets, .runs_code = true };
    char *value = code_call("evaluate", json_pack("[s]", cli->argv[0]));
    int code = job_run(&job, "engines", "execute_request", code_content("", true, false, value));
    size_t count = code == CLI_OK ? ipp_future_count(job.future) : 0;
    for (size_t i = 0; i < count; i++) {
        const ipp_answer_t *answer = ipp_future_answer(job.future, i);
        json_t *content = answer_content(answer);
        const json_t *bundle = code_value(content);
        char key[16];
        snprintf(key, sizeof key, "%d", answer->engine);
        if (bundle)
            json_object_set(texts, key, (json_t *)bundle);
        json_decref(content);
    }
    free(value);
    job_clear(&job);
    return code;
}
