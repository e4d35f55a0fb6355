/* SPDX-License-Identifier: BSD-3-Clause
 * What can be read of a scheduler: counts, lists, and why a task is where it is. */
#include "sched/sched_private.h"

#include <errno.h>

size_t sched_live(const sched_t *sched)
{
    return sched->tasks.count;
}

size_t sched_queued(const sched_t *sched)
{
    return sched->queued;
}

void *sched_item(const sched_t *sched, uint64_t id)
{
    const struct task *task = task_find(sched, id);
    if (!task)
        errno = ENOENT;
    return task ? task->item : NULL;
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

int sched_task_engines(const sched_t *sched, uint64_t id, int *engines, int size)
{
    const struct task *task = task_find(sched, id);
    int count = 0;
    if (!task) {
        errno = ENOENT;
        return -1;
    }
    if (task->engine >= 0) {
        if (size > 0)
            engines[0] = task->engine;
        return 1;
    }
    for (int i = 0; task->engine == TASK_WIDE && i < task->more->wide->part_count; i++) {
        if (task->more->wide->parts[i]->task != task)
            continue; /* it has reported */
        if (count < size)
            engines[count] = task->more->wide->parts[i]->engine;
        count++;
    }
    return count;
}

/* ---- each ---- */

struct visit {
    void (*fn)(void *arg, const struct sched_live *task, int engine);
    void *arg;
};

static void show(const struct visit *visit, const struct task *task, int engine)
{
    struct sched_live live = task_live(task);
    visit->fn(visit->arg, &live, engine);
}

static void show_list(const struct visit *visit, const struct task_list *list)
{
    for (const struct task *task = list->head; task; task = task->next)
        show(visit, task, task->engine >= 0 ? task->engine : -1);
}

void sched_each(const sched_t *sched,
                void (*fn)(void *arg, const struct sched_live *task, int engine), void *arg)
{
    struct visit visit = { fn, arg };
    const struct fleet *fleet = &sched->fleet;
    if (sched->gang.task)
        show(&visit, sched->gang.task, -1);
    for (const struct flow *flow = sched->flows.all; flow; flow = flow->next)
        for (const struct lane *lane = flow->lanes.all; lane; lane = lane->next)
            show_list(&visit, &lane->waiting);
    show_list(&visit, &sched->held);
    for (int id = 0; id < fleet->size; id++)
        if (fleet->at[id])
            show_list(&visit, &fleet->at[id]->tasks);
    for (const struct task *task = sched->wide.head; task; task = task->next) {
        int first = -1;
        sched_task_engines(sched, task->node.key, &first, 1);
        show(&visit, task, first);
    }
}

/* ---- why ---- */

static void explain_held(const struct task *task, struct sched_why *why)
{
    const struct need *need = need_unmet(task);
    if (!need)
        return;
    why->follow = need == &task->more->follow;
    why->all = need->all;
    why->others = need->pending;
    for (size_t i = 0; i < need->count && why->other == 0; i++)
        if (need->edges[i].lives)
            why->other = edge_id(&need->edges[i]);
}

static void count_others(const sched_t *sched, int priority, struct sched_why *why)
{
    for (const struct flow *flow = sched->flows.active; flow; flow = flow->active_next) {
        why->urgent += flow->priority > priority ? flow->waiting : 0;
        why->equal += flow->priority == priority ? flow->waiting : 0;
    }
}

static void count_engine(const struct fleet *fleet, const struct engine *engine,
                         struct sched_why *why)
{
    why->alive++;
    if (engine->closed & CLOSED_PAUSED)
        why->paused++;
    else if (engine->closed & CLOSED_GATHERED)
        why->kept++;
    else if (!fleet_takes(fleet, engine))
        why->full++;
}

static void explain_waiting(const sched_t *sched, const struct task *task, struct sched_why *why)
{
    const struct fleet *fleet = &sched->fleet;
    why->targets = task->lane->target_count;
    why->failed = task->lane->failed_count;
    why->other = sched->gang.task ? sched->gang.task->node.key : 0;
    count_others(sched, flow_of(task)->priority, why);
    for (const struct task *older = task->prev; older; older = older->prev)
        why->older++;
    for (int id = 0; id < fleet->size; id++) {
        const struct engine *engine = fleet->at[id];
        if (engine && lane_allows(task->lane, id))
            count_engine(fleet, engine, why);
    }
}

static void explain_assigned(const sched_t *sched, const struct task *task, struct sched_why *why)
{
    sched_task_engines(sched, task->node.key, &why->engine, 1);
    if (task->engine >= 0)
        for (const struct task *before = task->prev; before; before = before->prev)
            why->ahead++;
}

int sched_explain(const sched_t *sched, uint64_t id, struct sched_why *why)
{
    const struct task *task = task_find(sched, id);
    if (!task) {
        errno = ENOENT;
        return -1;
    }
    *why = (struct sched_why){ .state = SCHED_ASSIGNED,
                               .priority = flow_of(task)->priority,
                               .width = task->lane->width,
                               .client = flow_of(task)->client->id,
                               .deadline_ms = task_deadline_ms(task),
                               .engine = -1 };
    if (task->engine == TASK_HELD) {
        why->state = SCHED_HELD;
        explain_held(task, why);
    } else if (task->engine == TASK_GATHERING) {
        why->state = SCHED_GATHERING;
        for (int i = 0; i < sched->gang.count; i++)
            why->gathered += sched->gang.members[i]->load == 0;
    } else if (task->engine == TASK_QUEUED) {
        why->state = SCHED_WAITING;
        explain_waiting(sched, task, why);
    } else {
        explain_assigned(sched, task, why);
    }
    return 0;
}
