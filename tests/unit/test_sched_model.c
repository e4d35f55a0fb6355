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

#define CLIENTS 3
#define HISTORY 4096 /* ids that a task may depend on are younger; the scheduler remembers more */

enum state { UNUSED, HELD, WAITING, RUNNING, ENDED };

struct model_need {
    uint64_t ids[3];
    size_t count;
    bool all, success, failure;
};

struct model_task {
    enum state state;
    uint64_t id, order, client;
    int priority, width;
    uint32_t targets;   /* bits; 0: any engine */
    uint32_t failed;    /* bits */
    uint32_t preferred; /* bits */
    struct model_need after, follow;
    const struct sched_policy *policy; /* NULL: the scheduler's */
    int retries;
    uint32_t engines; /* that it runs on, bits */
    int first;        /* the least of those that it began on */
    int64_t deadline; /* INT64_MAX: none */
    unsigned due;     /* enum sched_drop, bits: the current event must cause one of them */
    bool doomed;      /* `due` has been set, and what follows from that been found */
    int lost;         /* the engine that it must be said to be lost with */
    enum sched_outcome worst, of_first; /* a wide one, so far */
    bool blocked;                       /* runs, and does not count */
    bool declined;                      /* by all */
    bool seen;
};

/* What has become of an id. */
enum fate { UNKNOWN, LIVING, WELL, ILL };

/* What an engine still does for a wide task that goes on without it. */
struct orphan {
    uint64_t id;
    int engine;
};

static struct {
    uint64_t seed, random;
    long event;
    sched_t *sched;
    struct sched_options options;
    bool wide;                     /* this round has wide tasks: see check_settled */
    struct model_task tasks[LIVE]; /* the task with id i is in slot i % LIVE */
    enum fate fates[HISTORY];      /* of id i in slot i % HISTORY */
    int places[HISTORY];           /* where it ended, -1: nowhere */
    int parts[ENGINES];            /* of wide tasks, that run and do not wait */
    struct orphan orphans[LIVE];
    size_t orphan_count;
    uint64_t next_id, orders;
    uint32_t alive, paused; /* engines, bits */
    int load[ENGINES];
    uint64_t since[ENGINES], moves;
    int held[CLIENTS]; /* engines of each client */
    int64_t now;
    size_t queued;
    struct model_task *submitting; /* for it the engine must be the least loaded one */
    long assigned, submitted, ended, retried, dropped[7], released, gathered, disowned;
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

static int count_bits(uint32_t bits)
{
    return __builtin_popcount(bits);
}

/* Engines where the task may run, busy or not. */
static uint32_t eligible(const struct model_task *task)
{
    return (task->targets ? task->targets : UINT32_MAX) & model.alive & ~task->failed;
}

static uint32_t free_engines(void)
{
    uint32_t bits = 0;
    for (int engine = 0; engine < ENGINES; engine++)
        if ((model.alive & ~model.paused & bit(engine)) && model.parts[engine] == 0)
            if (!model.options.prefetch || model.load[engine] < model.options.prefetch)
                bits |= bit(engine);
    return bits;
}

static bool reachable(const struct model_task *task)
{
    uint32_t alive = (task->targets ? task->targets : UINT32_MAX) & model.alive;
    return (task->targets == 0 && task->width == 1) || count_bits(alive) >= task->width;
}

static bool is_live(const struct model_task *task)
{
    return task->state == HELD || task->state == WAITING || task->state == RUNNING;
}

static bool is_queued(const struct model_task *task)
{
    return task->state == HELD || task->state == WAITING;
}

static struct model_task *known(uint64_t id)
{
    struct model_task *task = &model.tasks[id % LIVE];
    MUST(task->id == id && is_live(task));
    return task;
}

static void model_load(int engine, int by)
{
    model.load[engine] += by;
    model.since[engine] = ++model.moves;
}

/* Of ids that another one may still be told to depend on. */
static void set_fate(uint64_t id, enum fate fate, int engine)
{
    if (id + HISTORY < model.next_id)
        return;
    model.fates[id % HISTORY] = fate;
    model.places[id % HISTORY] = engine;
}

static void model_end(struct model_task *task)
{
    model.queued -= is_queued(task);
    task->state = ENDED;
    model.ended++;
}

static void model_wait(struct model_task *task)
{
    task->state = WAITING;
    model.queued++;
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
    task->engines = 0;
    model.retried++;
    model_wait(task);
    model_settle(task);
}

/* The task has left that engine, and does not count there any more. */
static void model_leave(struct model_task *task, int engine)
{
    task->engines &= ~bit(engine);
    model.parts[engine] -= task->width > 1;
    if (!task->blocked) {
        model_load(engine, -1);
        model.held[task->client]--;
    }
}

static struct model_task *random_task(enum state state)
{
    size_t start = rnd(LIVE);
    for (size_t i = 0; i < LIVE; i++)
        if (model.tasks[(start + i) % LIVE].state == state)
            return &model.tasks[(start + i) % LIVE];
    return NULL;
}

/* ---- dependencies in the model ---- */

/* UNKNOWN, or the task itself: never good. */
static bool is_good(const struct model_need *need, uint64_t id)
{
    enum fate fate = model.fates[id % HISTORY];
    return (fate == WELL && need->success) || (fate == ILL && need->failure);
}

static bool is_met(const struct model_need *need)
{
    size_t good = 0;
    for (size_t i = 0; i < need->count; i++)
        good += is_good(need, need->ids[i]);
    return need->count == 0 || (need->all ? good == need->count : good > 0);
}

static bool is_impossible(const struct model_need *need)
{
    size_t pending = 0, good = 0;
    for (size_t i = 0; i < need->count; i++) {
        pending += model.fates[need->ids[i] % HISTORY] == LIVING;
        good += is_good(need, need->ids[i]);
    }
    if (need->count == 0)
        return false;
    return need->all ? good + pending < need->count : good + pending == 0;
}

static uint32_t ends_of(const struct model_need *need)
{
    uint32_t engines = 0;
    for (size_t i = 0; i < need->count; i++)
        if (is_good(need, need->ids[i]) && model.places[need->ids[i] % HISTORY] >= 0)
            engines |= bit(model.places[need->ids[i] % HISTORY]);
    return engines;
}

/* What it depends on has come true. */
static void model_release(struct model_task *task)
{
    uint32_t follow = ends_of(&task->follow);
    const struct sched_policy *policy = task->policy ? task->policy : model.options.policy;
    if (policy == sched_policy_find("locality") && !task->preferred)
        task->preferred = ends_of(&task->after);
    task->state = WAITING;
    model.released += task->after.count + task->follow.count > 0;
    if (!reachable(task))
        task->due |= 1u << SCHED_DROP_UNREACHABLE;
    if (!follow)
        return;
    if (task->follow.all && count_bits(follow) > 1) {
        task->due |= 1u << SCHED_DROP_IMPOSSIBLE;
        return;
    }
    if (task->targets && !(follow & task->targets)) {
        task->due |= 1u << SCHED_DROP_IMPOSSIBLE;
        return;
    }
    task->targets = task->targets ? task->targets & follow : follow;
    if (!reachable(task))
        task->due |= 1u << SCHED_DROP_UNREACHABLE;
}

/* An id among the unmet dependencies' that may be blamed. */
static bool may_blame(const struct model_task *task, uint64_t id)
{
    const struct model_need *needs[] = { &task->after, &task->follow };
    for (int n = 0; n < 2; n++)
        for (size_t i = 0; i < needs[n]->count; i++)
            if (needs[n]->ids[i] == id)
                return true;
    return false;
}

/* Some tasks have ended, or are due to: what follows from that. */
static void model_consequences(void)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < LIVE; i++) {
            struct model_task *task = &model.tasks[i];
            if (task->due && is_live(task) && !task->doomed) {
                task->doomed = true;
                set_fate(task->id, ILL, task->lost);
                more = true;
            }
            if (task->state != HELD)
                continue;
            if (is_impossible(&task->after) || is_impossible(&task->follow))
                task->due |= 1u << SCHED_DROP_IMPOSSIBLE;
            else if (is_met(&task->after) && is_met(&task->follow))
                model_release(task);
            else
                continue;
            more = more || (task->due && !task->doomed);
        }
    }
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

/* A task that might have been given that engine instead had no better right to it. */
static void check_rank(const struct model_task *task, const struct model_task *other, int engine)
{
    if (!(eligible(other) & bit(engine)) || other->width > 1)
        return;
    MUST(other->priority <= task->priority);
    if (other->priority < task->priority)
        return;
    if (other->client != task->client)
        MUST(model.held[other->client] >= model.held[task->client]);
    else if (other->order < task->order)
        MUST(task->preferred & bit(engine));
}

static void check_turn(const struct model_task *task, int engine)
{
    for (size_t i = 0; i < LIVE; i++)
        if (model.tasks[i].state == WAITING && !model.tasks[i].due && &model.tasks[i] != task)
            check_rank(task, &model.tasks[i], engine);
}

static void on_assign(void *arg, const struct sched_live *live, const int *engines, int count)
{
    MUST(arg == &model);
    struct model_task *task = known(live->id);
    MUST(live->item == task);
    MUST(task->state == WAITING && !task->due);
    MUST(count == task->width);
    MUST(live->retries == task->retries);
    const struct sched_policy *policy = task->policy ? task->policy : model.options.policy;
    task->first = engines[0];
    for (int i = 0; i < count; i++) {
        int engine = engines[i];
        MUST(engine >= 0 && engine < ENGINES && !(task->engines & bit(engine)));
        MUST(eligible(task) & free_engines() & bit(engine));
        if (count > 1)
            MUST(model.load[engine] == 0);
        else
            check_turn(task, engine);
        if (task == model.submitting && policy == &sched_leastload && !task->preferred &&
            !model.wide)
            check_least_loaded(task, engine);
        task->engines |= bit(engine);
        model.parts[engine] += count > 1;
    }
    task->state = RUNNING;
    task->worst = task->of_first = SCHED_SUCCEEDED;
    model.queued--;
    model.assigned++;
    model.gathered += count > 1;
    model.held[task->client] += count;
    for (int i = 0; i < count; i++) {
        model_load(engines[i], 1);
        MUST(sched_engine_load(model.sched, engines[i]) == model.load[engines[i]]);
    }
    int listed[ENGINES];
    MUST(sched_task_engines(model.sched, live->id, listed, ENGINES) == count);
    MUST(memcmp(listed, engines, (size_t)count * sizeof *listed) == 0);
}

static void on_drop(void *arg, const struct sched_live *live, const struct sched_end *end)
{
    MUST(arg == &model);
    struct model_task *task = known(live->id);
    MUST(live->item == task);
    MUST(task->due & (1u << end->why));
    MUST(end->engine == (end->why == SCHED_DROP_ENGINE_LOST ? task->lost : -1));
    bool blames = end->why == SCHED_DROP_IMPOSSIBLE || end->why == SCHED_DROP_UNKNOWN ||
                  end->why == SCHED_DROP_CIRCULAR;
    MUST(blames && !task->declined ? may_blame(task, end->other) : end->other == 0);
    model_end(task);
    task->due = 0;
    model.dropped[end->why]++;
}

static bool all_idle(void)
{
    if (model.alive == 0 || model.paused || model.orphan_count > 0)
        return false;
    for (int engine = 0; engine < ENGINES; engine++)
        if ((model.alive & bit(engine)) && model.load[engine] > 0)
            return false;
    return true;
}

/* After each event: nothing is due, and no task waits for an engine that is free; where there are
 * wide tasks, one may keep engines free until it starts, but not all of them. */
static void check_settled(void)
{
    uint32_t vacant = free_engines();
    size_t queued = 0;
    uint32_t wanted = 0; /* engines that wide tasks may keep free */
    for (size_t i = 0; i < LIVE; i++)
        if (model.tasks[i].state == WAITING && model.tasks[i].width > 1)
            wanted |= model.tasks[i].targets ? model.tasks[i].targets : UINT32_MAX;
    for (size_t i = 0; i < LIVE; i++) {
        const struct model_task *task = &model.tasks[i];
        MUST(!task->due);
        queued += is_queued(task);
        if (task->state == WAITING && task->width == 1)
            MUST(!(eligible(task) & vacant & ~wanted));
        if (task->state == HELD)
            MUST(!is_met(&task->after) || !is_met(&task->follow));
    }
    MUST(queued == model.queued);
    MUST(sched_queued(model.sched) == queued);
    MUST(!wanted || !all_idle());
}

static void on_each(void *arg, const struct sched_live *live, int engine)
{
    size_t *count = arg;
    struct model_task *task = known(live->id);
    MUST(task->state == RUNNING ? (task->engines & bit(engine)) != 0 : engine == -1);
    MUST(!task->seen);
    task->seen = true;
    ++*count;
}

static void check_why(const struct model_task *task)
{
    struct sched_why why;
    MUST(sched_explain(model.sched, task->id, &why) == 0);
    MUST(why.client == task->client && why.priority == task->priority);
    MUST(why.width == task->width);
    MUST(why.deadline_ms == task->deadline);
    switch (task->state) {
    case HELD:
        MUST(why.state == SCHED_HELD);
        MUST(model.fates[why.other % HISTORY] == LIVING && may_blame(task, why.other));
        break;
    case WAITING:
        MUST(why.state == SCHED_WAITING || (task->width > 1 && why.state == SCHED_GATHERING));
        if (why.state == SCHED_WAITING)
            MUST(why.alive == count_bits(eligible(task)));
        break;
    default:
        MUST(why.state == SCHED_ASSIGNED && (task->engines & bit(why.engine)));
    }
}

static void check_all(void)
{
    size_t seen = 0, live = 0;
    sched_each(model.sched, on_each, &seen);
    for (size_t i = 0; i < LIVE; i++) {
        struct model_task *task = &model.tasks[i];
        if (is_live(task)) {
            live++;
            check_why(task);
            MUST(sched_item(model.sched, task->id) == task);
        }
        task->seen = false;
    }
    MUST(seen == live && sched_live(model.sched) == live);
    for (int engine = 0; engine < ENGINES; engine++)
        MUST(sched_engine_load(model.sched, engine) ==
             (model.alive & bit(engine) ? model.load[engine] : -1));
}

/* ---- events ---- */

static uint32_t random_engines(unsigned none_percent)
{
    uint32_t bits = 0;
    if (chance(none_percent))
        return 0;
    for (uint64_t i = rnd(4); i < 4; i++)
        bits |= bit((int)rnd(ENGINES));
    return bits;
}

/* In no order and with some twice. */
static size_t list_engines(uint32_t bits, int *list)
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

/* On tasks that are there, have ended, were never taken in, or are yet to come. */
static void random_need(struct model_need *need, uint64_t id, bool follow)
{
    if (!chance(15) || id < 100)
        return;
    need->count = 1 + rnd(3);
    need->all = chance(60);
    need->success = chance(80);
    need->failure = !need->success || chance(30);
    if (follow && !need->all && need->failure)
        need->count = 1; /* in what order several fail at once is the scheduler's affair */
    for (size_t i = 0; i < need->count; i++)
        need->ids[i] = id - 1 - rnd(chance(80) ? 20 : 100);
    if (chance(2))
        need->ids[0] = chance(50) ? id : id + 3;
}

static int expected_refusal(const struct model_task *task)
{
    bool depends = task->after.count > 0 || task->follow.count > 0;
    bool at_once = task->width == 1 && !depends && (eligible(task) & free_engines());
    if (at_once && !model.wide)
        return 0;
    if (!reachable(task))
        return task->width > 1 && eligible(task) ? ERANGE : EHOSTUNREACH;
    return model.options.capacity && model.queued >= model.options.capacity ? ENOBUFS : 0;
}

static void random_task_spec(struct model_task *task)
{
    uint64_t policies = 0;
    while (sched_policy_at(policies))
        policies++;
    task->client = rnd(CLIENTS);
    task->priority = chance(60) ? 0 : (int)rnd(5) - 2;
    task->width = model.wide && chance(10) ? 2 + (int)rnd(6) : 1;
    task->targets = random_engines(task->width > 1 ? 90 : 50);
    task->preferred = random_engines(80);
    task->policy = chance(80) ? NULL : sched_policy_at(rnd(policies));
    random_need(&task->after, task->id, false);
    random_need(&task->follow, task->id, true);
    task->retries = chance(50) ? (int)rnd(5) : 0;
    task->lost = -1;
}

/* Dropped as soon as it is taken in; UNKNOWN and CIRCULAR are said before IMPOSSIBLE. */
static void expect_doom(struct model_task *task)
{
    const struct model_need *needs[] = { &task->after, &task->follow };
    unsigned due = 0;
    for (int n = 0; n < 2; n++)
        for (size_t i = 0; i < needs[n]->count; i++) {
            if (needs[n]->ids[i] == task->id)
                due |= 1u << SCHED_DROP_CIRCULAR;
            else if (needs[n]->ids[i] > task->id ||
                     model.fates[needs[n]->ids[i] % HISTORY] == UNKNOWN)
                due |= 1u << SCHED_DROP_UNKNOWN;
        }
    task->due = due;
}

static struct sched_dependency spec_of(const struct model_need *need)
{
    return (struct sched_dependency){ need->ids, need->count, need->all, need->success,
                                      need->failure };
}

static void event_submit(void)
{
    int targets[2 * ENGINES], preferred[2 * ENGINES];
    struct model_task *task = &model.tasks[model.next_id % LIVE];
    if (is_live(task)) {
        struct sched_task again = { .id = task->id };
        MUST(sched_submit(model.sched, &again, model.now) == -1 && errno == EEXIST);
        model.next_id++;
        set_fate(model.next_id - 1, UNKNOWN, -1);
        return;
    }
    *task = (struct model_task){ .id = model.next_id++ };
    set_fate(task->id, UNKNOWN, -1);
    random_task_spec(task);
    int64_t timeout = chance(20) ? 1 + (int64_t)rnd(200) : 0;
    task->deadline = timeout ? model.now + timeout : INT64_MAX;
    struct sched_task spec = { .id = task->id,
                               .item = task,
                               .client = task->client,
                               .priority = task->priority,
                               .targets = targets,
                               .target_count = list_engines(task->targets, targets),
                               .preferred = preferred,
                               .preferred_count = list_engines(task->preferred, preferred),
                               .width = task->width > 1 ? task->width : (int)rnd(2),
                               .policy = task->policy,
                               .after = spec_of(&task->after),
                               .follow = spec_of(&task->follow),
                               .retries = task->retries,
                               .timeout_ms = timeout };
    int refusal = expected_refusal(task);
    expect_doom(task);
    if (refusal && (!model.wide || refusal != ENOBUFS)) {
        MUST(sched_submit(model.sched, &spec, model.now) == -1 && errno == refusal);
        task->due = 0;
        return;
    }
    task->order = ++model.orders;
    task->state = HELD;
    model.queued++;
    set_fate(task->id, LIVING, -1);
    model_consequences();
    model.submitting = task;
    if (sched_submit(model.sched, &spec, model.now) < 0) { /* engines may be kept for a wide one */
        MUST(model.wide && errno == ENOBUFS && refusal == ENOBUFS);
        model.queued--;
        *task = (struct model_task){ .id = task->id };
        set_fate(task->id, UNKNOWN, -1);
    } else {
        model.submitted++;
    }
    model.submitting = NULL;
}

/* An engine has reported what nobody waits for any more. */
static bool orphan_done(void)
{
    if (model.orphan_count == 0 || !chance(30))
        return false;
    struct orphan *orphan = &model.orphans[rnd(model.orphan_count)];
    struct orphan done = *orphan;
    *orphan = model.orphans[--model.orphan_count];
    model_load(done.engine, -1);
    model.parts[done.engine]--;
    MUST(sched_done(model.sched, done.id, done.engine, (enum sched_outcome)rnd(3), NULL) ==
         SCHED_PARTIAL);
    return true;
}

static int random_engine_of(const struct model_task *task)
{
    int engine = (int)rnd(ENGINES);
    while (!(task->engines & bit(engine)))
        engine = (engine + 1) % ENGINES;
    return engine;
}

/* An engine sends a task on to the others. */
static bool declined(void)
{
    struct model_task *task = chance(4) ? random_task(RUNNING) : NULL;
    if (!task || task->width > 1)
        return false;
    int engine = random_engine_of(task);
    model_leave(task, engine);
    if (eligible(task) & ~bit(engine)) {
        task->retries++; /* it costs none */
        task->failed |= bit(engine);
        model_put_back(task);
    } else {
        task->due = 1u << SCHED_DROP_IMPOSSIBLE;
        task->declined = true;
        model_consequences();
    }
    MUST(sched_declined(model.sched, task->id, ENGINES) == -1 && errno == ENOENT);
    MUST(sched_declined(model.sched, task->id, engine) == 0);
    return true;
}

static void event_done(unsigned fail_percent)
{
    void *item = NULL;
    if (orphan_done() || declined())
        return;
    struct model_task *task = random_task(RUNNING);
    if (!task)
        return;
    int engine = random_engine_of(task), expected = SCHED_FINISHED;
    MUST(sched_done(model.sched, task->id, ENGINES, SCHED_SUCCEEDED, NULL) == -1 &&
         errno == ENOENT);
    enum sched_outcome outcome = !chance(fail_percent) ? SCHED_SUCCEEDED
                                 : chance(20)          ? SCHED_STOPPED
                                                       : SCHED_FAILED;
    task->worst = task->worst < outcome ? outcome : task->worst;
    if (engine == task->first)
        task->of_first = outcome;
    bool counts_on_more = task->of_first == SCHED_FAILED && task->retries > 0;
    model_leave(task, engine);
    if (task->engines) {
        expected = SCHED_PARTIAL;
    } else if (task->width > 1 && task->worst == SCHED_STOPPED && counts_on_more) {
        expected = SCHED_PARTIAL;
        task->due = 1u << SCHED_DROP_ABORTED;
        model_consequences();
    } else if (task->width > 1 && task->worst == SCHED_FAILED && task->retries > 0 &&
               !reachable(task)) {
        expected = SCHED_PARTIAL;
        task->due = 1u << SCHED_DROP_UNREACHABLE;
        model_consequences();
    } else if (task->worst == SCHED_FAILED && task->retries > 0 && reachable(task)) {
        expected = SCHED_RETRY;
        if (task->width == 1)
            task->failed |= bit(engine);
        model_put_back(task);
    } else {
        set_fate(task->id, task->worst == SCHED_SUCCEEDED ? WELL : ILL, task->first);
        model_end(task);
        model_consequences();
    }
    MUST(sched_done(model.sched, task->id, engine, outcome, &item) == expected);
    MUST(item == (expected == SCHED_FINISHED ? task : NULL));
}

static void event_join(void)
{
    int engine = (int)rnd(ENGINES);
    if (model.alive & bit(engine)) {
        MUST(sched_engine_join(model.sched, engine, NULL) == -1 && errno == EEXIST);
        return;
    }
    model.alive |= bit(engine);
    model.load[engine] = 0;
    model.since[engine] = ++model.moves;
    MUST(sched_engine_join(model.sched, engine, NULL) == 0);
}

static void lose_orphans(int engine)
{
    size_t kept = 0;
    for (size_t i = 0; i < model.orphan_count; i++)
        if (model.orphans[i].engine != engine)
            model.orphans[kept++] = model.orphans[i];
    model.orphan_count = kept;
}

/* What the task's other engines do for it counts for nobody. */
static void disown(struct model_task *task, int lost)
{
    for (int engine = 0; engine < ENGINES; engine++) {
        if (!(task->engines & bit(engine)))
            continue;
        if (!task->blocked)
            model.held[task->client]--;
        if (engine == lost)
            continue;
        MUST(model.orphan_count < LIVE);
        model.orphans[model.orphan_count++] = (struct orphan){ task->id, engine };
        model.disowned++;
    }
}

static void event_leave(int engine)
{
    if (!(model.alive & bit(engine))) {
        MUST(sched_engine_leave(model.sched, engine) == -1 && errno == ENOENT);
        return;
    }
    model.alive &= ~bit(engine);
    model.paused &= ~bit(engine);
    lose_orphans(engine);
    model.parts[engine] = 0;
    for (size_t i = 0; i < LIVE; i++) {
        struct model_task *task = &model.tasks[i];
        if (task->state == RUNNING && (task->engines & bit(engine))) {
            disown(task, engine);
            if (task->retries > 0) {
                model_put_back(task);
            } else {
                task->due = 1u << SCHED_DROP_ENGINE_LOST;
                task->lost = engine;
            }
        }
        if (task->state == WAITING)
            model_settle(task);
        if (is_queued(task) && !reachable(task))
            task->due |= 1u << SCHED_DROP_UNREACHABLE;
    }
    model_consequences();
    MUST(sched_engine_leave(model.sched, engine) == 0);
}

static void event_abort(void)
{
    struct model_task *task = random_task(chance(30) ? RUNNING : chance(50) ? WAITING : HELD);
    if (!task) {
        MUST(sched_abort(model.sched, UINT64_MAX) == -1 && errno == ENOENT);
        return;
    }
    bool queued = is_queued(task);
    if (queued)
        task->due = 1u << SCHED_DROP_ABORTED;
    uint32_t engines = task->engines;
    model_consequences();
    int engine = sched_abort(model.sched, task->id);
    MUST(queued ? engine == -1 && errno == 0 : (engines & bit(engine)) != 0);
}

static void event_tick(void)
{
    int64_t next = INT64_MAX;
    model.now += (int64_t)rnd(30);
    for (size_t i = 0; i < LIVE; i++)
        if (is_queued(&model.tasks[i]) && model.tasks[i].deadline <= model.now)
            model.tasks[i].due = 1u << SCHED_DROP_TIMED_OUT;
    model_consequences();
    int64_t said = sched_tick(model.sched, model.now);
    for (size_t i = 0; i < LIVE; i++)
        if (is_queued(&model.tasks[i]) && model.tasks[i].deadline < next)
            next = model.tasks[i].deadline;
    MUST(said == (next == INT64_MAX ? -1 : next));
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
        MUST(sched_task_blocked(model.sched, UINT64_MAX, 0, true) == -1 && errno == ENOENT);
        return;
    }
    if (task->width > 1)
        return;
    int engine = random_engine_of(task);
    bool blocked = chance(60);
    if (task->blocked != blocked) {
        model_load(engine, blocked ? -1 : 1);
        model.held[task->client] += blocked ? -1 : 1;
    }
    task->blocked = blocked;
    MUST(sched_task_blocked(model.sched, task->id, engine, blocked) == 0);
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
    while (random_task(RUNNING) || model.orphan_count > 0) {
        event_done(0);
        check_settled();
    }
    check_all();
    MUST(model.queued == 0);
}

static void play_round(long events)
{
    static const struct sched_callbacks callbacks = { on_assign, on_drop };
    const struct mix *mix = &mixes[rnd(sizeof mixes / sizeof *mixes)];
    model.options = (struct sched_options){ .policy = sched_policy_at(chance(50) ? 0 : rnd(6)),
                                            .prefetch = (int)rnd(5),
                                            .capacity = chance(30) ? 1 + rnd(60) : 0,
                                            .remember = (size_t)4 * HISTORY };
    model.wide = chance(40);
    model.alive = model.paused = 0;
    model.queued = 0;
    model.orphan_count = 0;
    memset(model.tasks, 0, sizeof model.tasks);
    memset(model.fates, 0, sizeof model.fates);
    memset(model.held, 0, sizeof model.held);
    memset(model.parts, 0, sizeof model.parts);
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
    printf("sched model: %ld submitted, %ld assigned, %ld put back, %ld released, %ld gathered, "
           "%ld disowned; dropped: %ld aborted, %ld timed out, %ld unreachable, %ld with their "
           "engine, %ld impossible, %ld unknown, %ld circular\n",
           model.submitted, model.assigned, model.retried, model.released, model.gathered,
           model.disowned, model.dropped[SCHED_DROP_ABORTED], model.dropped[SCHED_DROP_TIMED_OUT],
           model.dropped[SCHED_DROP_UNREACHABLE], model.dropped[SCHED_DROP_ENGINE_LOST],
           model.dropped[SCHED_DROP_IMPOSSIBLE], model.dropped[SCHED_DROP_UNKNOWN],
           model.dropped[SCHED_DROP_CIRCULAR]);
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
