/* SPDX-License-Identifier: BSD-3-Clause
 * A string that grows. */
#ifndef IPP_CLI_TEXT_H
#define IPP_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Start it as {0}; `at` ends with a NUL once something was added, and is NULL before. Where memory
 * runs out the program ends: nothing useful can be done in a terminal then. */
struct text {
    char *at;
    size_t size, capacity;
};

void text_add(struct text *text, const void *bytes, size_t size);
void text_add_string(struct text *text, const char *string);
void text_print(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Removes the first `size` bytes. */
void text_drop(struct text *text, size_t size);
void text_clear(struct text *text);
/* The string, "" when it is empty. */
const char *text_string(const struct text *text);

/* Removes escape sequences of terminals (CSI and OSC) in place. */
void text_strip_escapes(char *string);

void *cli_realloc(void *old, size_t count, size_t size);
char *cli_strdup(const char *string);
/* printf into fresh memory. */
char *cli_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
