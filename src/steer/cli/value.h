/* SPDX-License-Identifier: BSD-3-Clause
 * Values on a command line and on the screen: JSON, or plain text; arrays as text. */
#ifndef IPP_CLI_VALUE_H
#define IPP_CLI_VALUE_H

#include <jansson.h>

#include "base/base.h"
#include "steer/cli/npy.h"
#include "steer/cli/text.h"

/* JSON when `text` is JSON ("3", "[1, 2]", "\"3\"", "null"), else the string itself. A new
 * reference; NULL with a text: EINVAL it is not UTF-8, ERANGE a number does not fit into 64 bits.
 */
json_t *value_parse(const char *text, ipp_err_t *err);

/* NAME=VALUE: true when `text` begins with a name of Python's and '='; *length of the name. */
bool value_split(const char *text, size_t *length);
/* Whether `text` is a name as Python has them. What is beyond ASCII may be one. */
bool value_is_name(const char *text, size_t length);

/* As Python's print shows it: strings as they are, None, True; lists and objects as JSON. */
void value_print(struct text *out, const json_t *value);

/* Whether the two below can show items of its dtype: numbers, truth values, dates, text. */
bool array_is_shown(const struct npy_array *array);
/* All of an array as nested lists; dates, and numbers that JSON does not have (nan, complex ones),
 * as strings. NULL when its items cannot be shown; [] whenever there are none. */
json_t *array_json(const struct npy_array *array);
/* An array as numpy shows it: what has more than 1000 items is cut. Arrays of other dtypes are only
 * described. */
void array_print(struct text *out, const struct npy_array *array);
/* "float64"-like is numpy's business: dtype and shape, "<f8 (3, 4)". */
void array_describe(struct text *out, const struct npy_array *array);

#endif
