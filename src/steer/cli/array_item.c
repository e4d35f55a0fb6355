/* SPDX-License-Identifier: BSD-3-Clause
 * One item of an array as text and as JSON: numbers in machine formats of either byte order, dates,
 * text. */
#include "steer/cli/array_item.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOT_A_TIME INT64_MIN

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
    case 'S':
    case 'U':
        return true;
    default:
        return false;
    }
}

/* "[D]", "[25ns]" behind M8 and m8, or nothing. */
static bool read_unit(struct array_item *item, const char *text)
{
    char end;
    item->multiple = 1;
    if (!*text)
        return true;
    return sscanf(text, "[%7[a-zA-Z]%c", item->unit, &end) == 2
               ? end == ']'
               : sscanf(text, "[%d%7[a-zA-Z]%c", &item->multiple, item->unit, &end) == 3 &&
                     end == ']' && item->multiple > 0;
}

bool array_item_read(struct array_item *item, const json_t *dtype)
{
    const char *text = json_string_value(dtype);
    char order;
    int count, used = 0;
    *item = (struct array_item){ 0 };
    if (!text || sscanf(text, "%c%c%d%n", &order, &item->kind, &count, &used) != 3 || count < 0 ||
        count > INT32_MAX / 4)
        return false;
    item->bytes = item->kind == 'U' ? 4 * count : count;
    item->swapped =
        (order == '>') != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) && order != '=' && order != '|';
    if (item->kind == 'M' || item->kind == 'm')
        return item->bytes == 8 && read_unit(item, text + used);
    return !text[used] && known_size(item->kind, item->bytes);
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

static int64_t load_signed(const unsigned char *at, const struct array_item *item)
{
    uint64_t bits = load(at, item->bytes, item->swapped);
    int unused = 64 - 8 * item->bytes;
    return (int64_t)(bits << unused) >> unused;
}

static void print_complex(struct text *out, const unsigned char *at, const struct array_item *item)
{
    int half = item->bytes / 2;
    double imaginary = load_float(at + half, half, item->swapped);
    print_float(out, load_float(at, half, item->swapped), half);
    if (!signbit(imaginary) || isnan(imaginary))
        text_add_string(out, "+");
    print_float(out, imaginary, half);
    text_add_string(out, "j");
}

/* ---- dates ---- */

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Seconds since 1970 in a step of units of whole seconds; 0: another unit. */
static int64_t unit_seconds(const char *unit)
{
    static const struct {
        const char *unit;
        int64_t seconds;
    } units[] = { { "W", 604800 }, { "D", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 } };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(unit, units[i].unit) == 0)
            return units[i].seconds;
    return 0;
}

/* Digits behind the second: 3 of "ms", ... 18 of "as"; 0: another unit. */
static int unit_digits(const char *unit)
{
    static const char *const units[] = { "ms", "us", "ns", "ps", "fs", "as" };
    for (int i = 0; i < 6; i++)
        if (strcmp(unit, units[i]) == 0)
            return 3 * (i + 1);
    return 0;
}

/* "2026-01-31T12:00:00" as far as the unit goes. False: no year that a calendar has. */
static bool print_seconds(struct text *out, int64_t seconds, const char *unit)
{
    struct tm tm;
    char shown[64];
    const char *format = strchr("WD", unit[0])    ? "%F"
                         : strcmp(unit, "h") == 0 ? "%FT%H"
                         : strcmp(unit, "m") == 0 ? "%FT%H:%M"
                                                  : "%FT%H:%M:%S";
    time_t time = (time_t)seconds;
    if (!gmtime_r(&time, &tm) || strftime(shown, sizeof shown, format, &tm) == 0)
        return false;
    text_add_string(out, shown);
    return true;
}

static bool print_fraction(struct text *out, int64_t steps, int digits)
{
    int64_t scale = 1;
    for (int i = 0; i < digits; i++)
        scale *= 10;
    int64_t seconds = floor_divide(steps, scale);
    if (!print_seconds(out, seconds, "s"))
        return false;
    text_print(out, ".%0*" PRId64, digits, steps - seconds * scale);
    return true;
}

static bool print_date(struct text *out, int64_t value, const struct array_item *item)
{
    int64_t steps, seconds = unit_seconds(item->unit);
    int digits = unit_digits(item->unit);
    if (__builtin_mul_overflow(value, item->multiple, &steps))
        return false;
    if (digits > 0)
        return print_fraction(out, steps, digits);
    if (seconds > 0)
        return !__builtin_mul_overflow(steps, seconds, &seconds) &&
               print_seconds(out, seconds, item->unit);
    if (strcmp(item->unit, "Y") == 0) {
        text_print(out, "%04" PRId64, 1970 + steps);
    } else if (strcmp(item->unit, "M") == 0) {
        int64_t years = floor_divide(steps, 12);
        text_print(out, "%04" PRId64 "-%02" PRId64, 1970 + years, steps - 12 * years + 1);
    } else {
        return false;
    }
    return true;
}

static void print_time(struct text *out, int64_t value, const struct array_item *item)
{
    if (value == NOT_A_TIME)
        text_add_string(out, "NaT");
    else if (item->kind == 'm' || !print_date(out, value, item))
        text_print(out, "%" PRId64, value);
}

/* ---- text ---- */

static void add_utf8(struct text *out, uint32_t c)
{
    char bytes[4];
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        add_utf8(out, 0xfffd);
        return;
    }
    for (size_t i = size; i-- > 1; c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(first[size] | c);
    text_add(out, bytes, size);
}

/* Without the zeros that fill it up. */
static void load_text(struct text *out, const unsigned char *at, const struct array_item *item)
{
    const int width = item->kind == 'U' ? 4 : 1;
    const unsigned char *end = at + item->bytes;
    while (end > at && load(end - width, width, false) == 0)
        end -= width;
    for (; at < end; at += width)
        add_utf8(out, (uint32_t)load(at, width, item->swapped));
    text_add(out, "", 0);
}

/* As Python quotes it; what is beyond ASCII in bytes is escaped. */
static void print_quoted(struct text *out, const struct text *text, bool bytes)
{
    const char quote = strchr(text->at, '\'') && !strchr(text->at, '"') ? '"' : '\'';
    text_print(out, "%s%c", bytes ? "b" : "", quote);
    for (size_t i = 0; i < text->size; i++) {
        unsigned char c = (unsigned char)text->at[i];
        if (c == (unsigned char)quote || c == '\\')
            text_print(out, "\\%c", c);
        else if (c == '\n')
            text_add_string(out, "\\n");
        else if (c < ' ' || c == 127)
            text_print(out, "\\x%02x", c);
        else if (bytes && c >= 0xc2 && i + 1 < text->size) /* one byte, as two of UTF-8 */
            text_print(out, "\\x%02x", (c & 3) << 6 | (text->at[++i] & 0x3f));
        else
            text_add(out, &text->at[i], 1);
    }
    text_print(out, "%c", quote);
}

static void print_text(struct text *out, const unsigned char *at, const struct array_item *item,
                       bool quoted)
{
    struct text text = { 0 };
    load_text(&text, at, item);
    if (quoted || item->kind == 'S')
        print_quoted(out, &text, item->kind == 'S');
    else
        text_add(out, text.at, text.size);
    text_clear(&text);
}

/* ---- any ---- */

void array_item_print(struct text *out, const struct array_item *item, const unsigned char *at,
                      bool quoted)
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
    case 'M':
    case 'm':
        print_time(out, load_signed(at, item), item);
        break;
    case 'S':
    case 'U':
        print_text(out, at, item, quoted);
        break;
    default:
        print_complex(out, at, item);
        break;
    }
}

json_t *array_item_json(const struct array_item *item, const unsigned char *at)
{
    struct text text = { 0 };
    double value = item->kind == 'f' ? load_float(at, item->bytes, item->swapped) : 0;
    if (item->kind == 'b')
        return json_boolean(*at);
    if (item->kind == 'i' || (item->kind == 'm' && load_signed(at, item) != NOT_A_TIME))
        return json_integer(load_signed(at, item));
    if (item->kind == 'u' && load(at, item->bytes, item->swapped) <= INT64_MAX)
        return json_integer((json_int_t)load(at, item->bytes, item->swapped));
    if (item->kind == 'f' && !isnan(value) && !isinf(value))
        return json_real(value);
    if (item->kind == 'S' || item->kind == 'U')
        load_text(&text, at, item);
    else
        array_item_print(&text, item, at, false);
    json_t *string = json_stringn(text_string(&text), text.size);
    text_clear(&text);
    return string;
}
