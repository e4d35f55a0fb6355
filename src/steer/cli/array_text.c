/* SPDX-License-Identifier: BSD-3-Clause
 * Arrays as text and as JSON: numbers in machine formats, of either byte order. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/value.h"

#define SHOWN_MAX 1000 /* numpy's threshold and edgeitems */
#define EDGE ((int64_t)3)

/* What one item is: a letter of numpy's and the bytes of one number. */
struct item {
    char kind;
    int bytes;
    bool swapped;
};

static bool known_size(char kind, int bytes)
{
    switch (kind) {
    case 'b':
        return bytes == 1;
    case 'i':
    case 'u':
        return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
    case 'f':
        return bytes == 2 || bytes == 4 || bytes == 8;
    case 'c':
        return bytes == 8 || bytes == 16;
    default:
        return false;
    }
}

static bool read_item(struct item *item, const json_t *dtype)
{
    const char *text = json_string_value(dtype);
    char order, rest;
    if (!text || sscanf(text, "%c%c%d%c", &order, &item->kind, &item->bytes, &rest) != 3)
        return false;
    item->swapped =
        (order == '>') != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) && order != '=' && order != '|';
    return known_size(item->kind, item->bytes);
}

static uint64_t load(const unsigned char *at, int bytes, bool swapped)
{
    uint64_t value = 0;
    bool big = swapped != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * (big ? bytes - 1 - i : i);
    return value;
}

static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                                    : ldexp(fraction + 1024, exponent - 25);
    return bits >> 15 ? -value : value;
}

static double load_float(const unsigned char *at, int bytes, bool swapped)
{
    uint64_t bits = load(at, bytes, swapped);
    double wide;
    float narrow;
    uint32_t low = (uint32_t)bits;
    if (bytes == 2)
        return half_value((uint16_t)bits);
    if (bytes == 4) {
        memcpy(&narrow, &low, sizeof narrow);
        return (double)narrow;
    }
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

/* Whether a number of `bytes` bytes is read back from digits that mean `back`. */
static bool same(double back, double value, int bytes)
{
    int exponent;
    if (bytes != 2)
        return bytes == 8 ? back == value : (float)back == (float)value;
    frexp(value, &exponent); /* halves lie 2^(exponent - 11) apart, small ones 2^-24 */
    return fabs(back - value) < ldexp(0.5, exponent > -13 ? exponent - 11 : -24);
}

/* The shortest digits that give the same number of that size again. */
static void print_float(struct text *out, double value, int bytes)
{
    char digits[40];
    if (isnan(value) || isinf(value)) {
        text_add_string(out, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    int precision = bytes == 8 ? 15 : bytes == 4 ? 6 : 1;
    do
        snprintf(digits, sizeof digits, "%.*g", precision++, value);
    while (precision <= 17 && !same(strtod(digits, NULL), value, bytes));
    text_add_string(out, digits);
    if (!strpbrk(digits, ".e"))
        text_add_string(out, ".0");
}

static int64_t load_signed(const unsigned char *at, const struct item *item)
{
    uint64_t bits = load(at, item->bytes, item->swapped);
    int unused = 64 - 8 * item->bytes;
    return (int64_t)(bits << unused) >> unused;
}

static void print_complex(struct text *out, const unsigned char *at, const struct item *item)
{
    int half = item->bytes / 2;
    double imaginary = load_float(at + half, half, item->swapped);
    print_float(out, load_float(at, half, item->swapped), half);
    if (!signbit(imaginary) || isnan(imaginary))
        text_add_string(out, "+");
    print_float(out, imaginary, half);
    text_add_string(out, "j");
}

static void print_item(struct text *out, const unsigned char *at, const struct item *item)
{
    switch (item->kind) {
    case 'b':
        text_add_string(out, *at ? "True" : "False");
        break;
    case 'i':
        text_print(out, "%" PRId64, load_signed(at, item));
        break;
    case 'u':
        text_print(out, "%" PRIu64, load(at, item->bytes, item->swapped));
        break;
    case 'f':
        print_float(out, load_float(at, item->bytes, item->swapped), item->bytes);
        break;
    default:
        print_complex(out, at, item);
        break;
    }
}

static json_t *item_json(const unsigned char *at, const struct item *item)
{
    struct text text = { 0 };
    double value = item->kind == 'f' ? load_float(at, item->bytes, item->swapped) : 0;
    if (item->kind == 'b')
        return json_boolean(*at);
    if (item->kind == 'i')
        return json_integer(load_signed(at, item));
    if (item->kind == 'u' && load(at, item->bytes, item->swapped) <= INT64_MAX)
        return json_integer((json_int_t)load(at, item->bytes, item->swapped));
    if (item->kind == 'f' && !isnan(value) && !isinf(value))
        return json_real(value);
    print_item(&text, at, item);
    json_t *string = json_string(text_string(&text));
    text_clear(&text);
    return string;
}

/* ---- walking ---- */

static int64_t inner_items(const struct npy_array *array, int dim)
{
    int64_t items = 1;
    for (int i = dim + 1; i < array->ndims; i++)
        items *= array->shape[i];
    return items;
}

static json_t *nested(const struct npy_array *array, const struct item *item, int dim,
                      const unsigned char *at)
{
    if (dim == array->ndims)
        return item_json(at, item);
    json_t *list = json_array();
    const int64_t step = inner_items(array, dim) * item->bytes;
    for (int64_t i = 0; i < array->shape[dim]; i++)
        json_array_append_new(list, nested(array, item, dim + 1, at + i * step));
    return list;
}

json_t *array_json(const struct npy_array *array)
{
    struct item item;
    if (!read_item(&item, array->dtype))
        return NULL;
    /* No items may still be any number of empty lists. */
    return array->size == 0 ? json_array() : nested(array, &item, 0, array->data);
}

struct printer {
    struct text *out;
    const struct npy_array *array;
    struct item item;
    bool cut;
};

static void print_nested(struct printer *printer, int dim, const unsigned char *at);

static void print_between(struct printer *printer, int dim)
{
    bool last = dim == printer->array->ndims - 1;
    text_print(printer->out, last ? ", " : ",\n%*s", last ? 0 : dim + 1, "");
}

static void print_list(struct printer *printer, int dim, const unsigned char *at)
{
    const int64_t count = printer->array->shape[dim];
    const int64_t step = inner_items(printer->array, dim) * printer->item.bytes;
    for (int64_t i = 0; i < count; i++) {
        if (i > 0)
            print_between(printer, dim);
        if (printer->cut && count > 2 * EDGE && i == EDGE) {
            text_add_string(printer->out, "...");
            print_between(printer, dim);
            i = count - EDGE;
        }
        print_nested(printer, dim + 1, at + i * step);
    }
}

static void print_nested(struct printer *printer, int dim, const unsigned char *at)
{
    if (dim == printer->array->ndims) {
        print_item(printer->out, at, &printer->item);
        return;
    }
    text_add_string(printer->out, "[");
    print_list(printer, dim, at);
    text_add_string(printer->out, "]");
}

static bool usual_dtype(const struct item *item)
{
    return item->kind == 'b' || (strchr("ifc", item->kind) && item->bytes >= 8 && !item->swapped);
}

void array_describe(struct text *out, const struct npy_array *array)
{
    value_print(out, array->dtype);
    text_add_string(out, " (");
    for (int i = 0; i < array->ndims; i++)
        text_print(out, "%s%" PRId64, i > 0 ? ", " : "", array->shape[i]);
    text_add_string(out, array->ndims == 1 ? ",)" : ")");
}

void array_print(struct text *out, const struct npy_array *array)
{
    struct printer printer = { .out = out, .array = array };
    if (!read_item(&printer.item, array->dtype)) {
        text_add_string(out, "<array ");
        array_describe(out, array);
        text_add_string(out, ">");
        return;
    }
    int64_t items = (int64_t)array->size / printer.item.bytes;
    printer.cut = items > SHOWN_MAX;
    if (items > 0)
        print_nested(&printer, 0, array->data);
    else
        text_add_string(out, "[]");
    if (array->ndims > 0 && (printer.cut || items == 0 || !usual_dtype(&printer.item))) {
        text_add_string(out, "  # ");
        array_describe(out, array);
    }
}
