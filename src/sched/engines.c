/* SPDX-License-Identifier: BSD-3-Clause
 * Engines come, go, and take more or less. */
#include "sched/sched_private.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static struct engine *engine_find(const sched_t *sched, int id)
{
    struct engine *engine = fleet_engine(&sched->fleet, id);
    if (!engine)
        errno = ENOENT;
    return engine;
}

static void serve(sched_t *sched, struct engine *engine)
{
    while (step_serve(sched, engine))
        ;
    step_settle(sched);
}

int sched_engine_join(sched_t *sched, int id, const struct sched_place *place)
{
    assert(!sched->calling);
    struct engine *engine = fleet_add(&sched->fleet, id, place);
    if (!engine)
        return -1;
    if (flows_welcome(&sched->flows, &sched->fleet, engine) < 0) {
        flows_dismiss(&sched->flows, engine);
        fleet_remove(&sched->fleet, engine);
        errno = ENOMEM;
        return -1;
    }
    gang_refill(sched);
    serve(sched, engine);
    return 0;
}

void sched_engine_place(sched_t *sched, int id, const struct sched_place *place)
{
    struct engine *engine = fleet_engine(&sched->fleet, id);
    if (engine)
        engine->place = *place;
}

/* ---- leaving ---- */

/* All that the engine holds, in order of submission. */
static struct task_list take_all(sched_t *sched, struct engine *engine)
{
    struct task_list lost = engine->tasks;
    engine->tasks = (struct task_list){ NULL, NULL };
    for (struct task *task = lost.head; task; task = task->next) {
        if (!task->blocked)
            flow_hold(&sched->flows, flow_of(task), -1);
        task->blocked = false;
    }
    gang_lost(sched, engine, &lost);
    task_list_sort(&lost);
    return lost;
}

/* Those without retries stay in `lost`. From the youngest to the oldest, so that each goes to the
 * head of its lane at once. */
static void put_back(sched_t *sched, struct task_list *lost)
{
    struct task *older;
    for (struct task *task = lost->tail; task; task = older) {
        older = task->prev;
        if (task->retries == 0 || gang_allot(task) < 0)
            continue;
        task->retries--;
        task_list_remove(lost, task);
        step_enqueue(sched, task);
    }
}

static void drop_waiting(sched_t *sched, struct lanes *lanes)
{
    struct lane *next;
    for (struct lane *lane = lanes->all; lane; lane = next) {
        next = lane->next;
        if (!lane->waiting.head || !lane_hopeless(lane, &sched->fleet))
            continue;
        lane->refs++;
        while (lane->waiting.head) /* each drop moves it, which the analyser does not see */
            /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
            step_drop_queued(sched, lane->waiting.head, SCHED_DROP_UNREACHABLE);
        lanes_unref(&sched->fleet, lane);
    }
}

static void drop_unreachable(sched_t *sched)
{
    struct task *next;
    for (struct flow *flow = sched->flows.all; flow; flow = flow->next)
        drop_waiting(sched, &flow->lanes);
    for (struct task *task = sched->held.head; task; task = next) {
        next = task->next;
        if (lane_hopeless(task->lane, &sched->fleet))
            needs_give_up(sched, task);
    }
    struct task *gathering = sched->gang.task;
    if (gathering && lane_hopeless(gathering->lane, &sched->fleet))
        step_drop_queued(sched, gathering, SCHED_DROP_UNREACHABLE);
}

int sched_engine_leave(sched_t *sched, int id)
{
    assert(!sched->calling);
    struct engine *engine = engine_find(sched, id);
    if (!engine)
        return -1;
    struct task_list lost = take_all(sched, engine);
    gang_excuse(sched, engine);
    flows_dismiss(&sched->flows, engine);
    fleet_remove(&sched->fleet, engine);
    put_back(sched, &lost);
    flows_collapse(&sched->flows, &sched->fleet);
    while (lost.head)
        step_drop(sched, task_list_shift(&lost),
                  &(struct sched_end){ .why = SCHED_DROP_ENGINE_LOST, .engine = id });
    drop_unreachable(sched);
    gang_refill(sched);
    sched->review = true;
    step_settle(sched);
    return 0;
}

/* ---- more or less ---- */

int sched_engine_pause(sched_t *sched, int id, bool pause)
{
    assert(!sched->calling);
    struct engine *engine = engine_find(sched, id);
    if (!engine)
        return -1;
    if (pause) {
        fleet_close(&sched->fleet, engine, CLOSED_PAUSED);
        gang_excuse(sched, engine);
    } else {
        fleet_open(&sched->fleet, engine, CLOSED_PAUSED);
    }
    gang_refill(sched);
    serve(sched, engine);
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
    sched->fleet.limit = prefetch ? prefetch : INT_MAX;
    if (fleet_reserve(&sched->fleet, sched->tasks.count + 1) < 0) {
        sched->fleet.limit = before;
        return -1;
    }
    fleet_set_limit(&sched->fleet, sched->fleet.limit);
    sched->review = true;
    step_settle(sched);
    return 0;
}
