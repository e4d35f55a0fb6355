/* SPDX-License-Identifier: BSD-3-Clause
 * Literals of Python as the headers of .npy files have them. */
#include "steer/cli/pyliteral.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 32

struct reader {
    const char *at, *end;
    int depth;
};

static json_t *read_value(struct reader *reader);

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at)
        reader->at++;
}

/* Takes `c`, after white space, if it comes next. */
static bool take(struct reader *reader, char c)
{
    skip_space(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

/* Escapes that repr() makes of names of fields: quotes and backslashes, \n, \r, \t; others are
 * refused. */
static int unescape(char c)
{
    static const char from[] = "\\'\"nrt", to[] = "\\'\"\n\r\t";
    const char *found = c ? strchr(from, c) : NULL;
    return found ? to[found - from] : -1;
}

static json_t *read_string(struct reader *reader)
{
    struct text text = { 0 };
    const char quote = *reader->at++;
    bool closed = false;
    while (reader->at < reader->end && !closed) {
        char c = *reader->at++;
        closed = c == quote;
        if (closed || c == '\0') /* nobody's name has one, and strings of C end there */
            break;
        if (c == '\\') {
            int plain = reader->at < reader->end ? unescape(*reader->at++) : -1;
            if (plain < 0)
                break;
            c = (char)plain;
        }
        text_add(&text, &c, 1);
    }
    json_t *string = closed ? json_stringn(text_string(&text), text.size) : NULL;
    text_clear(&text);
    return string;
}

/* numpy of Python 2 wrote 3L for 3. */
static json_t *read_number(struct reader *reader)
{
    json_int_t value = 0;
    bool negative = take_word(reader, "-");
    const char *begin = reader->at;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *reader->at - '0', &value))
            return NULL;
    if (reader->at == begin)
        return NULL;
    take_word(reader, "L");
    return json_integer(negative ? -value : value);
}

/* Values up to `close`, separated by commas; (1) is a number in brackets. */
static json_t *read_list(struct reader *reader, char close)
{
    json_t *list = json_array();
    bool comma = false;
    while (!take(reader, close)) {
        if (json_array_size(list) > 0 && !comma)
            goto refused;
        if (json_array_append_new(list, read_value(reader)) < 0)
            goto refused;
        comma = take(reader, ',');
    }
    if (close == ')' && json_array_size(list) == 1 && !comma) {
        json_t *only = json_incref(json_array_get(list, 0));
        json_decref(list);
        return only;
    }
    return list;
refused:
    json_decref(list);
    return NULL;
}

static json_t *read_dict(struct reader *reader)
{
    json_t *dict = json_object();
    bool comma = true;
    while (!take(reader, '}')) {
        json_t *key = comma ? read_value(reader) : NULL;
        int result = -1;
        if (json_is_string(key) && take(reader, ':'))
            result = json_object_set_new(dict, json_string_value(key), read_value(reader));
        json_decref(key);
        if (result < 0) {
            json_decref(dict);
            return NULL;
        }
        comma = take(reader, ',');
    }
    return dict;
}

static json_t *read_open(struct reader *reader)
{
    if (*reader->at == '\'' || *reader->at == '"')
        return read_string(reader);
    if (take(reader, '{'))
        return read_dict(reader);
    if (take(reader, '('))
        return read_list(reader, ')');
    if (take(reader, '['))
        return read_list(reader, ']');
    if (take_word(reader, "True"))
        return json_true();
    if (take_word(reader, "False"))
        return json_false();
    return read_number(reader);
}

static json_t *read_value(struct reader *reader)
{
    skip_space(reader);
    if (reader->at == reader->end || reader->depth == DEPTH_MAX)
        return NULL;
    reader->depth++;
    json_t *value = read_open(reader);
    reader->depth--;
    return value;
}

json_t *pyliteral_read(const char *at, size_t size)
{
    struct reader reader = { .at = at, .end = at + size };
    json_t *value = read_value(&reader);
    skip_space(&reader);
    if (reader.at == reader.end)
        return value;
    json_decref(value);
    return NULL;
}

/* ---- writing ---- */

static void write_string(struct text *out, const char *string)
{
    text_add_string(out, "'");
    for (const char *c = string; *c; c++) {
        static const char special[] = "\\'\n\r\t", names[] = "\\'nrt";
        const char *found = strchr(special, *c);
        if (found)
            text_print(out, "\\%c", names[found - special]);
        else
            text_add(out, c, 1);
    }
    text_add_string(out, "'");
}

static void write_value(struct text *out, const json_t *value, const char *brackets)
{
    size_t index;
    json_t *item;
    if (json_is_string(value)) {
        write_string(out, json_string_value(value));
    } else if (json_is_integer(value)) {
        text_print(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_array(value)) {
        text_add(out, brackets, 1);
        json_array_foreach((json_t *)value, index, item)
        {
            text_add_string(out, index > 0 ? ", " : "");
            write_value(out, item, "()");
        }
        if (brackets[0] == '(' && json_array_size(value) == 1)
            text_add_string(out, ",");
        text_add(out, brackets + 1, 1);
    }
}

/* A field: (name, dtype) or (name, dtype, shape); the dtype may be a list of fields again. */
static void write_field(struct text *out, const json_t *field)
{
    text_add_string(out, "(");
    write_value(out, json_array_get(field, 0), "()");
    text_add_string(out, ", ");
    pyliteral_write_dtype(out, json_array_get(field, 1));
    if (json_array_size(field) > 2) {
        text_add_string(out, ", ");
        write_value(out, json_array_get(field, 2), "()");
    }
    text_add_string(out, ")");
}

void pyliteral_write_dtype(struct text *out, const json_t *dtype)
{
    size_t index;
    json_t *field;
    if (!json_is_array(dtype)) {
        write_value(out, dtype, "()");
        return;
    }
    text_add_string(out, "[");
    json_array_foreach((json_t *)dtype, index, field)
    {
        text_add_string(out, index > 0 ? ", " : "");
        write_field(out, field);
    }
    text_add_string(out, "]");
}
