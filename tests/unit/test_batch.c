/* SPDX-License-Identifier: BSD-3-Clause
 * Batches of tasks: what goes in comes out, in order, aligned. */
#include "link/link.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static char bytes[3 * LINK_BATCH_BYTES];

START_TEST(records_come_out_as_they_went_in)
{
    link_batch_t batch = { 0 };
    static const uint32_t sizes[] = { 0, 1, 15, 16, 17, 1000, sizeof bytes, 3 };
    const size_t count = sizeof sizes / sizeof *sizes;
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        struct link_record record = { .task = i + 1, .size = sizes[i], .retries = (int32_t)i };
        bytes[0] = (char)i;
        ck_assert_int_eq(link_batch_add(&batch, &record, bytes), 0);
    }
    ck_assert_uint_eq(batch.count, count);
    ipp_frame_t *frame = link_batch_take(&batch);
    ck_assert_uint_eq(batch.count, 0);
    ck_assert_uint_eq(batch.used, 0);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct link_record *record = link_batch_next(frame, &at);
        ck_assert_ptr_nonnull(record);
        ck_assert_uint_eq(record->task, i + 1);
        ck_assert_uint_eq(record->size, sizes[i]);
        const char *payload = link_record_bytes(record);
        ck_assert_uint_eq((uintptr_t)payload % LINK_RECORD_ALIGN, 0);
        ck_assert(sizes[i] == 0 || payload[0] == (char)i);
        ck_assert(sizes[i] < 2 || payload[sizes[i] - 1] == 'x');
    }
    ck_assert_ptr_null(link_batch_next(frame, &at));
    ipp_frame_unref(frame);
    link_batch_clear(&batch);
}
END_TEST

START_TEST(what_is_cut_off_ends_the_batch)
{
    link_batch_t batch = { 0 };
    struct link_record record = { .task = 1, .size = 40 };
    ck_assert_int_eq(link_batch_add(&batch, &record, bytes), 0);
    ipp_frame_t *whole = link_batch_take(&batch);
    for (size_t size = 0; size < ipp_frame_size(whole); size++) {
        size_t at = 0;
        ipp_frame_t *cut = ipp_frame_copy(ipp_frame_data(whole), size);
        ck_assert_ptr_null(link_batch_next(cut, &at));
        ipp_frame_unref(cut);
    }
    ipp_frame_unref(whole);
    link_batch_clear(&batch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *tests = tcase_create("batch");
    tcase_add_test(tests, records_come_out_as_they_went_in);
    tcase_add_test(tests, what_is_cut_off_ends_the_batch);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
