/* SPDX-License-Identifier: BSD-3-Clause
 * What tasks may ask for: priority, a fair share, other tasks' ends, engines that suit them,
 * several engines at once; and why they wait. What the scheduler decides is written down as text:
 * "7>0" is task 7 to engine 0, "7>0+2" to two engines at once, "7!impossible(3)" a drop that names
 * task 3. */
#include "sched/sched.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static sched_t *sched;
static char said[4096];

static void say(const char *text)
{
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s%s", used ? " " : "", text);
}

static void on_assign(void *arg, const struct sched_live *task, const int *engines, int count)
{
    char text[256];
    int used = snprintf(text, sizeof text, "%u>%d", (unsigned)task->id, engines[0]);
    ck_assert_ptr_eq(arg, said);
    for (int i = 1; i < count; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "+%d", engines[i]);
    say(text);
}

static void on_drop(void *arg, const struct sched_live *task, const struct sched_end *end)
{
    static const char *const words[] = { "aborted",    "late",    "unreachable", "lost",
                                         "impossible", "unknown", "circular" };
    char text[64];
    ck_assert_ptr_eq(arg, said);
    if (end->other)
        snprintf(text, sizeof text, "%u!%s(%u)", (unsigned)task->id, words[end->why],
                 (unsigned)end->other);
    else
        snprintf(text, sizeof text, "%u!%s", (unsigned)task->id, words[end->why]);
    say(text);
}

static void start_with(int engines, const struct sched_options *options)
{
    static const struct sched_callbacks callbacks = { on_assign, on_drop };
    said[0] = '\0';
    sched = sched_create(options, &callbacks, said);
    ck_assert_ptr_nonnull(sched);
    for (int engine = 0; engine < engines; engine++)
        ck_assert_int_eq(sched_engine_join(sched, engine, NULL), 0);
}

static void start(int engines)
{
    start_with(engines, &(struct sched_options){ .prefetch = 1, .remember = 64 });
}

static void stop(void)
{
    sched_destroy(sched);
    sched = NULL;
}

static void expect(const char *text)
{
    ck_assert_str_eq(said, text);
    said[0] = '\0';
}

static int submit(struct sched_task task)
{
    return sched_submit(sched, &task, 0);
}

#define SUBMIT(...) ck_assert_int_eq(submit((struct sched_task){ __VA_ARGS__ }), 0)

#define REFUSED(code, ...)                                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        ck_assert_int_eq(submit((struct sched_task){ __VA_ARGS__ }), -1);                          \
        ck_assert_int_eq(errno, (code));                                                           \
    } while (0)

static void done(uint64_t task, int engine)
{
    ck_assert_int_eq(sched_done(sched, task, engine, SCHED_SUCCEEDED, NULL), SCHED_FINISHED);
}

static void failed(uint64_t task, int engine)
{
    ck_assert_int_eq(sched_done(sched, task, engine, SCHED_FAILED, NULL), SCHED_FINISHED);
}

static const uint64_t one[] = { 1 }, two[] = { 2 }, one_two[] = { 1, 2 }, seven[] = { 7 };

#define ALL_WELL(list)                                                                             \
    {                                                                                              \
        list, sizeof(list) / sizeof *(list), .all = true, .success = true                          \
    }
#define ANY_WELL(list)                                                                             \
    {                                                                                              \
        list, sizeof(list) / sizeof *(list), .success = true                                       \
    }
#define ALL_FAILED(list)                                                                           \
    {                                                                                              \
        list, sizeof(list) / sizeof *(list), .all = true, .failure = true                          \
    }
#define ALL_ENDED(list)                                                                            \
    {                                                                                              \
        list, sizeof(list) / sizeof *(list), .all = true, .success = true, .failure = true         \
    }

/* ---- priority, fairness ---- */

START_TEST(urgent_tasks_go_first)
{
    start(1);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2, .priority = -1);
    SUBMIT(.id = 3);
    SUBMIT(.id = 4, .priority = SCHED_PRIORITY_MOST);
    SUBMIT(.id = 5, .priority = 7);
    SUBMIT(.id = 6);
    expect("1>0");
    done(1, 0), done(4, 0), done(5, 0), done(3, 0), done(6, 0);
    expect("4>0 5>0 3>0 6>0 2>0");
    REFUSED(EINVAL, .id = 9, .priority = SCHED_PRIORITY_MOST + 1);
    REFUSED(EINVAL, .id = 9, .priority = -SCHED_PRIORITY_MOST - 1);
    stop();
}
END_TEST

START_TEST(clients_take_turns)
{
    start(1);
    for (uint64_t id = 1; id <= 4; id++)
        SUBMIT(.id = id, .client = 100);
    SUBMIT(.id = 11, .client = 200);
    SUBMIT(.id = 12, .client = 200);
    SUBMIT(.id = 21, .client = 300);
    expect("1>0");
    done(1, 0), done(2, 0), done(11, 0), done(21, 0), done(3, 0), done(12, 0);
    expect("2>0 11>0 21>0 3>0 12>0 4>0");
    stop();
}
END_TEST

/* One client's tasks take a hundred times as long: it still gets half of the engines, no more. */
START_TEST(long_tasks_do_not_take_over)
{
    start(4);
    for (uint64_t i = 0; i < 100; i++) {
        SUBMIT(.id = 1000 + i, .client = 1);
        SUBMIT(.id = 2000 + i, .client = 2);
    }
    expect("1000>0 2000>1 1001>2 2001>3");
    int engine = 1;
    for (uint64_t i = 0; i < 90; i++) { /* the short ones end, the long ones do not */
        char text[32];
        done(2000 + i, engine);
        snprintf(text, sizeof text, "%u>%d", (unsigned)(2002 + i), engine);
        expect(text);
        engine = 4 - engine;
    }
    stop();
}
END_TEST

/* ---- dependencies ---- */

START_TEST(after_waits_for_what_it_names)
{
    start(3);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2);
    SUBMIT(.id = 3, .after = ALL_WELL(one_two));
    SUBMIT(.id = 4, .after = ANY_WELL(one_two));
    SUBMIT(.id = 5, .after = ALL_FAILED(two));
    SUBMIT(.id = 6, .after = ALL_ENDED(one_two));
    expect("1>0 2>1");
    ck_assert_uint_eq(sched_queued(sched), 4);
    done(1, 0);
    expect("4>2");
    failed(2, 1);
    expect("3!impossible(2) 5>0 6>1");
    SUBMIT(.id = 7, .after = ALL_WELL(one)); /* ended long ago */
    SUBMIT(.id = 8, .after = ALL_WELL(two));
    expect("8!impossible(2)");
    done(4, 2);
    expect("7>2");
    stop();
}
END_TEST

START_TEST(a_failure_goes_down_the_chain)
{
    enum { LENGTH = 100 };
    start(1);
    SUBMIT(.id = 1);
    for (uint64_t id = 2; id <= LENGTH; id++) {
        uint64_t before = id - 1;
        SUBMIT(.id = id, .after = { &before, 1, .all = true, .success = true });
    }
    uint64_t last = LENGTH;
    SUBMIT(.id = LENGTH + 1, .after = { &last, 1, .all = true, .failure = true });
    expect("1>0");
    failed(1, 0);
    ck_assert_str_eq(said + strlen(said) - strlen(" 101>0"), " 101>0");
    ck_assert_uint_eq(sched_live(sched), 1);
    stop();
}
END_TEST

START_TEST(retried_tasks_have_not_ended)
{
    start(2);
    SUBMIT(.id = 1, .retries = 1);
    SUBMIT(.id = 2, .after = ALL_FAILED(one));
    ck_assert_int_eq(sched_done(sched, 1, 0, SCHED_FAILED, NULL), SCHED_RETRY);
    expect("1>0 1>1");
    failed(1, 1);
    expect("2>0");
    stop();
}
END_TEST

START_TEST(dropped_tasks_have_failed)
{
    start(1);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2, .timeout_ms = 5);
    SUBMIT(.id = 3, .after = ALL_WELL(two));
    SUBMIT(.id = 4, .after = ALL_FAILED(two));
    ck_assert_int_eq(sched_tick(sched, 5), -1);
    expect("1>0 2!late 3!impossible(2)");
    ck_assert_int_eq(sched_abort(sched, 4), -1);
    expect("4!aborted");
    SUBMIT(.id = 5, .after = ALL_WELL(one));
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("1!lost 5!impossible(1)");
    stop();
}
END_TEST

START_TEST(held_tasks_can_end)
{
    int zero = 0;
    start(2);
    SUBMIT(.id = 1, .targets = (int[]){ 1 }, .target_count = 1);
    SUBMIT(.id = 2, .after = ALL_WELL(one), .timeout_ms = 10);
    SUBMIT(.id = 3, .after = ALL_WELL(one));
    SUBMIT(.id = 4, .after = ALL_WELL(one), .targets = &zero, .target_count = 1);
    ck_assert_int_eq(sched_tick(sched, 10), -1);
    ck_assert_int_eq(sched_abort(sched, 3), -1);
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("1>1 2!late 3!aborted 4!unreachable");
    done(1, 1);
    expect("");
    stop();
}
END_TEST

START_TEST(dependencies_nobody_can_meet)
{
    start(1);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2, .after = ALL_WELL(two));
    SUBMIT(.id = 3, .after = ALL_WELL(seven));
    SUBMIT(.id = 4, .follow = ANY_WELL(seven));
    expect("1>0 2!circular(2) 3!unknown(7) 4!unknown(7)");
    REFUSED(EINVAL, .id = 5, .after = { one, 1, .all = true });
    stop();
    start_with(1, &(struct sched_options){ .prefetch = 1 }); /* remembers nothing */
    SUBMIT(.id = 1);
    done(1, 0);
    SUBMIT(.id = 2, .after = ALL_WELL(one));
    expect("1>0 2!unknown(1)");
    stop();
}
END_TEST

START_TEST(the_last_tasks_are_remembered)
{
    start(1);
    for (uint64_t id = 1; id <= 200; id++) {
        SUBMIT(.id = id);
        done(id, 0);
    }
    said[0] = '\0';
    uint64_t recent = 200 - 60, old = 200 - 68;
    SUBMIT(.id = 201, .after = { &recent, 1, .all = true, .success = true });
    SUBMIT(.id = 202, .after = { &old, 1, .all = true, .success = true });
    expect("201>0 202!unknown(132)");
    stop();
}
END_TEST

START_TEST(follow_goes_where_they_ran)
{
    int first[] = { 0 };
    start(3);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2);
    SUBMIT(.id = 3, .follow = ALL_WELL(one));
    SUBMIT(.id = 4, .follow = ALL_WELL(one_two));
    SUBMIT(.id = 5, .follow = ANY_WELL(one_two));
    SUBMIT(.id = 6, .follow = ALL_WELL(two), .targets = first, .target_count = 1);
    expect("1>0 2>1");
    done(1, 0);
    expect("3>0");
    done(2, 1);
    expect("4!impossible(1) 6!impossible(2)");
    done(3, 0);
    expect("5>0");
    SUBMIT(.id = 7, .follow = ANY_WELL(one_two)); /* either will do */
    expect("7>1");
    ck_assert_int_eq(sched_engine_leave(sched, 1), 0);
    SUBMIT(.id = 8, .follow = ALL_WELL(two));
    expect("7!lost 8!unreachable");
    stop();
}
END_TEST

/* ---- policies ---- */

static void count_picks(const char *policy, int picks[4])
{
    const struct sched_policy *chosen = sched_policy_find(policy);
    ck_assert_ptr_nonnull(chosen);
    start_with(4, &(struct sched_options){ .policy = chosen });
    for (uint64_t id = 1; id <= 4000; id++) {
        int engine;
        SUBMIT(.id = id);
        ck_assert_int_eq(sched_task_engines(sched, id, &engine, 1), 1);
        picks[engine]++;
        if (engine > 0) /* engine 0 never gets done */
            done(id, engine);
        said[0] = '\0';
    }
    stop();
}

START_TEST(policies_choose)
{
    const struct sched_policy *policy;
    for (size_t i = 0; (policy = sched_policy_at(i)); i++) {
        ck_assert_ptr_eq(sched_policy_find(policy->name), policy);
        ck_assert_int_gt((int)strlen(policy->doc), 0);
    }
    int lru[4] = { 0 }, plainrandom[4] = { 0 }, twobin[4] = { 0 }, weighted[4] = { 0 };
    int leastload[4] = { 0 }, locality[4] = { 0 };
    count_picks("leastload", leastload);
    count_picks("locality", locality);
    ck_assert_int_eq(leastload[0], 1);
    ck_assert_int_eq(locality[0], 1); /* nothing to be near to */
    count_picks("lru", lru);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(lru[i], 1000);
    count_picks("plainrandom", plainrandom);
    for (int i = 0; i < 4; i++) /* a binomial's mean 1000, deviation 27 */
        ck_assert(plainrandom[i] > 860 && plainrandom[i] < 1140);
    count_picks("twobin", twobin); /* the older of two: each in its turn, more or less */
    for (int i = 0; i < 4; i++)
        ck_assert(twobin[i] > 860 && twobin[i] < 1140);
    count_picks("weighted", weighted);
    ck_assert_int_lt(weighted[0], 20);
}
END_TEST

START_TEST(a_task_may_bring_its_policy)
{
    start_with(3, &(struct sched_options){ .prefetch = 0 });
    SUBMIT(.id = 1);
    SUBMIT(.id = 2);
    done(1, 0);
    done(2, 1);
    SUBMIT(.id = 3); /* idle longest */
    done(3, 2);
    SUBMIT(.id = 4, .policy = sched_policy_find("lru"));
    expect("1>0 2>1 3>2 4>0");
    stop();
}
END_TEST

START_TEST(soft_targets)
{
    int one_engine[] = { 1 };
    start(2);
    SUBMIT(.id = 1, .preferred = one_engine, .preferred_count = 1);
    SUBMIT(.id = 2, .preferred = one_engine, .preferred_count = 1); /* busy: elsewhere */
    expect("1>1 2>0");
    SUBMIT(.id = 3);
    SUBMIT(.id = 4);
    SUBMIT(.id = 5, .preferred = one_engine, .preferred_count = 1);
    done(1, 1);
    expect("5>1"); /* before the others, as it would rather be here */
    done(2, 0);
    expect("3>0");
    stop();
}
END_TEST

START_TEST(the_first_is_not_passed_over_for_ever)
{
    start(1);
    int zero[] = { 0 };
    SUBMIT(.id = 1);
    SUBMIT(.id = 2);
    uint64_t id = 3, runs = 1;
    for (; runs != 2 && id < 100; id++) {
        SUBMIT(.id = id, .preferred = zero, .preferred_count = 1);
        done(runs, 0);
        runs = runs == 1 ? 3 : runs + 1;
        if (strstr(said, " 2>0"))
            runs = 2;
    }
    ck_assert_uint_eq(runs, 2);
    ck_assert_uint_lt(id, 30);
    stop();
}
END_TEST

START_TEST(locality_looks_at_the_machine)
{
    static const struct sched_place places[] = {
        { 0, 0, 0, 0 }, { 0, 0, 0, 1 }, { 0, 1, 1, 2 }, { 1, 2, 2, 3 }, { 0, 0, 0, 0 },
    };
    int zero[] = { 0 };
    start_with(0, &(struct sched_options){
                      .policy = sched_policy_find("locality"), .prefetch = 1, .remember = 64 });
    for (int engine = 0; engine < 5; engine++)
        ck_assert_int_eq(sched_engine_join(sched, engine, &places[engine]), 0);
    for (uint64_t id = 1; id <= 5; id++) /* itself, core, NUMA node, host, elsewhere */
        SUBMIT(.id = id, .preferred = zero, .preferred_count = 1);
    expect("1>0 2>4 3>1 4>2 5>3");
    SUBMIT(.id = 6, .after = ALL_WELL(one)); /* its data is on engine 0 */
    SUBMIT(.id = 7);
    done(4, 2);
    expect("7>2");
    done(1, 0);
    expect("6>0");
    stop();
}
END_TEST

/* ---- wide tasks ---- */

START_TEST(wide_tasks_start_at_once)
{
    start(4);
    SUBMIT(.id = 1, .width = 3);
    SUBMIT(.id = 2, .width = 1);
    expect("1>0+1+2 2>3");
    int engines[8];
    ck_assert_int_eq(sched_task_engines(sched, 1, engines, 8), 3);
    ck_assert_int_eq(sched_done(sched, 1, 1, SCHED_SUCCEEDED, NULL), SCHED_PARTIAL);
    ck_assert_int_eq(sched_done(sched, 1, 1, SCHED_SUCCEEDED, NULL), -1);
    ck_assert_int_eq(sched_task_engines(sched, 1, engines, 8), 2);
    ck_assert_int_eq(sched_abort(sched, 1), 0);
    ck_assert_int_eq(sched_done(sched, 1, 0, SCHED_SUCCEEDED, NULL), SCHED_PARTIAL);
    done(1, 2);
    ck_assert_uint_eq(sched_live(sched), 1);
    REFUSED(ERANGE, .id = 3, .width = 5);
    REFUSED(ERANGE, .id = 3, .width = 2, .targets = (int[]){ 1, 9 }, .target_count = 2);
    REFUSED(EHOSTUNREACH, .id = 3, .width = 2, .targets = (int[]){ 8, 9 }, .target_count = 2);
    REFUSED(EINVAL, .id = 3, .width = -1);
    stop();
}
END_TEST

START_TEST(other_engines_do_not_wait_for_what_gathers)
{
    start(4);
    SUBMIT(.id = 1, .targets = (int[]){ 0 }, .target_count = 1);
    SUBMIT(.id = 2, .width = 2, .targets = (int[]){ 0, 1 }, .target_count = 2);
    expect("1>0");
    SUBMIT(.id = 3, .width = 2, .targets = (int[]){ 2, 3 }, .target_count = 2);
    expect("3>2+3");
    SUBMIT(.id = 4, .width = 2, .targets = (int[]){ 1, 2, 3 }, .target_count = 3);
    ck_assert_int_eq(sched_done(sched, 3, 2, SCHED_SUCCEEDED, NULL), SCHED_PARTIAL);
    expect("");
    done(3, 3);
    expect("4>2+3"); /* engine 1 is kept */
    done(1, 0);
    expect("2>0+1");
    stop();
}
END_TEST

START_TEST(what_gathers_gives_way_to_the_urgent)
{
    start(3);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2, .width = 3); /* keeps engines 1 and 2 */
    SUBMIT(.id = 3);
    expect("1>0");
    SUBMIT(.id = 4, .priority = 1);
    SUBMIT(.id = 5, .width = 2, .priority = 2); /* keeps engine 2 */
    expect("4>1");
    SUBMIT(.id = 6, .priority = 1);
    expect("");
    done(4, 1);
    expect("5>1+2");
    ck_assert_int_eq(sched_done(sched, 5, 1, SCHED_SUCCEEDED, NULL), SCHED_PARTIAL);
    expect("6>1");
    done(5, 2);
    done(6, 1);
    expect("");
    done(1, 0);
    expect("2>0+1+2");
    stop();
}
END_TEST

START_TEST(wide_tasks_gather)
{
    struct sched_why why;
    start(3);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2);
    SUBMIT(.id = 3);
    SUBMIT(.id = 4, .width = 2);
    SUBMIT(.id = 5);
    SUBMIT(.id = 6);
    expect("1>0 2>1 3>2");
    done(3, 2); /* 4 is older than 5 */
    expect("");
    ck_assert_int_eq(sched_explain(sched, 4, &why), 0);
    ck_assert_int_eq(why.state, SCHED_GATHERING);
    ck_assert_int_eq(why.gathered, 1);
    ck_assert_int_eq(why.width, 2);
    done(2, 1);
    expect("4>1+2");
    done(1, 0);
    expect("5>0");
    stop();
}
END_TEST

/* Narrow tasks keep coming, and never leave two engines idle at the same time by themselves. */
START_TEST(nobody_starves)
{
    start(2);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2);
    uint64_t next = 3, running[2] = { 1, 2 };
    int narrow = 0, wide = 0;
    said[0] = '\0';
    for (int round = 0; round < 400; round++) {
        SUBMIT(.id = next, .width = round % 10 == 0 ? 2 : 1);
        next++;
        int engine = round % 2;
        uint64_t ended = running[engine];
        if (ended)
            sched_done(sched, ended, engine, SCHED_SUCCEEDED, NULL);
        running[engine] = 0;
        for (char *text = said, *word; (word = strtok(text, " ")); text = NULL) {
            unsigned id;
            int a, b;
            bool is_wide = sscanf(word, "%u>%d+%d", &id, &a, &b) == 3;
            running[a] = id;
            if (is_wide)
                running[b] = id;
            wide += is_wide;
            narrow += !is_wide;
        }
        said[0] = '\0';
    }
    ck_assert_int_gt(wide, 15);
    ck_assert_int_gt(narrow, 150);
    stop();
}
END_TEST

START_TEST(wide_tasks_lose_an_engine)
{
    start(3);
    SUBMIT(.id = 1, .width = 2, .retries = 1);
    SUBMIT(.id = 2, .width = 3);
    expect("1>0+1");
    ck_assert_int_eq(sched_engine_leave(sched, 0), 0);
    expect("2!unreachable"); /* and 1 waits until engine 1 is through with its first try */
    ck_assert_int_eq(sched_done(sched, 1, 1, SCHED_FAILED, NULL), SCHED_PARTIAL);
    expect("1>1+2");
    SUBMIT(.id = 3);
    ck_assert_int_eq(sched_engine_leave(sched, 2), 0);
    expect("1!lost");
    ck_assert_int_eq(sched_engine_load(sched, 1), 1);
    ck_assert_int_eq(sched_done(sched, 1, 1, SCHED_SUCCEEDED, NULL), SCHED_PARTIAL);
    expect("3>1");
    stop();
}
END_TEST

START_TEST(a_wide_task_that_gathers_can_end)
{
    start(2);
    SUBMIT(.id = 1);
    SUBMIT(.id = 2, .width = 2, .timeout_ms = 10);
    SUBMIT(.id = 3);
    expect("1>0");
    ck_assert_int_eq(sched_tick(sched, 9), 10);
    ck_assert_int_eq(sched_tick(sched, 10), -1);
    expect("2!late 3>1");
    stop();
}
END_TEST

/* ---- why ---- */

START_TEST(explained)
{
    struct sched_why why;
    start(2);
    SUBMIT(.id = 1, .targets = (int[]){ 0 }, .target_count = 1, .client = 77);
    SUBMIT(.id = 2, .targets = (int[]){ 0, 5 }, .target_count = 2, .timeout_ms = 30);
    SUBMIT(.id = 3, .targets = (int[]){ 5, 0 }, .target_count = 2);
    SUBMIT(.id = 4, .targets = (int[]){ 0 }, .target_count = 1, .priority = 2);
    SUBMIT(.id = 5, .after = ALL_WELL(one_two));
    expect("1>0");
    ck_assert_int_eq(sched_explain(sched, 1, &why), 0);
    ck_assert_int_eq(why.state, SCHED_ASSIGNED);
    ck_assert_int_eq(why.engine, 0);
    ck_assert_int_eq(why.ahead, 0);
    ck_assert_uint_eq(why.client, 77);
    ck_assert_int_eq(sched_explain(sched, 3, &why), 0);
    ck_assert_int_eq(why.state, SCHED_WAITING);
    ck_assert_int_eq((int)why.older, 1);
    ck_assert_int_eq((int)why.urgent, 1);
    ck_assert_int_eq(why.targets, 2);
    ck_assert_int_eq(why.alive, 1);
    ck_assert_int_eq(why.full, 1);
    ck_assert_int_eq(why.deadline_ms == INT64_MAX, true);
    ck_assert_int_eq(sched_explain(sched, 2, &why), 0);
    ck_assert_int_eq(why.deadline_ms == 30, true);
    ck_assert_int_eq(sched_explain(sched, 5, &why), 0);
    ck_assert_int_eq(why.state, SCHED_HELD);
    ck_assert_uint_eq(why.other, 1);
    ck_assert_uint_eq(why.others, 2);
    ck_assert(why.all && !why.follow);
    errno = 0;
    ck_assert_int_eq(sched_explain(sched, 6, &why), -1);
    ck_assert_int_eq(errno, ENOENT);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_wants");
    TCase *tcase = tcase_create("wants");
    tcase_add_test(tcase, urgent_tasks_go_first);
    tcase_add_test(tcase, clients_take_turns);
    tcase_add_test(tcase, long_tasks_do_not_take_over);
    tcase_add_test(tcase, after_waits_for_what_it_names);
    tcase_add_test(tcase, a_failure_goes_down_the_chain);
    tcase_add_test(tcase, retried_tasks_have_not_ended);
    tcase_add_test(tcase, dropped_tasks_have_failed);
    tcase_add_test(tcase, held_tasks_can_end);
    tcase_add_test(tcase, dependencies_nobody_can_meet);
    tcase_add_test(tcase, the_last_tasks_are_remembered);
    tcase_add_test(tcase, follow_goes_where_they_ran);
    tcase_add_test(tcase, policies_choose);
    tcase_add_test(tcase, a_task_may_bring_its_policy);
    tcase_add_test(tcase, soft_targets);
    tcase_add_test(tcase, the_first_is_not_passed_over_for_ever);
    tcase_add_test(tcase, locality_looks_at_the_machine);
    tcase_add_test(tcase, wide_tasks_start_at_once);
    tcase_add_test(tcase, wide_tasks_gather);
    tcase_add_test(tcase, other_engines_do_not_wait_for_what_gathers);
    tcase_add_test(tcase, what_gathers_gives_way_to_the_urgent);
    tcase_add_test(tcase, nobody_starves);
    tcase_add_test(tcase, wide_tasks_lose_an_engine);
    tcase_add_test(tcase, a_wide_task_that_gathers_can_end);
    tcase_add_test(tcase, explained);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
