/* SPDX-License-Identifier: BSD-3-Clause
 * The header of .npy files: a magic word, a version, a length, and a literal of Python's, which
 * pyliteral.c reads. Format: numpy's documentation, numpy.lib.format. */
#include "steer/cli/npy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/pyliteral.h"
#include "steer/cli/text.h"

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define PREFIX_BYTES 10 /* magic, version and length of version 1 */
#define ALIGNMENT 64
#define HEADER_MAX (1 << 20)
#define FIELDS_DEPTH_MAX 16

/* ---- dtypes ---- */

static int64_t bad_dtype(ipp_err_t *err, const char *dtype)
{
    return ipp_err(err, EINVAL, "'%.40s' is no dtype of numpy's", dtype);
}

/* Bytes of a unit of `kind`; the number behind the letter counts them. 0: no such kind. */
static int64_t unit_bytes(char kind)
{
    if (kind == 'U')
        return 4;
    return kind && strchr("biufcSVaMm", kind) ? 1 : 0;
}

static int64_t plain_bytes(const char *dtype, ipp_err_t *err)
{
    const char *at = dtype + (dtype[0] && strchr("<>|=", dtype[0]) ? 1 : 0);
    if (*at == 'O')
        return ipp_err(err, ENOTSUP,
                       "its dtype is object: only plain numbers and text travel as arrays");
    int64_t unit = unit_bytes(*at);
    if (unit == 0 || at[1] < '0' || at[1] > '9')
        return bad_dtype(err, dtype);
    int64_t count = 0, bytes;
    for (at++; *at >= '0' && *at <= '9' && count < INT32_MAX; at++)
        count = count * 10 + (*at - '0');
    bool dated = *at == '[' && strchr(at, ']') && !strchr(at, ']')[1];
    if ((*at && !dated) || __builtin_mul_overflow(unit, count, &bytes))
        return bad_dtype(err, dtype);
    return bytes;
}

static int64_t item_bytes(const json_t *dtype, int depth, ipp_err_t *err);

/* Items of a field's shape: a number or a list of them. */
static int64_t field_items(const json_t *shape)
{
    int64_t items = 1;
    size_t index;
    json_t *extent;
    if (!shape)
        return 1;
    if (json_is_integer(shape))
        return json_integer_value(shape);
    if (!json_is_array(shape))
        return -1;
    json_array_foreach((json_t *)shape, index, extent)
    {
        int64_t value = json_is_integer(extent) ? json_integer_value(extent) : -1;
        if (value < 0 || __builtin_mul_overflow(items, value, &items))
            return -1;
    }
    return items;
}

/* A name, or a title and a name. */
static bool names_field(const json_t *name)
{
    return json_is_string(name) ||
           (json_array_size(name) == 2 && json_is_string(json_array_get(name, 0)) &&
            json_is_string(json_array_get(name, 1)));
}

static int64_t field_bytes(const json_t *field, int depth, ipp_err_t *err)
{
    if (!json_is_array(field) || json_array_size(field) < 2 || json_array_size(field) > 3 ||
        !names_field(json_array_get(field, 0)))
        return ipp_err(err, EINVAL, "a field of its dtype is not a name, a dtype and a shape");
    int64_t each = item_bytes(json_array_get(field, 1), depth + 1, err), bytes;
    int64_t items = field_items(json_array_get(field, 2));
    if (each < 0)
        return -1;
    if (items < 0 || __builtin_mul_overflow(each, items, &bytes))
        return ipp_err(err, EINVAL, "a field of its dtype has no sensible shape");
    return bytes;
}

static int64_t item_bytes(const json_t *dtype, int depth, ipp_err_t *err)
{
    int64_t total = 0;
    size_t index;
    json_t *field;
    if (json_is_string(dtype) && strlen(json_string_value(dtype)) == json_string_length(dtype))
        return plain_bytes(json_string_value(dtype), err);
    if (!json_is_array(dtype) || json_array_size(dtype) == 0 || depth > FIELDS_DEPTH_MAX)
        return ipp_err(err, EINVAL, "its dtype is neither a word nor a list of fields");
    json_array_foreach((json_t *)dtype, index, field)
    {
        int64_t bytes = field_bytes(field, depth, err);
        if (bytes < 0)
            return -1;
        if (__builtin_add_overflow(total, bytes, &total))
            return ipp_err(err, EINVAL, "its dtype is too large");
    }
    return total;
}

int64_t npy_item_bytes(const json_t *dtype, ipp_err_t *err)
{
    return item_bytes(dtype, 0, err);
}

int npy_measure(struct npy_array *array, ipp_err_t *err)
{
    int64_t bytes = npy_item_bytes(array->dtype, err);
    if (bytes < 0)
        return -1;
    for (int i = 0; i < array->ndims; i++)
        if (array->shape[i] < 0 || __builtin_mul_overflow(bytes, array->shape[i], &bytes))
            return ipp_err(err, EOVERFLOW, "its shape is larger than any memory");
    array->size = (size_t)bytes;
    return 0;
}

/* ---- reading ---- */

static int read_shape(struct npy_array *array, const json_t *shape, ipp_err_t *err)
{
    size_t index;
    json_t *extent;
    if (!json_is_array(shape) || json_array_size(shape) > NPY_DIMS_MAX)
        return ipp_err(err, EBADMSG, "its shape is not a tuple of up to %d numbers", NPY_DIMS_MAX);
    array->ndims = (int)json_array_size(shape);
    json_array_foreach((json_t *)shape, index, extent)
    {
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return ipp_err(err, EBADMSG, "its shape is not a tuple of numbers");
        array->shape[index] = json_integer_value(extent);
    }
    return 0;
}

static int read_dict(struct npy_array *array, const json_t *dict, ipp_err_t *err)
{
    json_t *fortran = json_object_get(dict, "fortran_order");
    array->dtype = json_object_get(dict, "descr");
    if (!array->dtype || !json_is_boolean(fortran))
        return ipp_err(err, EBADMSG, "its header lacks descr or fortran_order");
    if (read_shape(array, json_object_get(dict, "shape"), err) < 0 || npy_measure(array, err) < 0)
        return -1;
    /* With one dimension, or none, both orders are the same. */
    if (json_is_true(fortran) && array->ndims > 1)
        return ipp_err(err, ENOTSUP,
                       "it is in Fortran order: save numpy.ascontiguousarray(array) instead");
    return 0;
}

/* Where the literal begins, and its length; -1 with a text. */
static int find_literal(const unsigned char *bytes, size_t size, size_t *begin, size_t *length,
                        ipp_err_t *err)
{
    if (size < PREFIX_BYTES || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0)
        return ipp_err(err, EBADMSG, "it is no .npy file");
    if (bytes[6] < 1 || bytes[6] > 3)
        return ipp_err(err, ENOTSUP, "it is a .npy file of version %d.%d, and 1 to 3 are known",
                       bytes[6], bytes[7]);
    *begin = bytes[6] == 1 ? PREFIX_BYTES : PREFIX_BYTES + 2;
    *length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1 && size >= *begin)
        *length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (size < *begin || *length > size - *begin || *length > HEADER_MAX)
        return ipp_err(err, EBADMSG, "it is cut off in the middle of its header");
    return 0;
}

int npy_parse(struct npy_array *array, const void *bytes, size_t size, ipp_err_t *err)
{
    struct npy_array read = { 0 };
    size_t begin = 0, length = 0;
    if (find_literal(bytes, size, &begin, &length, err) < 0)
        return -1;
    json_t *dict = pyliteral_read((const char *)bytes + begin, length);
    if (!json_is_object(dict)) {
        json_decref(dict);
        return ipp_err(err, EBADMSG, "its header is not a dict");
    }
    int result = read_dict(&read, dict, err);
    if (result == 0 && read.size > size - begin - length)
        result = ipp_err(err, EBADMSG, "it is cut off: %zu bytes of data, and its shape needs %zu",
                         size - begin - length, read.size);
    if (result == 0) {
        json_incref(read.dtype);
        read.data = (const char *)bytes + begin + length;
        *array = read;
    }
    int saved_errno = errno;
    json_decref(dict);
    errno = saved_errno;
    return result;
}

/* ---- writing ---- */

/* The dict as numpy writes it, keys in order, a comma at the end. */
static void print_dict(struct text *out, const struct npy_array *array)
{
    text_add_string(out, "{'descr': ");
    pyliteral_write_dtype(out, array->dtype);
    text_add_string(out, ", 'fortran_order': False, 'shape': (");
    for (int i = 0; i < array->ndims; i++)
        text_print(out, "%s%lld", i > 0 ? ", " : "", (long long)array->shape[i]);
    text_print(out, "%s), }", array->ndims == 1 ? "," : "");
}

static bool is_ascii(const struct text *text)
{
    for (size_t i = 0; i < text->size; i++)
        if ((unsigned char)text->at[i] > 127)
            return false;
    return true;
}

char *npy_header(const struct npy_array *array, size_t *size, ipp_err_t *err)
{
    struct text dict = { 0 };
    if (npy_item_bytes(array->dtype, err) < 0)
        return NULL;
    print_dict(&dict, array);
    /* Version 3 is UTF-8; 2 has a longer length than 1. */
    int version = !is_ascii(&dict) ? 3 : dict.size + ALIGNMENT > UINT16_MAX ? 2 : 1;
    size_t begin = version == 1 ? PREFIX_BYTES : PREFIX_BYTES + 2;
    size_t whole = (begin + dict.size + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t length = whole - begin;
    unsigned char *header = cli_realloc(NULL, whole, 1);
    memset(header, ' ', whole);
    memcpy(header, MAGIC, MAGIC_BYTES);
    header[6] = (unsigned char)version;
    header[7] = 0;
    for (size_t i = 8; i < begin; i++)
        header[i] = (unsigned char)(length >> (i - 8) * 8);
    memcpy(header + begin, dict.at, dict.size);
    header[whole - 1] = '\n';
    text_clear(&dict);
    *size = whole;
    return (char *)header;
}
