/* SPDX-License-Identifier: BSD-3-Clause
 * Transfers: chunks put together and cut into buffers, and what goes wrong with them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/transfers.h"
#include "unit.h"

static transfers_t *transfers;
static ipp_frames_t frames;
static ipp_err_t err;

static void setup(void)
{
    transfers = transfers_create();
    ck_assert_ptr_nonnull(transfers);
    err.text[0] = '\0';
    ck_assert_int_eq(ipp_frames_push_copy(&frames, "own", 3), 0);
}

static void teardown(void)
{
    ipp_frames_clear(&frames);
    transfers_destroy(transfers);
}

static void chunk(uint64_t number, uint64_t total, uint64_t offset, const char *bytes)
{
    struct link_chunk head = { .total = total, .offset = offset };
    transfers_chunk(transfers, number, &head, bytes, strlen(bytes));
}

static int take(uint64_t number, uint64_t count, const uint64_t *sizes)
{
    struct link_transfer *said = malloc(sizeof *said + count * sizeof *sizes);
    ck_assert_ptr_nonnull(said);
    said->number = number;
    said->count = count;
    if (count > 0)
        memcpy(said->sizes, sizes, count * sizeof *sizes);
    int result = transfers_take(transfers, said, &frames, &err);
    int code = errno;
    free(said);
    errno = code;
    return result;
}

static void refused(uint64_t number, uint64_t count, const uint64_t *sizes, int code,
                    const char *words)
{
    ck_assert_int_eq(take(number, count, sizes), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
    ck_assert_uint_eq(frames.count, 1);
}

START_TEST(test_whole)
{
    chunk(7, 10, 0, "abcd");
    chunk(8, 2, 0, "xy"); /* another one between them */
    chunk(7, 10, 4, "efghij");
    ck_assert_int_eq(take(7, 3, (uint64_t[]){ 3, 0, 7 }), 0);
    ck_assert_uint_eq(frames.count, 4);
    ck_assert(ipp_frame_equals(frames.at[0], "own", 3));
    ck_assert(ipp_frame_equals(frames.at[1], "abc", 3));
    ck_assert(ipp_frame_equals(frames.at[2], "", 0));
    ck_assert(ipp_frame_equals(frames.at[3], "defghij", 7));
    ck_assert_int_eq(take(8, 1, (uint64_t[]){ 2 }), 0);
    ck_assert(ipp_frame_equals(frames.at[4], "xy", 2));
}
END_TEST

START_TEST(test_buffers_are_private_parts_of_one_memory)
{
    chunk(1, 6, 0, "abcdef");
    ck_assert_int_eq(take(1, 2, (uint64_t[]){ 2, 4 }), 0);
    char *first = ipp_frame_data(frames.at[1]), *second = ipp_frame_data(frames.at[2]);
    ck_assert_ptr_eq(second, first + 2);
    ck_assert(!ipp_frame_shared(frames.at[1]) && !ipp_frame_shared(frames.at[2]));
    transfers_destroy(transfers); /* they live on */
    transfers = NULL;
    ck_assert(ipp_frame_equals(frames.at[2], "cdef", 4));
}
END_TEST

START_TEST(test_taken_once)
{
    chunk(1, 2, 0, "ab");
    ck_assert_int_eq(take(1, 1, (uint64_t[]){ 2 }), 0);
    ipp_frame_unref(frames.at[--frames.count]);
    refused(1, 1, (uint64_t[]){ 2 }, EINVAL, "not known");
}
END_TEST

START_TEST(test_incomplete)
{
    refused(1, 1, (uint64_t[]){ 2 }, EINVAL, "not known");
    chunk(1, 5, 0, "ab");
    refused(1, 1, (uint64_t[]){ 2 }, EINVAL, "2 of 5");
    refused(1, 1, (uint64_t[]){ 2 }, EINVAL, "not known"); /* a failure forgets it too */
}
END_TEST

START_TEST(test_chunks_that_do_not_follow)
{
    chunk(1, 5, 0, "ab");
    chunk(1, 5, 3, "de");
    chunk(1, 5, 2, "cde"); /* too late */
    refused(1, 1, (uint64_t[]){ 5 }, EINVAL, "incomplete");
    chunk(2, 5, 0, "ab");
    chunk(2, 6, 2, "cde");
    refused(2, 1, (uint64_t[]){ 5 }, EINVAL, "incomplete");
    chunk(3, 5, 0, "abcdef");
    refused(3, 1, (uint64_t[]){ 5 }, EINVAL, "incomplete");
    chunk(4, 5, 2, "cde");
    refused(4, 1, (uint64_t[]){ 5 }, EINVAL, "incomplete");
    chunk(5, 5, UINT64_MAX, "cde");
    refused(5, 1, (uint64_t[]){ 5 }, EINVAL, "incomplete");
}
END_TEST

START_TEST(test_sizes)
{
    chunk(1, 4, 0, "abcd");
    refused(1, 2, (uint64_t[]){ 3, 2 }, EINVAL, "more than");
    chunk(1, 4, 0, "abcd");
    refused(1, 2, (uint64_t[]){ 3, UINT64_MAX }, EINVAL, "more than");
    chunk(1, 4, 0, "abcd");
    refused(1, 1, (uint64_t[]){ 3 }, EINVAL, "leave 1 bytes");
    chunk(1, 4, 0, "abcd");
    refused(1, 0, NULL, EINVAL, "leave 4 bytes");
}
END_TEST

START_TEST(test_more_than_there_is)
{
    chunk(1, (uint64_t)1 << 62, 0, "abcd");
    chunk(1, (uint64_t)1 << 62, 4, "abcd");
    refused(1, 1, (uint64_t[]){ (uint64_t)1 << 62 }, ENOMEM, "4611686018427387904");
    chunk(1, UINT64_MAX, 0, "abcd");
    refused(1, 1, (uint64_t[]){ 4 }, ENOMEM, "no memory");
    chunk(1, 4, 0, "abcd"); /* the number is free again */
    ck_assert_int_eq(take(1, 1, (uint64_t[]){ 4 }), 0);
}
END_TEST

START_TEST(test_nothing)
{
    chunk(1, 0, 0, "");
    ck_assert_int_eq(take(1, 1, (uint64_t[]){ 0 }), 0);
    ck_assert_uint_eq(ipp_frame_size(frames.at[1]), 0);
}
END_TEST

START_TEST(test_forgotten)
{
    chunk(1, 4, 0, "ab");
    chunk(2, 4, 0, "abcd");
    transfers_drop(transfers, 1);
    transfers_drop(transfers, 1);
    transfers_drop(transfers, 9);
    refused(1, 1, (uint64_t[]){ 4 }, EINVAL, "not known");
    ck_assert_int_eq(take(2, 1, (uint64_t[]){ 4 }), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transfers");
    TCase *store = tcase_create("store");
    tcase_add_checked_fixture(store, setup, teardown);
    tcase_add_test(store, test_whole);
    tcase_add_test(store, test_buffers_are_private_parts_of_one_memory);
    tcase_add_test(store, test_taken_once);
    tcase_add_test(store, test_incomplete);
    tcase_add_test(store, test_chunks_that_do_not_follow);
    tcase_add_test(store, test_sizes);
    tcase_add_test(store, test_more_than_there_is);
    tcase_add_test(store, test_nothing);
    tcase_add_test(store, test_forgotten);
    suite_add_tcase(suite, store);
    return unit_run(suite);
}
