/* SPDX-License-Identifier: BSD-3-Clause
 * The scheduler's promises one by one. What it decides is written down as text: "7>0" is task 7 to
 * engine 0, "7!lost0" a drop. */
#include "sched/sched.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sched_t *sched;
static char said[4096];

static void say(const char *format, uint64_t task, const char *what, int engine)
{
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, format, used ? " " : "", (unsigned)task, what,
             engine);
}

static void on_assign(void *arg, const struct sched_live *task, const int *engines, int count)
{
    ck_assert_ptr_eq(arg, said);
    ck_assert_int_ge(task->retries, 0);
    ck_assert_int_eq(count, 1);
    ck_assert_int_gt(sched_engine_load(sched, engines[0]), 0); /* reading is allowed */
    say("%s%u%s%d", task->id, ">", engines[0]);
}

static void on_drop(void *arg, const struct sched_live *task, const struct sched_end *end)
{
    static const char *const words[] = { "!aborted", "!late", "!unreachable", "!lost" };
    ck_assert_ptr_eq(arg, said);
    say("%s%u%s%d", task->id, words[end->why], end->engine);
}

static const struct sched_callbacks callbacks = { on_assign, on_drop };

/* A scheduler with engines 0 .. engines-1. */
static void start(int engines, int prefetch, size_t capacity)
{
    struct sched_options options = { .prefetch = prefetch, .capacity = capacity };
    sched = sched_create(&options, &callbacks, said);
    ck_assert_ptr_nonnull(sched);
    for (int engine = 0; engine < engines; engine++)
        ck_assert_int_eq(sched_engine_join(sched, engine, NULL), 0);
}

static void stop(void)
{
    sched_destroy(sched);
    sched = NULL;
}

/* What it has said since the last time. */
static void expect(const char *text)
{
    ck_assert_str_eq(said, text);
    said[0] = '\0';
}

static int submit(uint64_t id, int retries)
{
    struct sched_task task = { .id = id, .retries = retries };
    return sched_submit(sched, &task, 0);
}

static int submit_to(uint64_t id, int retries, int a, int b)
{
    int targets[2] = { a, b };
    struct sched_task task = {
        .id = id, .retries = retries, .targets = targets, .target_count = 2
    };
    return sched_submit(sched, &task, 0);
}

static int submit_until(uint64_t id, int64_t now_ms, int64_t timeout_ms)
{
    struct sched_task task = { .id = id, .retries = 1, .timeout_ms = timeout_ms };
    return sched_submit(sched, &task, now_ms);
}

#define FAILS_WITH(code, call)                                                                     \
    do {                                                                                           \
        errno = 0;                                                                                 \
        ck_assert_int_eq((call), -1);                                                              \
        ck_assert_int_eq(errno, (code));                                                           \
    } while (0)

START_TEST(policies_have_names)
{
    ck_assert_ptr_eq(sched_policy_find("leastload"), &sched_leastload);
    errno = 0;
    ck_assert_ptr_null(sched_policy_find("psychic"));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(create_refuses_and_destroy_keeps_errno)
{
    struct sched_options options = { .prefetch = -1 };
    errno = 0;
    ck_assert_ptr_null(sched_create(&options, &callbacks, said));
    ck_assert_int_eq(errno, EINVAL);
    sched_destroy(NULL);
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(engines_join_once)
{
    start(1, 1, 0);
    FAILS_WITH(EEXIST, sched_engine_join(sched, 0, NULL));
    FAILS_WITH(EINVAL, sched_engine_join(sched, -1, NULL));
    FAILS_WITH(ENOENT, sched_engine_leave(sched, 1));
    FAILS_WITH(ENOENT, sched_engine_leave(sched, -1));
    FAILS_WITH(ENOENT, sched_engine_load(sched, 1));
    ck_assert_int_eq(sched_engine_load(sched, 0), 0);
    stop();
}
END_TEST

START_TEST(longest_idle_goes_first)
{
    start(3, 2, 0);
    submit(1, 0), submit(2, 0);
    expect("1>0 2>1");
    sched_done(sched, 1, 0, SCHED_SUCCEEDED, NULL); /* engine 2 has been idle for longer */
    submit(3, 0), submit(4, 0), submit(5, 0);
    expect("3>2 4>0 5>1");
    stop();
}
END_TEST

START_TEST(prefetch_bounds_what_an_engine_holds)
{
    start(1, 2, 0);
    for (uint64_t id = 1; id <= 4; id++)
        ck_assert_int_eq(submit(id, 0), 0);
    expect("1>0 2>0");
    ck_assert_int_eq(sched_engine_load(sched, 0), 2);
    ck_assert_uint_eq(sched_queued(sched), 2);
    ck_assert_int_eq(sched_done(sched, 2, 0, SCHED_SUCCEEDED, NULL), SCHED_FINISHED);
    expect("3>0");
    stop();
    start(2, 0, 0); /* no limit */
    for (uint64_t id = 1; id <= 6; id++)
        ck_assert_int_eq(submit(id, 0), 0);
    expect("1>0 2>1 3>0 4>1 5>0 6>1");
    stop();
}
END_TEST

START_TEST(order_holds_across_targets)
{
    start(2, 1, 0);
    submit(1, 0), submit(2, 0);
    submit_to(3, 0, 1, 1), submit(4, 0), submit_to(5, 0, 0, 1), submit_to(6, 0, 0, 0);
    expect("1>0 2>1");
    sched_done(sched, 1, 0, SCHED_SUCCEEDED, NULL);
    expect("4>0"); /* 3 may not */
    sched_done(sched, 4, 0, SCHED_SUCCEEDED, NULL);
    expect("5>0");
    sched_done(sched, 5, 0, SCHED_SUCCEEDED, NULL);
    expect("6>0");
    sched_done(sched, 2, 1, SCHED_SUCCEEDED, NULL);
    expect("3>1");
    stop();
}
END_TEST

START_TEST(submit_refuses)
{
    struct sched_task task = { .id = 9, .retries = -1 };
    start(1, 1, 1);
    FAILS_WITH(EINVAL, sched_submit(sched, &task, 0));
    FAILS_WITH(EINVAL, submit_until(9, 0, -1));
    FAILS_WITH(EHOSTUNREACH, submit_to(9, 0, 1, -5));
    ck_assert_int_eq(submit(1, 0), 0);
    FAILS_WITH(EEXIST, submit(1, 0));
    ck_assert_int_eq(submit(2, 0), 0);
    FAILS_WITH(EEXIST, submit(2, 0));
    FAILS_WITH(ENOBUFS, submit(3, 0));
    ck_assert_int_eq(sched_engine_join(sched, 1, NULL), 0);
    ck_assert_int_eq(sched_engine_join(sched, 2, NULL), 0);
    expect("1>0 2>1");
    ck_assert_int_eq(submit_to(3, 0, 0, 1), 0);
    ck_assert_int_eq(submit(4, 0), 0); /* full, but it need not wait */
    expect("4>2");
    stop();
}
END_TEST

START_TEST(done_comes_from_where_it_runs)
{
    start(2, 1, 0);
    submit(1, 0), submit_to(2, 0, 0, 0);
    FAILS_WITH(ENOENT, sched_done(sched, 1, 1, SCHED_SUCCEEDED, NULL));
    FAILS_WITH(ENOENT, sched_done(sched, 2, -1, SCHED_SUCCEEDED, NULL)); /* waits */
    FAILS_WITH(ENOENT, sched_done(sched, 7, 0, SCHED_SUCCEEDED, NULL));
    ck_assert_int_eq(sched_done(sched, 1, 0, SCHED_FAILED, NULL), SCHED_FINISHED);
    FAILS_WITH(ENOENT, sched_done(sched, 1, 0, SCHED_FAILED, NULL));
    expect("1>0 2>0");
    stop();
}
END_TEST

START_TEST(retry_goes_elsewhere_first)
{
    start(2, 1, 0);
    submit(1, 3), submit(2, 0), submit(3, 0);
    expect("1>0 2>1");
    ck_assert_int_eq(sched_done(sched, 1, 0, SCHED_FAILED, NULL), SCHED_RETRY);
    expect("3>0"); /* 1 waits for engine 1 */
    sched_done(sched, 3, 0, SCHED_SUCCEEDED, NULL);
    expect("");
    sched_done(sched, 2, 1, SCHED_SUCCEEDED, NULL);
    expect("1>1");
    sched_done(sched, 1, 1, SCHED_FAILED,
               NULL); /* failed on both: any again, engine 0 is idle for longer */
    expect("1>0");
    sched_done(sched, 1, 0, SCHED_FAILED, NULL);
    expect("1>1");
    ck_assert_int_eq(sched_done(sched, 1, 1, SCHED_FAILED, NULL), SCHED_FINISHED);
    ck_assert_uint_eq(sched_queued(sched), 0);
    stop();
}
END_TEST

START_TEST(retry_stays_on_its_targets)
{
    start(3, 1, 0);
    submit_to(1, 2, 1, 2);
    sched_done(sched, 1, 1, SCHED_FAILED, NULL);
    sched_done(sched, 1, 2, SCHED_FAILED, NULL);
    expect("1>1 1>2 1>1");
    stop();
}
END_TEST

START_TEST(lost_engine_frees_who_avoids_the_others)
{
    start(2, 1, 0);
    submit(1, 1), submit(2, 0);
    sched_done(sched, 1, 0, SCHED_FAILED, NULL); /* waits for engine 1 */
    expect("1>0 2>1");
    ck_assert_int_eq(sched_engine_leave(sched, 1), 0);
    expect("2!lost1 1>0");
    stop();
}
END_TEST

START_TEST(lost_tasks_come_back_in_order)
{
    start(1, 3, 0);
    for (uint64_t id = 1; id <= 5; id++)
        ck_assert_int_eq(submit(id, id == 2 ? 0 : 1), 0);
    expect("1>0 2>0 3>0");
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("2!lost0");
    ck_assert_uint_eq(sched_queued(sched), 4);
    ck_assert_int_eq(submit(6, 0), 0); /* no engine: it waits as they do */
    ck_assert_int_eq(sched_engine_join(sched, 0, NULL), 0);
    expect("1>0 3>0 4>0");
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0); /* 1 and 3 have used their retry */
    expect("1!lost0 3!lost0");
    ck_assert_int_eq(sched_engine_join(sched, 8, NULL), 0);
    expect("4>8 5>8 6>8");
    stop();
}
END_TEST

START_TEST(lost_tasks_are_spread)
{
    start(3, 2, 0);
    for (uint64_t id = 1; id <= 4; id++)
        submit(id, 1);
    expect("1>0 2>1 3>2 4>0");
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("1>1 4>2");
    stop();
}
END_TEST

START_TEST(targets_that_are_all_gone)
{
    start(3, 1, 0);
    submit(1, 0), submit(2, 0), submit(3, 0);
    submit_to(4, 0, 0, 1), submit_to(5, 0, 1, 2), submit(6, 0);
    expect("1>0 2>1 3>2");
    ck_assert_int_eq(sched_engine_leave(sched, 1), 0);
    expect("2!lost1");
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("1!lost0 4!unreachable-1");
    ck_assert_int_eq(sched_engine_join(sched, 1, NULL), 0);
    expect("5>1");
    stop();
    start(1, 1, 0); /* a retry, but nowhere to go */
    submit_to(1, 5, 0, 0);
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("1>0 1!unreachable-1");
    stop();
}
END_TEST

START_TEST(abort_drops_what_waits)
{
    start(1, 1, 0);
    submit(1, 0), submit(2, 0);
    ck_assert_int_eq(sched_abort(sched, 1), 0); /* engine 0 has it */
    FAILS_WITH(0, sched_abort(sched, 2));
    FAILS_WITH(ENOENT, sched_abort(sched, 2));
    expect("1>0 2!aborted-1");
    stop();
}
END_TEST

START_TEST(deadlines)
{
    start(1, 1, 0);
    ck_assert_int_eq(sched_tick(sched, 0), -1);
    submit_until(1, 100, 50), submit_until(2, 100, 70), submit_until(3, 100, 30);
    submit_until(4, 100, INT64_MAX); /* as good as none */
    ck_assert_int_eq(sched_tick(sched, 129), 130);
    ck_assert_int_eq(sched_tick(sched, 130), 170); /* 1 does not wait */
    expect("1>0 3!late-1");
    sched_done(sched, 1, 0, SCHED_FAILED, NULL); /* 1 goes first and keeps its deadline */
    sched_engine_leave(sched, 0);
    expect("1>0 1!lost0");
    ck_assert_int_eq(sched_tick(sched, 1000), -1);
    expect("2!late-1");
    ck_assert_uint_eq(sched_queued(sched), 1);
    stop();
}
END_TEST

START_TEST(put_back_keeps_its_deadline)
{
    start(1, 1, 0);
    submit_until(1, 0, 10);
    ck_assert_int_eq(sched_tick(sched, 50), -1);
    sched_engine_leave(sched, 0);
    ck_assert_int_eq(sched_tick(sched, 50), -1);
    expect("1>0 1!late-1");
    stop();
}
END_TEST

static void on_each(void *arg, const struct sched_live *task, int engine)
{
    ck_assert_ptr_eq(arg, sched);
    say("%s%u%s%d", task->id, "@", engine);
}

START_TEST(each_live_task_is_shown_once)
{
    start(2, 1, 0);
    for (uint64_t id = 1; id <= 4; id++)
        submit(id, 0);
    expect("1>0 2>1");
    sched_each(sched, on_each, sched);
    expect("3@-1 4@-1 1@0 2@1");
    stop();
}
END_TEST

/* ---- engines that take less, or more ---- */

START_TEST(paused_engines_get_nothing)
{
    start(2, 1, 0);
    ck_assert_int_eq(sched_engine_pause(sched, 0, true), 0);
    ck_assert_int_eq(submit(1, 0), 0);
    ck_assert_int_eq(submit(2, 0), 0);
    ck_assert_int_eq(submit_to(3, 0, 0, 0), 0); /* it may wait for it */
    expect("1>1");
    ck_assert_int_eq(sched_engine_pause(sched, 0, false), 0);
    expect("2>0");
    ck_assert_int_eq(sched_engine_pause(sched, 0, true), 0);
    ck_assert_int_eq(sched_engine_pause(sched, 0, true), 0);
    ck_assert_int_eq(sched_done(sched, 2, 0, SCHED_SUCCEEDED, NULL), SCHED_FINISHED);
    expect("");
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("3!unreachable-1");
    ck_assert_int_lt(sched_engine_pause(sched, 0, true), 0);
    ck_assert_int_eq(errno, ENOENT);
    stop();
}
END_TEST

START_TEST(the_prefetch_may_change)
{
    start(2, 1, 0);
    for (uint64_t id = 1; id <= 6; id++)
        ck_assert_int_eq(submit(id, 0), 0);
    expect("1>0 2>1");
    ck_assert_int_eq(sched_set_prefetch(sched, 2), 0);
    expect("3>0 4>1");
    ck_assert_int_lt(sched_set_prefetch(sched, -1), 0);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(sched_set_prefetch(sched, 1), 0);
    ck_assert_int_eq(sched_done(sched, 1, 0, SCHED_SUCCEEDED, NULL),
                     SCHED_FINISHED); /* it still holds one */
    expect("");
    ck_assert_int_eq(sched_set_prefetch(sched, 0), 0);
    expect("5>0 6>1");
    stop();
}
END_TEST

START_TEST(a_task_that_waits_makes_room)
{
    start(1, 1, 0);
    ck_assert_int_eq(submit(1, 1), 0);
    ck_assert_int_eq(submit(2, 0), 0);
    ck_assert_int_eq(submit(3, 0), 0);
    expect("1>0");
    ck_assert_int_eq(sched_task_blocked(sched, 1, 0, true), 0);
    ck_assert_int_eq(sched_task_blocked(sched, 1, 0, true), 0);
    expect("2>0");
    ck_assert_int_eq(sched_engine_load(sched, 0), 1);
    ck_assert_int_eq(sched_task_blocked(sched, 1, 0, false), 0);
    ck_assert_int_eq(sched_engine_load(sched, 0), 2);
    ck_assert_int_eq(sched_done(sched, 2, 0, SCHED_SUCCEEDED, NULL), SCHED_FINISHED);
    expect("");
    ck_assert_int_eq(sched_task_blocked(sched, 1, 0, true), 0);
    expect("3>0");
    ck_assert_int_eq(sched_done(sched, 1, 0, SCHED_FAILED, NULL),
                     SCHED_RETRY); /* it counts again */
    ck_assert_int_eq(sched_engine_load(sched, 0), 1);
    ck_assert_int_eq(sched_done(sched, 3, 0, SCHED_SUCCEEDED, NULL), SCHED_FINISHED);
    expect("1>0");
    ck_assert_int_eq(sched_done(sched, 1, 0, SCHED_SUCCEEDED, NULL), SCHED_FINISHED);
    ck_assert_int_eq(sched_engine_load(sched, 0), 0);
    ck_assert_int_lt(sched_task_blocked(sched, 1, 0, true), 0);
    ck_assert_int_eq(errno, ENOENT);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched");
    TCase *tcase = tcase_create("promises");
    tcase_add_test(tcase, policies_have_names);
    tcase_add_test(tcase, create_refuses_and_destroy_keeps_errno);
    tcase_add_test(tcase, engines_join_once);
    tcase_add_test(tcase, longest_idle_goes_first);
    tcase_add_test(tcase, prefetch_bounds_what_an_engine_holds);
    tcase_add_test(tcase, order_holds_across_targets);
    tcase_add_test(tcase, submit_refuses);
    tcase_add_test(tcase, done_comes_from_where_it_runs);
    tcase_add_test(tcase, retry_goes_elsewhere_first);
    tcase_add_test(tcase, retry_stays_on_its_targets);
    tcase_add_test(tcase, lost_engine_frees_who_avoids_the_others);
    tcase_add_test(tcase, lost_tasks_come_back_in_order);
    tcase_add_test(tcase, lost_tasks_are_spread);
    tcase_add_test(tcase, targets_that_are_all_gone);
    tcase_add_test(tcase, abort_drops_what_waits);
    tcase_add_test(tcase, deadlines);
    tcase_add_test(tcase, put_back_keeps_its_deadline);
    tcase_add_test(tcase, each_live_task_is_shown_once);
    tcase_add_test(tcase, paused_engines_get_nothing);
    tcase_add_test(tcase, the_prefetch_may_change);
    tcase_add_test(tcase, a_task_that_waits_makes_room);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
