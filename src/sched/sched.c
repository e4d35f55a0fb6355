/* SPDX-License-Identifier: BSD-3-Clause
 * The life of a task: taken in, waiting, on an engine, back again, ended. What holds between calls:
 * no task waits while an engine that may run it is free, so only an event's own tasks and engines
 * need to be looked at. A callback is the last thing each step does, when all records agree. */
#include "sched/sched.h"
#include "sched/sched_lane.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

struct sched {
    struct sched_callbacks callbacks;
    void *arg;
    const struct sched_policy *policy;
    size_t capacity;
    bool calling; /* a callback runs */

    struct hash_table tasks; /* all that live, by id */
    struct fleet fleet;
    struct lanes lanes;
    struct deadlines deadlines;
    size_t queued;
    uint64_t submitted; /* tasks so far: the last one's order */
};

static struct task *task_find(const sched_t *sched, uint64_t id)
{
    return (struct task *)hash_table_find(&sched->tasks, id);
}

/* ---- steps ---- */

static void enqueue(sched_t *sched, struct task *task)
{
    task->engine = TASK_QUEUED;
    lanes_put(&sched->lanes, &sched->fleet, task);
    if (task->deadline_ms != TASK_NO_DEADLINE)
        deadlines_add(&sched->deadlines, task);
    sched->queued++;
}

static void dequeue(sched_t *sched, struct task *task)
{
    lanes_take(&sched->lanes, task);
    if (task->timer != TASK_NO_TIMER)
        deadlines_remove(&sched->deadlines, task);
    sched->queued--;
}

/* The task is in no list. */
static void forget(sched_t *sched, struct task *task)
{
    hash_table_remove(&sched->tasks, &task->node);
    lanes_unref(&sched->lanes, &sched->fleet, task->lane);
    if (task->deadline_ms != TASK_NO_DEADLINE)
        deadlines_release(&sched->deadlines);
    free(task);
}

static void assign(sched_t *sched, struct task *task, struct engine *engine)
{
    task->engine = engine->id;
    task_list_append(&engine->tasks, task);
    fleet_shift(&sched->fleet, engine, 1);
    sched->calling = true;
    sched->callbacks.assign(sched->arg, task->node.key, engine->id, task->retries);
    sched->calling = false;
}

/* The task is in no list. */
static void drop(sched_t *sched, struct task *task, enum sched_drop why, int engine)
{
    uint64_t id = task->node.key;
    forget(sched, task);
    sched->calling = true;
    sched->callbacks.drop(sched->arg, id, why, engine);
    sched->calling = false;
}

static void drop_queued(sched_t *sched, struct task *task, enum sched_drop why)
{
    dequeue(sched, task);
    drop(sched, task, why, -1);
}

/* Gives a free engine the oldest task that it may run; false when it is full or there is none. */
static bool serve(sched_t *sched, struct engine *engine)
{
    if (sched->queued == 0 || !fleet_takes(&sched->fleet, engine))
        return false;
    struct task *task = lanes_next(&sched->lanes, engine);
    if (!task)
        return false;
    dequeue(sched, task);
    assign(sched, task, engine);
    return true;
}

/* Any task may run anywhere now: the least loaded engines go first, one task each and round. */
static void serve_all(sched_t *sched)
{
    struct fleet *fleet = &sched->fleet;
    for (int load = fleet->lowest; load >= 0 && load < fleet->limit;
         load = fleet->levels[load].above) {
        struct engine *next;
        for (struct engine *engine = fleet->levels[load].first; engine; engine = next) {
            next = engine->next; /* served, it moves to the level above, and is asked again there */
            serve(sched, engine);
        }
    }
}

/* ---- create, destroy ---- */

static int limit_of(int prefetch)
{
    return prefetch ? prefetch : INT_MAX;
}

sched_t *sched_create(const struct sched_options *options, const struct sched_callbacks *callbacks,
                      void *arg)
{
    if (options->prefetch < 0) {
        errno = EINVAL;
        return NULL;
    }
    sched_t *sched = calloc(1, sizeof *sched);
    if (!sched)
        return NULL;
    sched->callbacks = *callbacks;
    sched->arg = arg;
    sched->policy = options->policy ? options->policy : &sched_leastload;
    sched->capacity = options->capacity ? options->capacity : SIZE_MAX;
    if (hash_table_init(&sched->tasks) < 0 || lanes_init(&sched->lanes) < 0 ||
        fleet_init(&sched->fleet, limit_of(options->prefetch)) < 0) {
        sched_destroy(sched);
        errno = ENOMEM;
        return NULL;
    }
    return sched;
}

static void free_task(struct hash_node *node)
{
    free(node);
}

void sched_destroy(sched_t *sched)
{
    int saved = errno;
    if (!sched)
        return;
    assert(!sched->calling);
    hash_table_free(&sched->tasks, free_task);
    lanes_free(&sched->lanes);
    fleet_free(&sched->fleet);
    free(sched->deadlines.heap);
    free(sched);
    errno = saved;
}

/* ---- engines ---- */

int sched_engine_join(sched_t *sched, int id)
{
    assert(!sched->calling);
    struct engine *engine = fleet_add(&sched->fleet, id);
    if (!engine)
        return -1;
    if (lanes_welcome(&sched->lanes, engine) < 0) {
        fleet_remove(&sched->fleet, engine);
        errno = ENOMEM;
        return -1;
    }
    while (serve(sched, engine))
        ;
    return 0;
}

/* Puts back what an engine that has left was holding; those without retries stay in `lost`. From
 * the youngest to the oldest, so that each goes to the head of its lane at once. */
static void put_back(sched_t *sched, struct task_list *lost)
{
    struct task *older;
    task_list_sort(lost);
    for (struct task *task = lost->tail; task; task = older) {
        older = task->prev;
        if (task->retries == 0)
            continue;
        task->retries--;
        task->blocked = false;
        task_list_remove(lost, task);
        enqueue(sched, task);
    }
}

static void drop_unreachable(sched_t *sched)
{
    struct lane *next;
    for (struct lane *lane = sched->lanes.all; lane; lane = next) {
        next = lane->next;
        if (!lane->waiting.head || lane->target_count == 0 ||
            lane_reachable(lane, &sched->fleet, -1))
            continue;
        lane->refs++;
        while (lane->waiting.head) /* each drop moves it, which the analyser does not see */
            /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
            drop_queued(sched, lane->waiting.head, SCHED_DROP_UNREACHABLE);
        lanes_unref(&sched->lanes, &sched->fleet, lane);
    }
}

int sched_engine_leave(sched_t *sched, int id)
{
    assert(!sched->calling);
    struct engine *engine = fleet_engine(&sched->fleet, id);
    if (!engine) {
        errno = ENOENT;
        return -1;
    }
    struct task_list lost = engine->tasks;
    fleet_remove(&sched->fleet, engine);
    put_back(sched, &lost);
    lanes_collapse(&sched->lanes, &sched->fleet);
    struct task *task;
    while ((task = lost.head)) {
        task_list_remove(&lost, task);
        drop(sched, task, SCHED_DROP_ENGINE_LOST, id);
    }
    drop_unreachable(sched);
    serve_all(sched);
    return 0;
}

int sched_engine_pause(sched_t *sched, int id, bool pause)
{
    assert(!sched->calling);
    struct engine *engine = fleet_engine(&sched->fleet, id);
    if (!engine) {
        errno = ENOENT;
        return -1;
    }
    fleet_pause(&sched->fleet, engine, pause);
    while (serve(sched, engine))
        ;
    return 0;
}

int sched_set_prefetch(sched_t *sched, int prefetch)
{
    assert(!sched->calling);
    if (prefetch < 0) {
        errno = EINVAL;
        return -1;
    }
    int before = sched->fleet.limit;
    sched->fleet.limit = limit_of(prefetch);
    if (fleet_reserve(&sched->fleet, sched->tasks.count) < 0) {
        sched->fleet.limit = before;
        return -1;
    }
    serve_all(sched);
    return 0;
}

/* ---- tasks ---- */

static int64_t deadline(int64_t now_ms, int64_t timeout_ms)
{
    if (timeout_ms == 0 || (now_ms > 0 && timeout_ms >= TASK_NO_DEADLINE - now_ms))
        return TASK_NO_DEADLINE;
    return now_ms + timeout_ms;
}

static int check(const sched_t *sched, const struct sched_task *spec)
{
    if (spec->retries < 0 || spec->timeout_ms < 0)
        errno = EINVAL;
    else if (task_find(sched, spec->id))
        errno = EEXIST;
    else
        return 0;
    return -1;
}

/* Memory for all that may happen to the task later, so that only taking it in can fail. */
static struct task *task_create(sched_t *sched, const struct sched_task *spec, int64_t now_ms)
{
    struct task *task = malloc(sizeof *task);
    if (!task)
        return NULL;
    *task = (struct task){ .node.key = spec->id,
                           .deadline_ms = deadline(now_ms, spec->timeout_ms),
                           .engine = TASK_QUEUED,
                           .retries = spec->retries,
                           .timer = TASK_NO_TIMER };
    if (fleet_reserve(&sched->fleet, sched->tasks.count + 1) < 0)
        goto error;
    task->lane = lanes_get(&sched->lanes, &sched->fleet, spec->targets, spec->target_count);
    if (!task->lane)
        goto error;
    if (task->deadline_ms != TASK_NO_DEADLINE && deadlines_reserve(&sched->deadlines) < 0)
        goto error_lane;
    hash_table_insert(&sched->tasks, &task->node);
    return task;
error_lane:
    lanes_unref(&sched->lanes, &sched->fleet, task->lane);
error:
    free(task);
    errno = ENOMEM;
    return NULL;
}

int sched_submit(sched_t *sched, const struct sched_task *spec, int64_t now_ms)
{
    assert(!sched->calling);
    if (check(sched, spec) < 0)
        return -1;
    struct task *task = task_create(sched, spec, now_ms);
    if (!task)
        return -1;
    struct engine *engine = sched->policy->pick(&sched->fleet, task->lane);
    int refused = 0;
    if (!engine && task->lane->target_count > 0 && !lane_reachable(task->lane, &sched->fleet, -1))
        refused = EHOSTUNREACH;
    else if (!engine && sched->queued >= sched->capacity)
        refused = ENOBUFS;
    if (refused) {
        forget(sched, task);
        errno = refused;
        return -1;
    }
    task->order = ++sched->submitted;
    if (engine)
        assign(sched, task, engine);
    else
        enqueue(sched, task);
    return 0;
}

/* It waits again only if no engine is free for it. The one that is picked takes its oldest task,
 * and where that is the engine which has just got free, this may be another. */
static void retry(sched_t *sched, struct task *task, struct engine *left)
{
    struct engine *engine;
    task->retries--;
    lanes_avoid(&sched->lanes, &sched->fleet, task, left->id);
    enqueue(sched, task);
    while (task->engine == TASK_QUEUED && (engine = sched->policy->pick(&sched->fleet, task->lane)))
        serve(sched, engine);
    serve(sched, left);
}

int sched_done(sched_t *sched, uint64_t id, int engine_id, bool ok)
{
    assert(!sched->calling);
    struct task *task = task_find(sched, id);
    if (!task || task->engine == TASK_QUEUED || task->engine != engine_id) {
        errno = ENOENT;
        return -1;
    }
    struct engine *engine = fleet_engine(&sched->fleet, engine_id);
    task_list_remove(&engine->tasks, task);
    if (!task->blocked)
        fleet_shift(&sched->fleet, engine, -1);
    task->blocked = false;
    if (!ok && task->retries > 0) {
        retry(sched, task, engine);
        return SCHED_RETRY;
    }
    forget(sched, task);
    serve(sched, engine);
    return SCHED_FINISHED;
}

int sched_task_blocked(sched_t *sched, uint64_t id, bool blocked)
{
    assert(!sched->calling);
    struct task *task = task_find(sched, id);
    if (!task || task->engine == TASK_QUEUED) {
        errno = ENOENT;
        return -1;
    }
    struct engine *engine = fleet_engine(&sched->fleet, task->engine);
    if (!blocked && fleet_reserve_load(&sched->fleet, (size_t)engine->load + 1) < 0)
        return -1;
    if (task->blocked != blocked)
        fleet_shift(&sched->fleet, engine, blocked ? -1 : 1);
    task->blocked = blocked;
    while (serve(sched, engine))
        ;
    return 0;
}

int sched_abort(sched_t *sched, uint64_t id)
{
    assert(!sched->calling);
    struct task *task = task_find(sched, id);
    if (!task) {
        errno = ENOENT;
        return -1;
    }
    if (task->engine != TASK_QUEUED)
        return task->engine;
    drop_queued(sched, task, SCHED_DROP_ABORTED);
    errno = 0;
    return -1;
}

int64_t sched_tick(sched_t *sched, int64_t now_ms)
{
    assert(!sched->calling);
    struct deadlines *deadlines = &sched->deadlines;
    while (deadlines->count > 0 && deadlines->heap[0].at_ms <= now_ms)
        drop_queued(sched, deadlines->heap[0].task, SCHED_DROP_TIMED_OUT);
    return deadlines->count > 0 ? deadlines->heap[0].at_ms : -1;
}

/* ---- reading ---- */

size_t sched_queued(const sched_t *sched)
{
    return sched->queued;
}

int sched_engine_load(const sched_t *sched, int id)
{
    const struct engine *engine = fleet_engine(&sched->fleet, id);
    if (!engine) {
        errno = ENOENT;
        return -1;
    }
    return engine->load;
}

void sched_each(const sched_t *sched, void (*fn)(void *arg, uint64_t task, int engine), void *arg)
{
    const struct fleet *fleet = &sched->fleet;
    for (const struct lane *lane = sched->lanes.all; lane; lane = lane->next)
        for (const struct task *task = lane->waiting.head; task; task = task->next)
            fn(arg, task->node.key, TASK_QUEUED);
    for (int id = 0; id < fleet->size; id++)
        for (const struct task *task = fleet->at[id] ? fleet->at[id]->tasks.head : NULL; task;
             task = task->next)
            fn(arg, task->node.key, id);
}
