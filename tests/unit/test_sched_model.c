/* SPDX-License-Identifier: BSD-3-Clause
 * Drives the scheduler with random events and holds every decision against a model that looks at
 * all tasks each time. IPP_TEST_SEED and IPP_TEST_EVENTS repeat or lengthen a run. */
#include "sched/sched.h"
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENGINES 20
#define LIVE 256 /* tasks alive at once, at most */
#define ROUND_EVENTS 10000
#define DEFAULT_EVENTS 1500000

/* ck_assert writes to a pipe each time it passes: too slow for what is asked millions of times. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s; seed %" PRIu64 ", event %ld of its round", #condition, model.seed,   \
                         model.event);                                                             \
    } while (0)

enum state { UNUSED, WAITING, RUNNING, ENDED };

struct model_task {
    enum state state;
    uint64_t id, order;
    uint32_t targets; /* bits; 0: any engine */
    uint32_t failed;  /* bits */
    int retries;
    int engine;
    int64_t deadline; /* INT64_MAX: none */
    int due_drop;     /* enum sched_drop that the current event must cause, -1: none */
    bool blocked;     /* runs, and does not count */
    bool seen;
};

static struct {
    uint64_t seed, random;
    long event;
    sched_t *sched;
    struct sched_options options;
    struct model_task tasks[LIVE]; /* the task with id i is in slot i % LIVE */
    uint64_t next_id, orders;
    uint32_t alive, paused; /* engines, bits */
    int load[ENGINES];
    uint64_t since[ENGINES], moves;
    int64_t now;
    size_t waiting;
    struct model_task *submitting; /* for it the engine must be the least loaded one */
    long assigned, submitted, ended, retried, dropped[4];
} model;

/* ---- chance ---- */

static uint64_t rnd(uint64_t below)
{
    model.random ^= model.random << 13;
    model.random ^= model.random >> 7;
    model.random ^= model.random << 17;
    return (model.random >> 11) % below;
}

static bool chance(unsigned percent)
{
    return rnd(100) < percent;
}

/* ---- the model ---- */

static uint32_t bit(int engine)
{
    return UINT32_C(1) << engine;
}

/* Engines that may run the task now, busy or not. */
static uint32_t eligible(const struct model_task *task)
{
    return (task->targets ? task->targets : UINT32_MAX) & model.alive & ~task->failed;
}

static uint32_t free_engines(void)
{
    uint32_t bits = 0;
    for (int engine = 0; engine < ENGINES; engine++)
        if (model.alive & ~model.paused & bit(engine))
            if (!model.options.prefetch || model.load[engine] < model.options.prefetch)
                bits |= bit(engine);
    return bits;
}

static bool reachable(const struct model_task *task)
{
    return !task->targets || (task->targets & model.alive);
}

static struct model_task *known(uint64_t id)
{
    struct model_task *task = &model.tasks[id % LIVE];
    MUST(task->id == id && (task->state == WAITING || task->state == RUNNING));
    return task;
}

static void model_load(int engine, int by)
{
    model.load[engine] += by;
    model.since[engine] = ++model.moves;
}

static void model_end(struct model_task *task)
{
    model.waiting -= task->state == WAITING;
    task->state = ENDED;
    model.ended++;
}

static void model_wait(struct model_task *task)
{
    task->state = WAITING;
    task->engine = -1;
    model.waiting++;
}

/* Failed on all that are left: any of them again. */
static void model_settle(struct model_task *task)
{
    if (!eligible(task))
        task->failed = 0;
}

static void model_put_back(struct model_task *task)
{
    task->retries--;
    task->blocked = false;
    model.retried++;
    model_wait(task);
    model_settle(task);
}

static struct model_task *random_task(enum state state)
{
    size_t start = rnd(LIVE);
    for (size_t i = 0; i < LIVE; i++)
        if (model.tasks[(start + i) % LIVE].state == state)
            return &model.tasks[(start + i) % LIVE];
    return NULL;
}

/* ---- what the scheduler decides ---- */

static void check_least_loaded(const struct model_task *task, int engine)
{
    uint32_t others = eligible(task) & free_engines();
    for (int i = 0; i < ENGINES; i++)
        if ((others & bit(i)) && i != engine)
            MUST(model.load[engine] < model.load[i] ||
                 (model.load[engine] == model.load[i] && model.since[engine] < model.since[i]));
}

static void check_oldest(const struct model_task *task, int engine)
{
    for (size_t i = 0; i < LIVE; i++) {
        const struct model_task *other = &model.tasks[i];
        if (other->state == WAITING && other->due_drop < 0 && other->order < task->order)
            MUST(!(eligible(other) & bit(engine)));
    }
}

static void on_assign(void *arg, uint64_t id, int engine, int retries)
{
    MUST(arg == &model);
    struct model_task *task = known(id);
    MUST(task->state == WAITING);
    MUST(task->due_drop < 0);
    MUST(engine >= 0 && engine < ENGINES);
    MUST(eligible(task) & free_engines() & bit(engine));
    MUST(retries == task->retries);
    check_oldest(task, engine);
    if (task == model.submitting)
        check_least_loaded(task, engine);
    task->state = RUNNING;
    task->engine = engine;
    model.waiting--;
    model_load(engine, 1);
    model.assigned++;
    MUST(sched_engine_load(model.sched, engine) == model.load[engine]);
    MUST(sched_queued(model.sched) == model.waiting);
}

static void on_drop(void *arg, uint64_t id, enum sched_drop why, int engine)
{
    MUST(arg == &model);
    struct model_task *task = known(id);
    MUST(task->due_drop == (int)why);
    MUST(engine == (why == SCHED_DROP_ENGINE_LOST ? task->engine : -1));
    model_end(task);
    task->due_drop = -1;
    model.dropped[why]++;
}

/* After each event: nothing is due, and no task waits for an engine that is free. */
static void check_settled(void)
{
    uint32_t vacant = free_engines();
    size_t waiting = 0;
    for (size_t i = 0; i < LIVE; i++) {
        const struct model_task *task = &model.tasks[i];
        MUST(task->due_drop < 0 || task->state == ENDED || task->state == UNUSED);
        if (task->state == WAITING) {
            MUST(!(eligible(task) & vacant));
            waiting++;
        }
    }
    MUST(waiting == model.waiting);
    MUST(sched_queued(model.sched) == waiting);
}

static void on_each(void *arg, uint64_t id, int engine)
{
    size_t *count = arg;
    struct model_task *task = known(id);
    MUST(task->engine == engine);
    MUST(!task->seen);
    task->seen = true;
    ++*count;
}

static void check_all(void)
{
    size_t seen = 0, live = 0;
    sched_each(model.sched, on_each, &seen);
    for (size_t i = 0; i < LIVE; i++) {
        live += model.tasks[i].state == WAITING || model.tasks[i].state == RUNNING;
        model.tasks[i].seen = false;
    }
    MUST(seen == live);
    for (int engine = 0; engine < ENGINES; engine++)
        MUST(sched_engine_load(model.sched, engine) ==
             (model.alive & bit(engine) ? model.load[engine] : -1));
}

/* ---- events ---- */

static uint32_t random_targets(void)
{
    uint32_t bits = 0;
    if (chance(50))
        return 0;
    for (uint64_t i = rnd(4); i < 4; i++)
        bits |= bit((int)rnd(ENGINES));
    return bits;
}

/* In no order and with some twice. */
static size_t list_targets(uint32_t bits, int *list)
{
    size_t count = 0;
    for (int i = 0; i < ENGINES; i++) {
        int engine = (i * 7) % ENGINES;
        if (bits & bit(engine)) {
            list[count++] = engine;
            if (chance(10))
                list[count++] = engine;
        }
    }
    return count;
}

static int expected_refusal(const struct model_task *task)
{
    if (!reachable(task))
        return EHOSTUNREACH;
    if (!(eligible(task) & free_engines()) && model.options.capacity &&
        model.waiting >= model.options.capacity)
        return ENOBUFS;
    return 0;
}

static void event_submit(void)
{
    int targets[2 * ENGINES];
    struct model_task *task = &model.tasks[model.next_id % LIVE];
    if (task->state == WAITING || task->state == RUNNING) {
        struct sched_task again = { .id = task->id };
        MUST(sched_submit(model.sched, &again, model.now) == -1 && errno == EEXIST);
        model.next_id++;
        return;
    }
    *task = (struct model_task){ .id = model.next_id++, .engine = -1, .due_drop = -1 };
    task->targets = random_targets();
    task->retries = chance(50) ? (int)rnd(5) : 0;
    int64_t timeout = chance(20) ? 1 + (int64_t)rnd(200) : 0;
    task->deadline = timeout ? model.now + timeout : INT64_MAX;
    struct sched_task spec = { .id = task->id,
                               .targets = targets,
                               .target_count = list_targets(task->targets, targets),
                               .retries = task->retries,
                               .timeout_ms = timeout };
    int refusal = expected_refusal(task);
    if (refusal) {
        MUST(sched_submit(model.sched, &spec, model.now) == -1 && errno == refusal);
        return;
    }
    model.submitted++;
    task->order = ++model.orders;
    model_wait(task);
    model.submitting = task;
    MUST(sched_submit(model.sched, &spec, model.now) == 0);
    model.submitting = NULL;
}

static void event_done(unsigned fail_percent)
{
    struct model_task *task = random_task(RUNNING);
    if (!task)
        return;
    int engine = task->engine;
    MUST(sched_done(model.sched, task->id, engine + 1, true) == -1 && errno == ENOENT);
    bool ok = !chance(fail_percent);
    bool again = !ok && task->retries > 0;
    if (!task->blocked)
        model_load(engine, -1);
    if (again) {
        task->failed |= bit(engine);
        model_put_back(task);
    } else {
        model_end(task);
    }
    MUST(sched_done(model.sched, task->id, engine, ok) == (again ? SCHED_RETRY : SCHED_FINISHED));
}

static void event_join(void)
{
    int engine = (int)rnd(ENGINES);
    if (model.alive & bit(engine)) {
        MUST(sched_engine_join(model.sched, engine) == -1 && errno == EEXIST);
        return;
    }
    model.alive |= bit(engine);
    model.load[engine] = 0;
    model.since[engine] = ++model.moves;
    MUST(sched_engine_join(model.sched, engine) == 0);
}

static void event_leave(int engine)
{
    if (!(model.alive & bit(engine))) {
        MUST(sched_engine_leave(model.sched, engine) == -1 && errno == ENOENT);
        return;
    }
    model.alive &= ~bit(engine);
    model.paused &= ~bit(engine);
    for (size_t i = 0; i < LIVE; i++) {
        struct model_task *task = &model.tasks[i];
        if (task->state == RUNNING && task->engine == engine) {
            if (task->retries > 0)
                model_put_back(task);
            else
                task->due_drop = SCHED_DROP_ENGINE_LOST;
        }
        if (task->state != WAITING)
            continue;
        model_settle(task);
        if (!reachable(task))
            task->due_drop = SCHED_DROP_UNREACHABLE;
    }
    MUST(sched_engine_leave(model.sched, engine) == 0);
}

static void event_abort(void)
{
    struct model_task *task = random_task(chance(70) ? WAITING : RUNNING);
    if (!task) {
        MUST(sched_abort(model.sched, UINT64_MAX) == -1 && errno == ENOENT);
        return;
    }
    int engine = task->engine;
    if (task->state == WAITING)
        task->due_drop = SCHED_DROP_ABORTED;
    MUST(sched_abort(model.sched, task->id) == engine);
    MUST(engine >= 0 || errno == 0);
}

static void event_tick(void)
{
    int64_t next = INT64_MAX;
    model.now += (int64_t)rnd(30);
    for (size_t i = 0; i < LIVE; i++) {
        struct model_task *task = &model.tasks[i];
        if (task->state != WAITING)
            continue;
        if (task->deadline <= model.now)
            task->due_drop = SCHED_DROP_TIMED_OUT;
        else if (task->deadline < next)
            next = task->deadline;
    }
    MUST(sched_tick(model.sched, model.now) == (next == INT64_MAX ? -1 : next));
}

static void event_pause(int engine, bool pause)
{
    if (!(model.alive & bit(engine))) {
        MUST(sched_engine_pause(model.sched, engine, pause) == -1 && errno == ENOENT);
        return;
    }
    bool was = model.paused & bit(engine);
    model.paused = pause ? model.paused | bit(engine) : model.paused & ~bit(engine);
    if (was && !pause)
        model.since[engine] = ++model.moves;
    MUST(sched_engine_pause(model.sched, engine, pause) == 0);
}

static void event_prefetch(void)
{
    model.options.prefetch = (int)rnd(6);
    MUST(sched_set_prefetch(model.sched, model.options.prefetch) == 0);
}

static void event_blocked(void)
{
    struct model_task *task = random_task(RUNNING);
    if (!task) {
        MUST(sched_task_blocked(model.sched, UINT64_MAX, true) == -1 && errno == ENOENT);
        return;
    }
    bool blocked = chance(60);
    if (task->blocked != blocked)
        model_load(task->engine, blocked ? -1 : 1);
    task->blocked = blocked;
    MUST(sched_task_blocked(model.sched, task->id, blocked) == 0);
}

static void event_tune(void)
{
    switch (rnd(3)) {
    case 0:
        event_pause((int)rnd(ENGINES), chance(50));
        break;
    case 1:
        event_prefetch();
        break;
    default:
        event_blocked();
    }
}

/* ---- rounds ---- */

struct mix {
    unsigned submit, done, join, leave, abort, tick; /* weights, sum 100 */
    unsigned fail;                                   /* percent of done */
};

static const struct mix mixes[] = {
    { 48, 46, 1, 1, 2, 2, 10 },  /* ordinary */
    { 60, 30, 2, 2, 2, 4, 30 },  /* more comes than goes */
    { 38, 58, 1, 1, 1, 1, 80 },  /* nearly all fails */
    { 40, 38, 9, 9, 2, 2, 30 },  /* engines come and go */
    { 45, 40, 2, 7, 3, 3, 20 },  /* few engines */
    { 47, 49, 1, 0, 2, 1, 100 }, /* all fails */
};

static void event(const struct mix *mix)
{
    unsigned dice = (unsigned)rnd(100);
    if (chance(5))
        event_tune();
    else if (dice < mix->submit)
        event_submit();
    else if ((dice -= mix->submit) < mix->done)
        event_done(mix->fail);
    else if ((dice -= mix->done) < mix->join)
        event_join();
    else if ((dice -= mix->join) < mix->leave)
        event_leave((int)rnd(ENGINES));
    else if ((dice -= mix->leave) < mix->abort)
        event_abort();
    else
        event_tick();
    check_settled();
}

/* With all engines there and nothing failing, all that lives comes to its end. */
static void drain(void)
{
    for (int engine = 0; engine < ENGINES; engine++)
        while (!(model.alive & bit(engine)))
            event_join();
    for (int engine = 0; engine < ENGINES; engine++)
        event_pause(engine, false);
    while (random_task(RUNNING))
        event_done(0);
    check_settled();
    check_all();
    MUST(model.waiting == 0);
}

static void play_round(long events)
{
    static const struct sched_callbacks callbacks = { on_assign, on_drop };
    const struct mix *mix = &mixes[rnd(sizeof mixes / sizeof *mixes)];
    model.options =
        (struct sched_options){ .prefetch = (int)rnd(5), .capacity = chance(30) ? 1 + rnd(60) : 0 };
    model.alive = model.paused = 0;
    model.waiting = 0;
    memset(model.tasks, 0, sizeof model.tasks);
    for (size_t i = 0; i < LIVE; i++)
        model.tasks[i].due_drop = -1;
    model.sched = sched_create(&model.options, &callbacks, &model);
    ck_assert_ptr_nonnull(model.sched);
    for (uint64_t i = rnd(ENGINES); i > 0; i--)
        event_join();
    for (model.event = 0; model.event < events; model.event++) {
        event(mix);
        if (model.event % 500 == 0)
            check_all();
    }
    if (chance(70))
        drain();
    else
        model.ended = model.submitted; /* destroyed with tasks alive */
    sched_destroy(model.sched);
    MUST(model.ended == model.submitted);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

START_TEST(random_events)
{
    uint64_t events = setting("IPP_TEST_EVENTS", DEFAULT_EVENTS);
    model.seed = setting("IPP_TEST_SEED", 20240607);
    printf("sched model: IPP_TEST_SEED=%" PRIu64 " IPP_TEST_EVENTS=%" PRIu64 "\n", model.seed,
           events);
    fflush(stdout);
    model.random = model.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (uint64_t played = 0; played < events; played += ROUND_EVENTS)
        play_round((long)(events - played < ROUND_EVENTS ? events - played : ROUND_EVENTS));
    printf("sched model: %ld submitted, %ld assigned, %ld put back; dropped: %ld aborted, "
           "%ld timed out, %ld unreachable, %ld with their engine\n",
           model.submitted, model.assigned, model.retried, model.dropped[SCHED_DROP_ABORTED],
           model.dropped[SCHED_DROP_TIMED_OUT], model.dropped[SCHED_DROP_UNREACHABLE],
           model.dropped[SCHED_DROP_ENGINE_LOST]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_model");
    TCase *tcase = tcase_create("random");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, random_events);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
