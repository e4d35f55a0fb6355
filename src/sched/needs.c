/* SPDX-License-Identifier: BSD-3-Clause
 * Tasks that depend on others: they are held until those have ended as they should, and those that
 * ended earlier are remembered for a while. What a task depends on was there before it, so that no
 * circle can come about. */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdlib.h>

/* ---- memory ---- */

/* The upper bits of an id tell sequences apart, which begin in different places. */
#define SEQUENCE_SHIFT 48

int memory_init(struct memory *memory, size_t count)
{
    if (count == 0)
        return 0;
    while (((size_t)4 << memory->bits) < count && memory->bits < 40)
        memory->bits++;
    memory->at = calloc((size_t)4 << memory->bits, sizeof *memory->at);
    return memory->at ? 0 : -1;
}

static struct ended *set_of(const struct memory *memory, uint64_t id)
{
    uint64_t start = (id >> SEQUENCE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15);
    return &memory->at[4 * (((id >> 2) + start) & ((UINT64_C(1) << memory->bits) - 1))];
}

void needs_remember(sched_t *sched, uint64_t id, bool ok, int engine)
{
    if (!sched->memory.at)
        return;
    struct ended *set = set_of(&sched->memory, id);
    for (int i = 3; i > 0; i--)
        set[i] = set[i - 1];
    set[0] = (struct ended){ id, engine, ok, true };
}

static const struct ended *recall(const sched_t *sched, uint64_t id)
{
    if (!sched->memory.at)
        return NULL;
    const struct ended *set = set_of(&sched->memory, id);
    for (int i = 0; i < 4; i++)
        if (set[i].used && set[i].id == id)
            return &set[i];
    return NULL;
}

/* ---- one dependency ---- */

enum verdict { MET, UNMET, IMPOSSIBLE };

static enum verdict judge(const struct need *need)
{
    size_t bad = need->count - need->pending - need->good;
    if (!need->edges)
        return MET;
    if (need->all)
        return bad > 0 ? IMPOSSIBLE : need->pending > 0 ? UNMET : MET;
    return need->good > 0 ? MET : need->pending > 0 ? UNMET : IMPOSSIBLE;
}

/* One that it depends on has ended. */
static void note_end(struct need *need, struct edge *edge, bool ok, int engine)
{
    edge->id = edge_id(edge);
    edge->lives = false;
    edge->engine = engine;
    edge->good = ok ? need->success : need->failure;
    need->pending--;
    need->good += edge->good;
}

const struct need *need_unmet(const struct task *task)
{
    if (!task->more)
        return NULL;
    return judge(&task->more->after) == UNMET    ? &task->more->after
           : judge(&task->more->follow) == UNMET ? &task->more->follow
                                                 : NULL;
}

/* ---- read ---- */

static void doom(struct task *task, enum sched_drop why, uint64_t other)
{
    if (!task->more->doomed) {
        task->more->why = why;
        task->more->other = other;
    }
    task->more->doomed = true;
}

static int read_edge(sched_t *sched, struct task *task, struct need *need, struct edge *edge)
{
    const struct ended *ended;
    struct task *awaited = task_find(sched, edge->id);
    if (edge->id == task->node.key) {
        doom(task, SCHED_DROP_CIRCULAR, edge->id);
    } else if (awaited) {
        if (!awaited->more && !step_more(sched, awaited)) /* for `waiters` */
            return -1;
        edge->awaited = awaited;
        edge->lives = true;
    } else if ((ended = recall(sched, edge->id))) {
        note_end(need, edge, ended->ok, ended->engine);
    } else {
        doom(task, SCHED_DROP_UNKNOWN, edge->id);
    }
    return 0;
}

/* In the record itself, or on their own; NULL: no memory. */
static struct edge *edges_for(struct task_more *more, size_t count)
{
    size_t used = more->after.edges == more->inside ? more->after.count : 0;
    return count <= EDGES_INSIDE - used ? more->inside + used : malloc(count * sizeof(struct edge));
}

void need_free(struct task_more *more, struct need *need)
{
    if (need->edges < more->inside || need->edges >= more->inside + EDGES_INSIDE)
        free(need->edges);
    need->edges = NULL;
}

static int read_one(sched_t *sched, struct task *task, struct need *need,
                    const struct sched_dependency *spec)
{
    if (spec->count == 0)
        return 0;
    if (!spec->success && !spec->failure) {
        errno = EINVAL;
        return -1;
    }
    if (spec->count > UINT32_MAX) {
        errno = ENOMEM;
        return -1;
    }
    *need = (struct need){ .edges = edges_for(task->more, spec->count),
                           .count = (uint32_t)spec->count,
                           .pending = (uint32_t)spec->count,
                           .all = spec->all,
                           .success = spec->success,
                           .failure = spec->failure };
    if (!need->edges)
        return -1;
    for (size_t i = 0; i < spec->count; i++) {
        need->edges[i] = (struct edge){ .id = spec->tasks[i],
                                        .waiter = task,
                                        .follows = need == &task->more->follow,
                                        .engine = -1 };
        if (read_edge(sched, task, need, &need->edges[i]) < 0)
            return -1;
    }
    return 0;
}

int needs_read(sched_t *sched, struct task *task, const struct sched_task *spec)
{
    return read_one(sched, task, &task->more->after, &spec->after) < 0 ||
                   read_one(sched, task, &task->more->follow, &spec->follow) < 0
               ? -1
               : 0;
}

/* ---- held ---- */

static void link_edges(struct need *need)
{
    for (size_t i = 0; need->edges && i < need->count; i++) {
        struct edge *edge = &need->edges[i];
        if (!edge->lives)
            continue;
        edge->next = edge->awaited->more->waiters;
        if (edge->next)
            edge->next->prev = edge;
        edge->awaited->more->waiters = edge;
    }
}

static void unlink_edges(struct task_more *more, struct need *need)
{
    for (size_t i = 0; need->edges && i < need->count; i++) {
        struct edge *edge = &need->edges[i];
        if (!edge->lives)
            continue;
        if (edge->prev)
            edge->prev->next = edge->next;
        else
            edge->awaited->more->waiters = edge->next;
        if (edge->next)
            edge->next->prev = edge->prev;
    }
    need_free(more, need);
}

void needs_clear(struct task *task)
{
    if (!task->more)
        return;
    unlink_edges(task->more, &task->more->after);
    unlink_edges(task->more, &task->more->follow);
}

/* The first one that spoils it. */
static uint64_t culprit(const struct need *need)
{
    for (size_t i = 0; i < need->count; i++)
        if (!need->edges[i].lives && !need->edges[i].good)
            return need->edges[i].id;
    return 0;
}

static bool is_settled(struct task *task)
{
    const struct task_more *more = task->more;
    enum verdict after = judge(&more->after), follow = judge(&more->follow);
    if (after == IMPOSSIBLE)
        doom(task, SCHED_DROP_IMPOSSIBLE, culprit(&more->after));
    else if (follow == IMPOSSIBLE)
        doom(task, SCHED_DROP_IMPOSSIBLE, culprit(&more->follow));
    return more->doomed || (after == MET && follow == MET);
}

void needs_add(sched_t *sched, struct task *task)
{
    bool settled = is_settled(task);
    link_edges(&task->more->after);
    link_edges(&task->more->follow);
    task->engine = settled ? TASK_SETTLED : TASK_HELD;
    task_list_append(settled ? &sched->settled : &sched->held, task);
}

static void settle_later(sched_t *sched, struct task *held)
{
    task_list_remove(&sched->held, held);
    task_list_insert(&sched->settled, held);
    held->engine = TASK_SETTLED;
}

void needs_give_up(sched_t *sched, struct task *held)
{
    doom(held, SCHED_DROP_UNREACHABLE, 0);
    settle_later(sched, held);
}

void needs_tell(sched_t *sched, struct task *ended, bool ok, int engine)
{
    struct edge *next;
    for (struct edge *edge = ended->more->waiters; edge; edge = next) {
        struct task *waiter = edge->waiter;
        struct task_more *more = waiter->more;
        next = edge->next;
        note_end(edge->follows ? &more->follow : &more->after, edge, ok, engine);
        if (waiter->engine == TASK_HELD && is_settled(waiter))
            settle_later(sched, waiter);
    }
}

/* ---- settled ---- */

/* Writes the engines where those that count have ended, each once; returns their number. */
static size_t ends(const struct need *need, int *engines)
{
    size_t count = 0;
    for (size_t i = 0; need->edges && i < need->count; i++) {
        size_t same = 0;
        if (!need->edges[i].good || need->edges[i].engine < 0)
            continue;
        while (same < count && engines[same] != need->edges[i].engine)
            same++;
        engines[same] = need->edges[i].engine;
        count += same == count;
    }
    return count;
}

/* With that policy, what a task comes after is where its data is. */
static void by_data(struct task *task)
{
    struct task_more *more = task->more;
    if (more->policy == &sched_locality && more->preferred_count == 0 && more->after.edges)
        more->preferred_count = (int)ends(&more->after, more->preferred);
}

/* Moves the task to the lane of those of its targets that are among the engines. */
static void confine(sched_t *sched, struct task *task, int *engines, size_t count)
{
    size_t kept = 0;
    struct lanes *lanes = task->lane->lanes;
    for (size_t i = 0; i < count; i++)
        if (lane_allows(task->lane, engines[i]))
            engines[kept++] = engines[i];
    if (kept == 0) {
        doom(task, SCHED_DROP_IMPOSSIBLE, edge_id(&task->more->follow.edges[0]));
        return;
    }
    struct lane *lane = lanes_get(lanes, &sched->fleet, engines, kept, task->lane->width);
    if (lane) {
        lanes_unref(&sched->fleet, task->lane);
        task->lane = lane;
    } else {
        doom(task, SCHED_DROP_UNREACHABLE, 0);
    }
}

static void follow(sched_t *sched, struct task *task)
{
    const struct need *need = &task->more->follow;
    if (!need->edges)
        return;
    int *engines = malloc(need->count * sizeof *engines);
    size_t count = engines ? ends(need, engines) : 0;
    if (!engines)
        doom(task, SCHED_DROP_UNREACHABLE, 0);
    else if (need->all && count > 1)
        doom(task, SCHED_DROP_IMPOSSIBLE, edge_id(&need->edges[0]));
    else if (count > 0)
        confine(sched, task, engines, count);
    free(engines);
}

/* Drops those that cannot run and returns the others, in their lanes now, linked by `released`. */
static struct task *release_all(sched_t *sched)
{
    struct task *released = NULL, **last = &released;
    while (sched->settled.head) {
        struct task *task = sched->settled.head;
        if (!task->more->doomed) {
            by_data(task);
            follow(sched, task);
        }
        if (lane_hopeless(task->lane, &sched->fleet))
            doom(task, SCHED_DROP_UNREACHABLE, 0);
        needs_clear(task);
        if (task->more->doomed) {
            struct sched_end end = { .why = task->more->why,
                                     .engine = -1,
                                     .other = task->more->other };
            step_dequeue(sched, task);
            step_drop(sched, task, &end);
            continue;
        }
        task_list_remove(&sched->settled, task);
        task->engine = TASK_QUEUED;
        flows_put(&sched->flows, &sched->fleet, task);
        task->more->released = NULL;
        *last = task;
        last = &task->more->released;
    }
    return released;
}

void needs_settle(sched_t *sched)
{
    for (struct task *task = release_all(sched); task; task = task->more->released)
        step_place(sched, task);
}
