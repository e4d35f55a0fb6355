/* SPDX-License-Identifier: BSD-3-Clause
 * Partial values: the tree they climb, and the store of those that came early or late. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/partials.h"
#include "unit.h"

#define ENGINES_MAX 70

static partials_t *partials;

static void setup(void)
{
    partials = partials_create();
    ck_assert_ptr_nonnull(partials);
}

static void teardown(void)
{
    partials_destroy(partials);
}

/* ---- the tree ---- */

static int engines[ENGINES_MAX];

/* Visits engine `self` and what is below it in the order of combining; returns how many. */
static size_t climb(int self, size_t count, int parent, int *order)
{
    struct partials_tree tree;
    ck_assert_int_eq(partials_tree(&tree, engines, count, self), 0);
    ck_assert_int_eq(tree.parent, parent);
    size_t seen = 0;
    order[seen++] = self;
    for (int i = 0; i < tree.child_count; i++)
        seen += climb(tree.children[i], count, self, order + seen);
    return seen;
}

/* Each engine once, and combining left to right keeps the engines' order. */
START_TEST(test_tree)
{
    for (size_t i = 0; i < ENGINES_MAX; i++)
        engines[i] = (int)(3 * i + i % 3);
    for (size_t count = 1; count <= ENGINES_MAX; count++) {
        int order[ENGINES_MAX];
        ck_assert_uint_eq(climb(engines[0], count, -1, order), count);
        ck_assert_mem_eq(order, engines, count * sizeof *order);
    }
}
END_TEST

START_TEST(test_tree_without_oneself)
{
    struct partials_tree tree;
    int others[] = { 1, 3 };
    errno = 0;
    ck_assert_int_eq(partials_tree(&tree, others, 2, 2), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(partials_tree(&tree, others, 0, 1), -1);
}
END_TEST

START_TEST(test_tree_is_low)
{
    for (size_t i = 0; i < ENGINES_MAX; i++)
        engines[i] = (int)i;
    struct partials_tree tree;
    ck_assert_int_eq(partials_tree(&tree, engines, 64, 0), 0);
    ck_assert_int_eq(tree.child_count, 6);
    ck_assert_int_eq(partials_tree(&tree, engines, 65, 64), 0);
    ck_assert_int_eq(tree.parent, 0);
}
END_TEST

/* ---- the store ---- */

static void put(uint64_t number, int engine, int status, const char *text)
{
    ipp_frames_t frames = { 0 };
    ck_assert_int_eq(ipp_frames_push_copy(&frames, text, strlen(text)), 0);
    ck_assert_int_eq(partials_put(partials, number, engine, status, &frames), 0);
    ck_assert_uint_eq(frames.count, 0);
}

static void taken(uint64_t number, int engine, int status, const char *text)
{
    int found = -1;
    ipp_frames_t frames = { 0 };
    ck_assert(partials_has(partials, number, engine));
    ck_assert(partials_take(partials, number, engine, &found, &frames));
    ck_assert_int_eq(found, status);
    ck_assert(ipp_frame_equals(frames.at[0], text, strlen(text)));
    ipp_frames_clear(&frames);
}

static void absent(uint64_t number, int engine)
{
    int status;
    ipp_frames_t frames;
    ck_assert(!partials_has(partials, number, engine));
    ck_assert(!partials_take(partials, number, engine, &status, &frames));
}

START_TEST(test_take)
{
    absent(1, 2);
    put(1, 2, 0, "a");
    put(1, 3, 1, "b");
    put(2, 2, 0, "c");
    absent(2, 3);
    taken(2, 2, 0, "c");
    taken(1, 3, 1, "b");
    taken(1, 2, 0, "a");
    absent(1, 2);
    ck_assert_uint_eq(partials_count(partials), 0);
}
END_TEST

START_TEST(test_refused_when_here)
{
    put(1, 2, 0, "a");
    partials_refuse(partials, 1, 2);
    absent(1, 2);
    ck_assert_uint_eq(partials_count(partials), 0);
}
END_TEST

START_TEST(test_refused_before_it_comes)
{
    partials_refuse(partials, 1, 2);
    partials_refuse(partials, 1, 2);
    absent(1, 2);
    put(1, 3, 0, "b");
    put(1, 2, 0, "a");
    absent(1, 2);
    taken(1, 3, 0, "b");
    ck_assert_uint_eq(partials_count(partials), 0);
}
END_TEST

START_TEST(test_lost)
{
    partials_refuse(partials, 1, 2);
    partials_refuse(partials, 1, 3);
    put(5, 2, 0, "said before it died");
    partials_lost(partials, 2);
    ck_assert_uint_eq(partials_count(partials), 2);
    taken(5, 2, 0, "said before it died");
    put(1, 3, 0, "b");
    ck_assert_uint_eq(partials_count(partials), 0);
}
END_TEST

START_TEST(test_destroyed_full)
{
    put(1, 2, 0, "a");
    partials_refuse(partials, 1, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partials");
    TCase *tree = tcase_create("tree");
    tcase_add_test(tree, test_tree);
    tcase_add_test(tree, test_tree_without_oneself);
    tcase_add_test(tree, test_tree_is_low);
    suite_add_tcase(suite, tree);
    TCase *store = tcase_create("store");
    tcase_add_checked_fixture(store, setup, teardown);
    tcase_add_test(store, test_take);
    tcase_add_test(store, test_refused_when_here);
    tcase_add_test(store, test_refused_before_it_comes);
    tcase_add_test(store, test_lost);
    tcase_add_test(store, test_destroyed_full);
    suite_add_tcase(suite, store);
    return unit_run(suite);
}
