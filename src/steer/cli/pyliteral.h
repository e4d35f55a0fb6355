/* SPDX-License-Identifier: BSD-3-Clause
 * Literals of Python as the headers of .npy files have them: dicts, tuples, lists, strings, whole
 * numbers, True, False. */
#ifndef IPP_CLI_PYLITERAL_H
#define IPP_CLI_PYLITERAL_H

#include <jansson.h>
#include <stddef.h>

#include "steer/cli/text.h"

/* The literal in `size` bytes, white space around it allowed, as JSON (tuples become arrays); a new
 * reference. NULL for anything else. */
json_t *pyliteral_read(const char *at, size_t size);

/* Adds a dtype: a string, or a list of fields, which are tuples. */
void pyliteral_write_dtype(struct text *out, const json_t *dtype);

#endif
