/* SPDX-License-Identifier: BSD-3-Clause
 * What is pure of the room steer/bridge: who waits for a refused broadcast, aborts that came early,
 * and when looking beats sleeping. */
#include "steer/bridge/bridge_private.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- copies ---- */

static void check_awaited(const char *metadata, const char *const *uuids, size_t count)
{
    json_t *parsed = metadata ? json_loads(metadata, JSON_ALLOW_NUL, NULL) : NULL;
    ck_assert(!metadata || parsed);
    json_t *names = copies_awaited(parsed);
    ck_assert_uint_eq(json_object_size(names), count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(json_object_get(names, uuids[i]), "%s is not awaited of %s", uuids[i],
                      metadata);
    json_decref(names);
    json_decref(parsed);
}

START_TEST(copies_are_awaited_of_each_engine_once)
{
    static const char *const two[] = { "a", "b" };
    check_awaited("{\"targets\": [[\"a\", 0], [\"b\", 1]]}", two, 2);
    check_awaited("{\"targets\": [[\"a\", 0], [\"b\", 1], [\"a\", 0]], \"is_coalescing\": false}",
                  two, 2);
    check_awaited("{\"targets\": [7, [], [\"b\"], null, [3, \"c\"], [\"a\", {}], [\"x\\u0000y\"]]}",
                  two, 2);
}
END_TEST

START_TEST(no_copies_are_awaited_of_nobody_or_of_one_reply)
{
    check_awaited("{\"targets\": [[\"a\", 0]], \"is_coalescing\": true}", NULL, 0);
    check_awaited("{\"targets\": []}", NULL, 0);
    check_awaited("{\"targets\": \"all\"}", NULL, 0);
    check_awaited("{\"targets\": {\"a\": 1}}", NULL, 0);
    check_awaited("{}", NULL, 0);
    check_awaited(NULL, NULL, 0);
}
END_TEST

/* ---- busy poll ---- */

static void wait_often(struct busy_poll *poll, int64_t waited_ns)
{
    for (int i = 0; i < 50; i++)
        busy_poll_waited(poll, waited_ns);
}

START_TEST(bridge_looks_while_something_comes_soon)
{
    struct busy_poll poll;
    busy_poll_init(&poll, true);
    ck_assert_int_eq(busy_poll_limit(&poll, 1), 0); /* nothing has come yet */
    wait_often(&poll, 100000);
    ck_assert_int_gt(busy_poll_limit(&poll, 1), 100000);
    ck_assert_int_gt(busy_poll_limit(&poll, 0), 100000);
    ck_assert_int_lt(busy_poll_limit(&poll, 1), 1000000);
    for (int i = 0; i < 3; i++)
        busy_poll_waited(&poll, INT64_C(3600) * 1000000000);
    ck_assert_int_eq(busy_poll_limit(&poll, 1), 0); /* gives up soon */
    wait_often(&poll, 100000);
    ck_assert_int_gt(busy_poll_limit(&poll, 1), 0); /* and begins again, an hour or not */
    wait_often(&poll, 1000000);
    ck_assert_int_eq(busy_poll_limit(&poll, 1), 0);
}
END_TEST

START_TEST(bridge_leaves_the_cores_to_engines)
{
    struct busy_poll poll = { .cores = 2 };
    ck_assert_int_gt(busy_poll_limit(&poll, 1), 0);
    ck_assert_int_eq(busy_poll_limit(&poll, 2), 0);
    poll.cores = INT_MAX;
    ck_assert_int_gt(busy_poll_limit(&poll, 100000), 0);
}
END_TEST

/* ---- early aborts ---- */

START_TEST(early_abort_is_taken_once_and_of_its_engine)
{
    struct early *early = early_create(10);
    ck_assert(!early_take(early, "m", 1));
    early_add(early, "m", 1);
    early_add(early, "m", 1);
    ck_assert(!early_take(early, "m", 2));
    ck_assert(!early_take(early, "other", 1));
    ck_assert(early_take(early, "m", 1));
    ck_assert(!early_take(early, "m", 1));
    early_destroy(early);
}
END_TEST

START_TEST(early_abort_holds_for_any_engine)
{
    struct early *early = early_create(10);
    early_add(early, "task", 3);
    ck_assert(early_take(early, "task", ANY_ENGINE));
    ck_assert(!early_take(early, "task", ANY_ENGINE));
    early_destroy(early);
}
END_TEST

START_TEST(early_abort_of_a_broadcast_by_either_id)
{
    struct early *early = early_create(10);
    early_add(early, "m", 0);
    early_add(early, "m_uuid1", 1);
    early_add(early, "m_uuid2", 3);
    ck_assert(early_take_copy(early, "m", "uuid0", 0));
    ck_assert(!early_take_copy(early, "m", "uuid0", 0));
    ck_assert(early_take_copy(early, "m", "uuid1", 1));
    ck_assert(!early_take_copy(early, "m", "uuid2", 2));
    early_add(early, "m", 4);
    early_add(early, "m_uuid4", 4);
    ck_assert(early_take_copy(early, "m", "uuid4", 4));
    ck_assert_msg(!early_take_copy(early, "m", "uuid4", 4), "both ids are one abort");
    early_destroy(early);
}
END_TEST

START_TEST(early_aborts_forget_the_oldest)
{
    struct early *early = early_create(4); /* two for each abort */
    early_add(early, "first", 1);
    early_add(early, "second", 1);
    early_add(early, "third", 1);
    ck_assert(!early_take(early, "first", 1));
    ck_assert(early_take(early, "second", 1));
    ck_assert(early_take(early, "third", 1));
    early_destroy(early);
    early_destroy(NULL);
}
END_TEST

static TCase *busy_poll_case(void)
{
    TCase *test = tcase_create("busy poll");
    tcase_add_test(test, bridge_looks_while_something_comes_soon);
    tcase_add_test(test, bridge_leaves_the_cores_to_engines);
    return test;
}

static TCase *early_case(void)
{
    TCase *test = tcase_create("early");
    tcase_add_test(test, early_abort_is_taken_once_and_of_its_engine);
    tcase_add_test(test, early_abort_holds_for_any_engine);
    tcase_add_test(test, early_abort_of_a_broadcast_by_either_id);
    tcase_add_test(test, early_aborts_forget_the_oldest);
    return test;
}

static TCase *copies_case(void)
{
    TCase *test = tcase_create("copies");
    tcase_add_test(test, copies_are_awaited_of_each_engine_once);
    tcase_add_test(test, no_copies_are_awaited_of_nobody_or_of_one_reply);
    return test;
}

int main(void)
{
    Suite *suite = suite_create("bridge");
    suite_add_tcase(suite, copies_case());
    suite_add_tcase(suite, early_case());
    suite_add_tcase(suite, busy_poll_case());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
