/* SPDX-License-Identifier: BSD-3-Clause
 * Arrays as text and as JSON, item by item. */
#include <inttypes.h>
#include <string.h>

#include "steer/cli/array_item.h"
#include "steer/cli/value.h"

#define SHOWN_MAX 1000 /* numpy's threshold and edgeitems */
#define EDGE ((int64_t)3)

/* ---- walking ---- */

static int64_t inner_items(const struct npy_array *array, int dim)
{
    int64_t items = 1;
    for (int i = dim + 1; i < array->ndims; i++)
        items *= array->shape[i];
    return items;
}

static json_t *nested(const struct npy_array *array, const struct array_item *item, int dim,
                      const unsigned char *at)
{
    if (dim == array->ndims)
        return array_item_json(item, at);
    json_t *list = json_array();
    const int64_t step = inner_items(array, dim) * item->bytes;
    for (int64_t i = 0; i < array->shape[dim]; i++)
        json_array_append_new(list, nested(array, item, dim + 1, at + i * step));
    return list;
}

bool array_is_shown(const struct npy_array *array)
{
    struct array_item item;
    return array_item_read(&item, array->dtype);
}

json_t *array_json(const struct npy_array *array)
{
    struct array_item item;
    if (!array_item_read(&item, array->dtype))
        return NULL;
    /* No items may still be any number of empty lists. */
    return inner_items(array, -1) == 0 ? json_array() : nested(array, &item, 0, array->data);
}

struct printer {
    struct text *out;
    const struct npy_array *array;
    struct array_item item;
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
        array_item_print(printer->out, &printer->item, at, printer->array->ndims > 0);
        return;
    }
    text_add_string(printer->out, "[");
    print_list(printer, dim, at);
    text_add_string(printer->out, "]");
}

static bool usual_dtype(const struct array_item *item)
{
    return strchr("bSU", item->kind) ||
           (strchr("ifc", item->kind) && item->bytes >= 8 && !item->swapped);
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
    if (!array_item_read(&printer.item, array->dtype)) {
        text_add_string(out, "<array ");
        array_describe(out, array);
        text_add_string(out, ">");
        return;
    }
    int64_t items = inner_items(array, -1);
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
