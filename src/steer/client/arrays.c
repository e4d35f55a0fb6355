/* SPDX-License-Identifier: BSD-3-Clause
 * Arrays as they travel: bytes in C order beside their dtype and shape. */
#include "steer/client/client_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- sizes: -1 for what is no dtype of fixed size, or too large ---- */

static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product) ? -1 : product;
}

/* "<f8": byte order, kind, bytes; of U it is characters of 4 bytes. */
static int64_t plain_size(const char *dtype)
{
    const char *kind = dtype + (*dtype && strchr("<>|=", *dtype) ? 1 : 0);
    if (!*kind || !strchr("?biufcSUVmM", *kind))
        return -1;
    if (*kind == '?' && !kind[1])
        return 1;
    if (!isdigit((unsigned char)kind[1]))
        return -1;
    char *end;
    int64_t size = strtoll(kind + 1, &end, 10);
    bool unit = (*kind == 'm' || *kind == 'M') && *end == '['; /* "<M8[ns]" */
    if (*end && !unit)
        return -1;
    return *kind == 'U' ? times(size, 4) : times(size, 1);
}

static int64_t product_of(const json_t *shape)
{
    int64_t product = 1;
    size_t i;
    json_t *length;
    json_array_foreach(shape, i, length) product =
        json_is_integer(length) ? times(product, json_integer_value(length)) : -1;
    return product;
}

/* Fields stand one behind the other: [name, dtype] or [name, dtype, shape]. Their depth is that of
 * the JSON, which jansson bounds. */
static int64_t item_size(const json_t *dtype) /* NOLINT(misc-no-recursion) */
{
    int64_t size = 0;
    size_t i;
    json_t *field;
    if (json_is_string(dtype))
        return plain_size(json_string_value(dtype));
    if (!json_is_array(dtype))
        return -1;
    json_array_foreach(dtype, i, field)
    {
        const json_t *shape = json_array_get(field, 2);
        int64_t one = times(item_size(json_array_get(field, 1)),
                            json_is_integer(shape) ? json_integer_value(shape) : product_of(shape));
        if (one < 0 || __builtin_add_overflow(size, one, &size))
            return -1;
    }
    return size;
}

/* ---- push ---- */

static json_t *read_dtype(const char *dtype)
{
    return dtype[0] == '[' ? json_loads(dtype, 0, NULL) : json_string(dtype);
}

static json_t *shape_of(const ipp_array_t *array)
{
    json_t *shape = json_array();
    for (int i = 0; i < array->ndims; i++)
        json_array_append_new(shape, json_integer((json_int_t)array->shape[i]));
    return shape;
}

static int check_array(const ipp_array_t *array, const json_t *dtype, const json_t *shape,
                       ipp_err_t *err)
{
    int64_t item = item_size(dtype), bytes = times(item, product_of(shape));
    if (item < 0)
        return ipp_err(err, EINVAL, "dtype '%.100s' is none whose bytes can be sent", array->dtype);
    if (bytes < 0 || (uint64_t)bytes != array->bytes.size)
        return ipp_err(err, EINVAL, "the array has %zu bytes, its dtype and shape say %lld",
                       array->bytes.size, (long long)bytes);
    return 0;
}

static void release_now(const ipp_buffer_t *buffer)
{
    if (buffer->release)
        buffer->release((void *)(uintptr_t)buffer->data, buffer->arg);
}

ipp_future_t *ipp_steer_push(ipp_steer_t *steer, const char *targets, const char *name,
                             const ipp_array_t *array, ipp_error_t *err)
{
    json_t *dtype = read_dtype(array->dtype), *shape = shape_of(array);
    json_t *content = NULL;
    char *text = NULL;
    ipp_future_t *future = NULL;
    if (check_array(array, dtype, shape, inner(err)) == 0) {
        content = json_pack("{s:[{s:s, s:{s:O, s:O}}]}", "names", "name", name, "array", "dtype",
                            dtype, "shape", shape);
        text = content ? json_dumps(content, JSON_COMPACT) : NULL;
        if (!text)
            ipp_err(inner(err), EINVAL, "the name is not in UTF-8");
    }
    int saved_errno = errno;
    if (text) {
        ipp_request_t request = { .type = "push_request",
                                  .targets = targets,
                                  .content = text,
                                  .buffers = &array->bytes,
                                  .buffer_count = 1 };
        future = ipp_steer_send(steer, &request, err);
        saved_errno = errno;
    } else {
        release_now(&array->bytes);
    }
    free(text);
    json_decref(content);
    json_decref(dtype);
    json_decref(shape);
    errno = saved_errno;
    return future;
}

/* ---- what came back ---- */

static int no_data(ipp_err_t *err, const char *why)
{
    return ipp_err(err, ENODATA, "%s", why);
}

static int take_shape(struct answer *answer, const json_t *shape)
{
    size_t i;
    json_t *length;
    answer->shape = malloc((json_array_size(shape) + 1) * sizeof *answer->shape);
    if (!answer->shape)
        return -1;
    json_array_foreach(shape, i, length) answer->shape[i] = json_integer_value(length);
    answer->ndims = (int)json_array_size(shape);
    return 0;
}

/* Reads the description once, and keeps it with the answer. */
static int describe(struct answer *answer, ipp_err_t *err)
{
    json_t *content = json_loads(answer->shown.content, JSON_ALLOW_NUL, NULL);
    const json_t *array =
        json_object_get(json_array_get(json_object_get(content, "names"), 0), "array");
    const json_t *dtype = json_object_get(array, "dtype"), *shape = json_object_get(array, "shape");
    int result = -1;
    if (!array)
        no_data(err, "the value is no array");
    else if (!json_is_array(shape) || answer->shown.buffer_count != 1 ||
             times(item_size(dtype), product_of(shape)) != (int64_t)answer->shown.buffers[0].size)
        no_data(err, "the array's bytes are not what its dtype and shape say");
    else if (take_shape(answer, shape) < 0 ||
             !(answer->dtype = json_is_string(dtype) ? strdup(json_string_value(dtype))
                                                     : json_dumps(dtype, JSON_COMPACT)))
        ipp_err(err, ENOMEM, "no memory");
    else
        result = 0;
    int saved_errno = errno;
    if (result < 0) {
        free(answer->shape);
        answer->shape = NULL;
    }
    json_decref(content);
    errno = saved_errno;
    return result;
}

int ipp_answer_array(const ipp_answer_t *shown, ipp_array_t *array, ipp_error_t *err)
{
    struct answer *answer = (struct answer *)(uintptr_t)shown; /* its first member */
    if (shown->status != IPP_OK)
        return no_data(inner(err), "the answer is an error");
    if (!answer->dtype && describe(answer, inner(err)) < 0)
        return -1;
    *array = (ipp_array_t){ .dtype = answer->dtype,
                            .ndims = answer->ndims,
                            .shape = answer->shape,
                            .bytes = shown->buffers[0] };
    return 0;
}
