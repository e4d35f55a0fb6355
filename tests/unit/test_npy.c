/* SPDX-License-Identifier: BSD-3-Clause
 * .npy files: what numpy writes is read, what we write is as numpy writes it, and whatever else
 * comes is refused in words. */
#include "steer/cli/npy.h"
#include "steer/cli/pyliteral.h"
#include "steer/cli/value.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file of version `version` with this literal for a header and so many bytes of data, 1, 2, ...
 */
static char *make_file(int version, const char *literal, size_t data, size_t *size)
{
    size_t begin = version == 1 ? 10 : 12, length = strlen(literal);
    *size = begin + length + data;
    char *file = calloc(1, *size + 1);
    memcpy(file, "\x93NUMPY", 6);
    file[6] = (char)version;
    file[8] = (char)(length & 255);
    file[9] = (char)(length >> 8);
    memcpy(file + begin, literal, length);
    for (size_t i = 0; i < data; i++)
        file[begin + length + i] = (char)(i + 1);
    return file;
}

static int parse(struct npy_array *array, const char *literal, size_t data, ipp_err_t *err)
{
    size_t size;
    char *file = make_file(1, literal, data, &size);
    int result = npy_parse(array, file, size, err), saved_errno = errno;
    free(file);
    errno = saved_errno;
    return result;
}

static const struct good {
    const char *literal;
    size_t data;
    int ndims;
    int64_t shape[2];
} goods[] = {
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }   \n", 48, 2, { 2, 3 } },
    { "{'descr': '|b1', 'fortran_order': False, 'shape': (), }\n", 1, 0, { 0 } },
    { "{\"shape\": (0,), \"fortran_order\": False, \"descr\": \"<U5\"}", 0, 1, { 0 } },
    { "{'descr': '<i4', 'fortran_order': True, 'shape': (3,), }", 12, 1, { 3 } },
    { "{'descr': '<i4', 'fortran_order': False, 'shape': (3L, 1L), }", 12, 2, { 3, 1 } },
    { "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (2,), }", 16, 1, { 2 } },
    { "{'descr': [('a', '<i4'), ('b\\'', '<f8', (2,)), (('t', 'n'), [('c', '|S3')])], "
      "'fortran_order': False, 'shape': (1,), }",
      23,
      1,
      { 1 } },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", 800, 1, { 1 } },
};

START_TEST(reads_what_numpy_writes)
{
    ipp_err_t err;
    struct npy_array array;
    const struct good *good = &goods[_i];
    ck_assert_msg(parse(&array, good->literal, good->data, &err) == 0, "%s", err.text);
    ck_assert_int_eq(array.ndims, good->ndims);
    for (int i = 0; i < good->ndims; i++)
        ck_assert_int_eq(array.shape[i], good->shape[i]);
    json_decref(array.dtype);
}
END_TEST

static const struct bad {
    const char *literal;
    int code;
    const char *said;
} bads[] = {
    { "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }", ENOTSUP, "Fortran" },
    { "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", ENOTSUP, "object" },
    { "{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (2,), }", ENOTSUP, "object" },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (13,), }", EBADMSG, "cut off" },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", EBADMSG, "shape" },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': 3, }", EBADMSG, "shape" },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000, 4000000000, 4), }", EOVERFLOW,
      "larger" },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }", EBADMSG,
      "dict" },
    { "{'descr': '<f8', 'shape': (1,), }", EBADMSG, "fortran_order" },
    { "{'descr': '<x8', 'fortran_order': False, 'shape': (1,), }", EINVAL, "dtype" },
    { "{'descr': '<f', 'fortran_order': False, 'shape': (1,), }", EINVAL, "dtype" },
    { "{'descr': '<f8; rm', 'fortran_order': False, 'shape': (1,), }", EINVAL, "dtype" },
    { "{'descr': [], 'fortran_order': False, 'shape': (1,), }", EINVAL, "dtype" },
    { "{'descr': [('a',)], 'fortran_order': False, 'shape': (1,), }", EINVAL, "field" },
    { "{'descr': [(('t', True), '<i4')], 'fortran_order': False, 'shape': (1,), }", EINVAL,
      "field" },
    { "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), ", EBADMSG, "dict" },
    { "{'descr': '<f8', 'fortran_order': False 'shape': (1,)}", EBADMSG, "dict" },
    { "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}", EBADMSG, "dict" },
    { "('descr', '<f8')", EBADMSG, "dict" },
    { "((((((((((((((((((((((((((((((((((((((((((((((((((", EBADMSG, "dict" },
    { "", EBADMSG, "dict" },
};

START_TEST(refuses_the_rest_in_words)
{
    ipp_err_t err = { "" };
    struct npy_array array = { .ndims = 77 };
    errno = 0;
    ck_assert_int_eq(parse(&array, bads[_i].literal, 100, &err), -1);
    ck_assert_int_eq(errno, bads[_i].code);
    ck_assert_msg(strstr(err.text, bads[_i].said), "%s: %s", bads[_i].literal, err.text);
    ck_assert_int_eq(array.ndims, 77);
}
END_TEST

START_TEST(refuses_other_files)
{
    ipp_err_t err;
    struct npy_array array;
    ck_assert_int_eq(npy_parse(&array, "", 0, &err), -1);
    ck_assert_int_eq(errno, EBADMSG);
    ck_assert_int_eq(npy_parse(&array, "PK\3\4 a zip file, .npz", 20, &err), -1);
    ck_assert_int_eq(errno, EBADMSG);
    ck_assert_int_eq(npy_parse(&array, "\x93NUMPY\x04\x00\x10\x00", 10, &err), -1);
    ck_assert_int_eq(errno, ENOTSUP);
    ck_assert_int_eq(npy_parse(&array, "\x93NUMPY\x02\x00\xff\xff", 10, &err), -1);
    ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

/* Every cut and 200,000 changed bytes of good files: an answer, and never a read beyond the end
 * (which a sanitizer or Valgrind sees, for the bytes have an allocation of their own). */
START_TEST(survives_damage)
{
    unsigned random = 1;
    size_t size;
    char *file = make_file(1 + _i % 3, goods[_i].literal, goods[_i].data, &size);
    int rounds = unit_rounds(25000);
    for (int i = 0; i < rounds; i++) {
        size_t length = (size_t)i < size ? (size_t)i : size;
        char *damaged = malloc(length > 0 ? length : 1);
        memcpy(damaged, file, length);
        for (int j = 0; (size_t)i > size && j < 1 + i % 3; j++) {
            random = random * 1103515245 + 12345;
            damaged[(random >> 8) % length] = (char)(random >> 24);
        }
        struct npy_array array;
        if (npy_parse(&array, damaged, length, NULL) == 0) {
            ck_assert((const char *)array.data + array.size <= damaged + length);
            json_decref(array.dtype);
        }
        free(damaged);
    }
    free(file);
}
END_TEST

static void check_round_trip(const char *dtype, int ndims, int64_t first)
{
    ipp_err_t err;
    struct npy_array array = { .dtype = json_loads(dtype, JSON_DECODE_ANY, NULL),
                               .ndims = ndims,
                               .shape = { first, 2 } },
                     back;
    size_t size;
    char *header = npy_header(&array, &size, &err);
    ck_assert_ptr_nonnull(header);
    ck_assert_uint_eq(size % 64, 0);
    ck_assert_int_eq(header[size - 1], '\n');
    ck_assert_int_eq(npy_measure(&array, &err), 0);
    char *file = calloc(1, size + array.size);
    memcpy(file, header, size);
    ck_assert_msg(npy_parse(&back, file, size + array.size, &err) == 0, "%s", err.text);
    ck_assert(json_equal(back.dtype, array.dtype));
    ck_assert_int_eq(back.ndims, array.ndims);
    ck_assert_int_eq(back.shape[0], array.shape[0]);
    ck_assert_ptr_eq(back.data, file + size);
    json_decref(back.dtype);
    json_decref(array.dtype);
    free(header);
    free(file);
}

START_TEST(reads_what_it_writes)
{
    check_round_trip("\"<f8\"", 0, 0);
    check_round_trip("\"<f8\"", 1, 5);
    check_round_trip("\">i2\"", 2, 3);
    check_round_trip("[[\"a\\\\'\\n\", \"<i4\"], [\"\xc3\xa9\", \"<f4\", [2]]]", 1, 3);
    check_round_trip("[[[\"title\", \"n\"], [[\"x\", \"|u1\"]]]]", 2, 1);
}
END_TEST

START_TEST(writes_as_numpy_does)
{
    size_t size;
    struct npy_array array = { .dtype = json_string("<f8"), .ndims = 1, .shape = { 3 } };
    char *header = npy_header(&array, &size, NULL);
    static const char expected[] = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }";
    ck_assert_uint_eq(size, 128);
    ck_assert_int_eq(memcmp(header, "\x93NUMPY\x01\x00\x76\x00", 10), 0);
    ck_assert_int_eq(memcmp(header + 10, expected, sizeof expected - 1), 0);
    json_decref(array.dtype);
    free(header);
}
END_TEST

START_TEST(files_come_and_go_whole)
{
    char path[128];
    ipp_err_t err;
    struct npy_file file;
    const double values[] = { 1, 2, 3, 4 };
    struct npy_array array = { .dtype = json_string("<f8"), .ndims = 1, .shape = { 4 } };
    struct npy_piece pieces[] = { { values, 16 }, { values + 2, 16 } };
    struct stat info;
    snprintf(path, sizeof path, "%s/a.npy", unit_folder);
    mode_t mask = umask(022);
    ck_assert_msg(npy_write(path, &array, pieces, 2, &err) == 0, "%s", err.text);
    umask(mask);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0644);
    ck_assert_int_eq(unit_entries_beside(path), 1);
    ck_assert_msg(npy_open(&file, path, &err) == 0, "%s", err.text);
    ck_assert_int_eq(memcmp(file.array.data, values, sizeof values), 0);
    npy_close(&file);
    snprintf(path, sizeof path, "%s/none/a.npy", unit_folder);
    ck_assert_int_eq(npy_write(path, &array, pieces, 2, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_int_eq(npy_open(&file, path, &err), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(npy_open(&file, unit_folder, &err), -1);
    ck_assert_int_eq(errno, EINVAL);
    json_decref(array.dtype);
}
END_TEST

/* ---- as text ---- */

static void check_text(const char *dtype, int ndims, int64_t first, const void *data,
                       const char *expected, const char *json)
{
    struct text text = { 0 };
    struct npy_array array = {
        .dtype = json_string(dtype), .ndims = ndims, .shape = { first, 2 }, .data = data
    };
    ck_assert_int_eq(npy_measure(&array, NULL), 0);
    array_print(&text, &array);
    ck_assert_str_eq(text_string(&text), expected);
    json_t *value = array_json(&array);
    char *dump = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    if (json)
        ck_assert_str_eq(dump, json);
    else
        ck_assert_ptr_null(value);
    free(dump);
    json_decref(value);
    json_decref(array.dtype);
    text_clear(&text);
}

START_TEST(shows_numbers)
{
    const double doubles[] = { 0.1, -2, 1e300, __builtin_nan("") };
    const float floats[] = { 0.1F, 3 };
    const unsigned char big[] = { 0x01, 0x02, 0xff, 0xfe }, half[] = { 0x00, 0x3c, 0x66, 0x2e };
    const uint64_t huge = UINT64_MAX;
    const int8_t small[] = { -1, 127 };
    check_text("<f8", 2, 2, doubles, "[[0.1, -2.0],\n [1e+300, nan]]",
               "[[0.10000000000000001,-2.0],[1.0000000000000001e300,\"nan\"]]");
    check_text("<f8", 0, 0, doubles, "0.1", "0.10000000000000001");
    check_text("<f4", 1, 2, floats, "[0.1, 3.0]  # <f4 (2,)", "[0.10000000149011612,3.0]");
    check_text(">i2", 1, 2, big, "[258, -2]  # >i2 (2,)", "[258,-2]");
    check_text("<f2", 1, 2, half, "[1.0, 0.1]  # <f2 (2,)", "[1.0,0.0999755859375]");
    check_text("<u8", 0, 0, &huge, "18446744073709551615", "\"18446744073709551615\"");
    check_text("|i1", 1, 2, small, "[-1, 127]  # |i1 (2,)", "[-1,127]");
    check_text("|b1", 1, 2, "\1\0", "[True, False]", "[true,false]");
    check_text("<c16", 1, 1, doubles, "[0.1-2.0j]", "[\"0.1-2.0j\"]");
    check_text("<f8", 1, 0, doubles, "[]  # <f8 (0,)", "[]");
    check_text("<f8", 2, 0, doubles, "[]  # <f8 (0, 2)", "[]");
    check_text("|V2", 1, 1, "ab", "<array |V2 (1,)>", NULL);
    check_text("<f16", 0, 0, "0123456789abcdef", "<array <f16 ()>", NULL);
}
END_TEST

START_TEST(shows_text)
{
    static const uint32_t wide[] = { 'a', 0x20ac, 'b', '\'' };
    check_text("<U2", 1, 2, wide, "['a\xe2\x82\xac', \"b'\"]", "[\"a\xe2\x82\xac\",\"b'\"]");
    check_text("<U2", 0, 0, wide, "a\xe2\x82\xac", "\"a\xe2\x82\xac\"");
    check_text("<U0", 1, 2, "", "['', '']", "[\"\",\"\"]");
    check_text("|S3", 1, 2, "ab\0\n\xff\\", "[b'ab', b'\\n\\xff\\\\']",
               "[\"ab\",\"\\n\303\277\\\\\"]");
}
END_TEST

START_TEST(shows_dates)
{
    static const int64_t days[] = { 20484, -1 }, none[] = { INT64_MIN };
    static const int64_t fine[] = { 1769860800123456789, -1 };
    check_text("<M8[D]", 1, 2, days, "[2026-01-31, 1969-12-31]  # <M8[D] (2,)",
               "[\"2026-01-31\",\"1969-12-31\"]");
    check_text("<M8[D]", 0, 0, days, "2026-01-31", "\"2026-01-31\"");
    check_text("<M8[ns]", 0, 0, fine, "2026-01-31T12:00:00.123456789",
               "\"2026-01-31T12:00:00.123456789\"");
    check_text("<M8[ms]", 0, 0, fine + 1, "1969-12-31T23:59:59.999", "\"1969-12-31T23:59:59.999\"");
    check_text("<M8[h]", 0, 0, days + 1, "1969-12-31T23", "\"1969-12-31T23\"");
    check_text("<M8[10m]", 0, 0, days + 1, "1969-12-31T23:50", "\"1969-12-31T23:50\"");
    check_text("<M8[M]", 0, 0, days + 1, "1969-12", "\"1969-12\"");
    check_text("<M8[Y]", 0, 0, days + 1, "1969", "\"1969\"");
    check_text("<M8[s]", 0, 0, none, "NaT", "\"NaT\"");
    check_text("<m8[s]", 0, 0, days, "20484", "20484");
}
END_TEST

START_TEST(cuts_what_is_long)
{
    static const int64_t zeros[2000];
    struct text text = { 0 };
    struct npy_array array = {
        .dtype = json_string("<i8"), .ndims = 2, .shape = { 1000, 2 }, .data = zeros
    };
    ck_assert_int_eq(npy_measure(&array, NULL), 0);
    array_print(&text, &array);
    ck_assert_str_eq(text_string(&text), "[[0, 0],\n [0, 0],\n [0, 0],\n ...,\n [0, 0],\n"
                                         " [0, 0],\n [0, 0]]  # <i8 (1000, 2)");
    json_decref(array.dtype);
    text_clear(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("npy");
    TCase *parsing = tcase_create("parsing"), *files = tcase_create("files"),
          *text = tcase_create("text");
    tcase_set_timeout(parsing, 60);
    tcase_add_loop_test(parsing, reads_what_numpy_writes, 0, sizeof goods / sizeof *goods);
    tcase_add_loop_test(parsing, refuses_the_rest_in_words, 0, sizeof bads / sizeof *bads);
    tcase_add_test(parsing, refuses_other_files);
    tcase_add_loop_test(parsing, survives_damage, 0, sizeof goods / sizeof *goods);
    tcase_add_test(parsing, reads_what_it_writes);
    tcase_add_test(parsing, writes_as_numpy_does);
    tcase_add_checked_fixture(files, unit_make_folder, unit_remove_folder);
    tcase_add_test(files, files_come_and_go_whole);
    tcase_add_test(text, shows_numbers);
    tcase_add_test(text, shows_text);
    tcase_add_test(text, shows_dates);
    tcase_add_test(text, cuts_what_is_long);
    suite_add_tcase(suite, parsing);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, text);
    return unit_run(suite);
}
