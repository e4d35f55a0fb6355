/* SPDX-License-Identifier: BSD-3-Clause
 * A string that grows, and memory or the end. */
#include "steer/cli/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void no_memory(void)
{
    fputs("ipp-steer: out of memory\n", stderr);
    exit(1);
}

void *cli_realloc(void *old, size_t count, size_t size)
{
    void *memory = reallocarray(old, count > 0 ? count : 1, size);
    if (!memory)
        no_memory();
    return memory;
}

char *cli_strdup(const char *string)
{
    char *copy = strdup(string);
    if (!copy)
        no_memory();
    return copy;
}

static char *print_all(size_t *length, const char *format, va_list arguments)
{
    char *string;
    int size = vasprintf(&string, format, arguments);
    if (size < 0)
        no_memory();
    *length = (size_t)size;
    return string;
}

char *cli_format(const char *format, ...)
{
    size_t length;
    va_list arguments;
    va_start(arguments, format);
    char *string = print_all(&length, format, arguments);
    va_end(arguments);
    return string;
}

static void make_room(struct text *text, size_t more)
{
    if (more < text->capacity - text->size)
        return;
    text->capacity = (text->size + more + 1) * 2;
    text->at = cli_realloc(text->at, text->capacity, 1);
}

void text_add(struct text *text, const void *bytes, size_t size)
{
    make_room(text, size);
    if (size > 0)
        memcpy(text->at + text->size, bytes, size);
    text->size += size;
    text->at[text->size] = '\0';
}

void text_add_string(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_print(struct text *text, const char *format, ...)
{
    size_t length;
    va_list arguments;
    va_start(arguments, format);
    char *string = print_all(&length, format, arguments);
    va_end(arguments);
    text_add(text, string, length);
    free(string);
}

void text_drop(struct text *text, size_t size)
{
    if (size == 0)
        return;
    memmove(text->at, text->at + size, text->size - size + 1);
    text->size -= size;
}

void text_clear(struct text *text)
{
    free(text->at);
    *text = (struct text){ 0 };
}

const char *text_string(const struct text *text)
{
    return text->at ? text->at : "";
}

/* The end of the escape sequence at `at`. */
static const char *skip_escape(const char *at)
{
    if (at[1] == '[') {
        at += 2;
        while (*at && (*at < 0x40 || *at > 0x7e))
            at++;
        return *at ? at + 1 : at;
    }
    if (at[1] == ']') {
        at += 2;
        while (*at && *at != '\a' && !(at[0] == '\033' && at[1] == '\\'))
            at++;
        return *at == '\a' ? at + 1 : *at ? at + 2 : at;
    }
    return at[1] ? at + 2 : at + 1;
}

void text_strip_escapes(char *string)
{
    char *to = string;
    for (const char *from = string; *from;) {
        if (*from == '\033')
            from = skip_escape(from);
        else
            *to++ = *from++;
    }
    *to = '\0';
}
