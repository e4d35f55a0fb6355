/* SPDX-License-Identifier: BSD-3-Clause
 * One item of an array. */
#ifndef IPP_CLI_ARRAY_ITEM_H
#define IPP_CLI_ARRAY_ITEM_H

#include <jansson.h>
#include <stdbool.h>

#include "steer/cli/text.h"

/* What an item is, from a dtype as in .npy files. */
struct array_item {
    char kind;    /* of numpy's letters b i u f c M m S U */
    int bytes;    /* of an item */
    bool swapped; /* not this machine's byte order */
    int multiple; /* of M and m: how many of `unit` a step is */
    char unit[8]; /* "D", "ns"; "": generic */
};

/* False for dtypes that are none of these: fields, long doubles. */
bool array_item_read(struct array_item *item, const json_t *dtype);
/* As Python's print shows it; `quoted`: as it stands in a list. */
void array_item_print(struct text *out, const struct array_item *item, const unsigned char *at,
                      bool quoted);
/* Numbers and text as JSON's; what JSON does not have as a string. A new reference. */
json_t *array_item_json(const struct array_item *item, const unsigned char *at);

#endif
