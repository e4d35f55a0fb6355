/* SPDX-License-Identifier: BSD-3-Clause
 * What is pure of the room steer/bridge: who waits for a refused broadcast. */
#include "steer/bridge/bridge_private.h"

#include <check.h>
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
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
