/* SPDX-License-Identifier: BSD-3-Clause
 * Cancelled tasks: noted, taken once, and forgotten when they can only be stale. */
#include "mpi_engine/cancels.h"
#include "unit.h"

static cancels_t *cancels;

static void setup(void)
{
    cancels = cancels_create();
    ck_assert_ptr_nonnull(cancels);
}

static void teardown(void)
{
    cancels_destroy(cancels);
}

START_TEST(taken_once)
{
    ck_assert(!cancels_has(cancels, 7) && !cancels_take(cancels, 7));
    cancels_add(cancels, 7, CANCEL_TAKEN_BACK);
    cancels_add(cancels, 7, CANCEL_UNWANTED);
    cancels_add(cancels, 8, CANCEL_UNWANTED);
    ck_assert(cancels_has(cancels, 7) && cancels_has(cancels, 7));
    ck_assert_int_eq(cancels_take(cancels, 7), CANCEL_TAKEN_BACK);
    ck_assert(!cancels_take(cancels, 7) && !cancels_has(cancels, 7));
    ck_assert_int_eq(cancels_take(cancels, 8), CANCEL_UNWANTED);
}
END_TEST

START_TEST(old_ones_are_forgotten)
{
    ck_assert_uint_eq(cancels_mark(cancels), 0);
    for (uint64_t task = 1; task <= 1000; task++)
        cancels_add(cancels, task, CANCEL_UNWANTED);
    uint64_t mark = cancels_mark(cancels);
    ck_assert_uint_gt(mark, 0);
    cancels_add(cancels, 1001, CANCEL_UNWANTED); /* came after whoever looks has looked */
    cancels_add(cancels, 5, CANCEL_UNWANTED);    /* and so did this word of it */
    cancels_forget(cancels, mark);
    ck_assert(!cancels_has(cancels, 1) && !cancels_has(cancels, 1000));
    ck_assert(cancels_has(cancels, 1001) && cancels_has(cancels, 5));
    cancels_forget(cancels, cancels_mark(cancels));
    ck_assert_uint_eq(cancels_mark(cancels), 0);
}
END_TEST

START_TEST(destroyed_full)
{
    cancels_add(cancels, 1, CANCEL_UNWANTED);
    cancels_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cancels");
    TCase *store = tcase_create("store");
    tcase_add_checked_fixture(store, setup, teardown);
    tcase_add_test(store, taken_once);
    tcase_add_test(store, old_ones_are_forgotten);
    tcase_add_test(store, destroyed_full);
    suite_add_tcase(suite, store);
    return unit_run(suite);
}
