/* SPDX-License-Identifier: BSD-3-Clause
 * Wide tasks: they gather engines, run on all of them at once, and end when the last one has. */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdlib.h>

int gang_reserve(struct gang *gang, int width)
{
    if (width <= gang->size)
        return 0;
    struct engine **members = realloc(gang->members, (size_t)width * sizeof *members);
    if (members)
        gang->members = members;
    struct engine **beside = realloc(gang->beside, (size_t)width * sizeof *beside);
    if (beside)
        gang->beside = beside;
    int *ids = realloc(gang->ids, (size_t)width * sizeof *ids);
    if (ids)
        gang->ids = ids;
    if (!members || !beside || !ids)
        return -1;
    gang->size = width;
    return 0;
}

int gang_allot(struct task *task)
{
    struct task_more *more = task->more;
    int width = task->lane->width;
    if (width == 1)
        return 0;
    if (!more->wide) {
        more->wide = calloc(1, sizeof *more->wide + (size_t)width * sizeof(struct part *));
        if (!more->wide)
            return -1;
        more->wide->part_count = width;
    }
    for (int i = 0; i < width; i++)
        if (!more->wide->parts[i] && !(more->wide->parts[i] = calloc(1, sizeof(struct part))))
            return -1;
    return 0;
}

/* ---- gathering ---- */

static bool is_member(const struct engine *engine)
{
    return engine->closed & CLOSED_GATHERED;
}

/* Not where it still runs for a time before. */
static bool may_join(const struct gang *gang, const struct engine *engine)
{
    return lane_allows(gang->task->lane, engine->id) && !gang_part(engine, gang->task->node.key);
}

/* What tasks there wait for may have to run there: such an engine is kept free for nobody, and
 * takes part only when that is at once. */
static bool may_be_kept(const struct gang *gang, const struct engine *engine)
{
    return engine->waiting == 0 && may_join(gang, engine);
}

static void add_member(sched_t *sched, int at, struct engine *engine)
{
    fleet_close(&sched->fleet, engine, CLOSED_GATHERED);
    sched->gang.members[at] = engine;
    sched->gang.changes++;
}

static void give_back(sched_t *sched, struct engine *engine)
{
    fleet_open(&sched->fleet, engine, CLOSED_GATHERED);
    sched->gang.changes++;
}

static int compare_ids(const void *a, const void *b)
{
    int x = (*(struct engine *const *)a)->id, y = (*(struct engine *const *)b)->id;
    return (x > y) - (x < y);
}

/* A part that waits lets others run beside it; one that goes on without its task does not. */
void gang_review(sched_t *sched, struct engine *engine)
{
    const struct part *part = engine->parts;
    while (part && part->blocked)
        part = part->next;
    if (part)
        fleet_close(&sched->fleet, engine, CLOSED_TOGETHER);
    else
        fleet_open(&sched->fleet, engine, CLOSED_TOGETHER);
}

static void start_part(struct task *task, struct part *part, struct engine *engine)
{
    *part = (struct part){
        .task = task, .id = task->node.key, .engine = engine->id, .next = engine->parts
    };
    if (engine->parts)
        engine->parts->prev = part;
    engine->parts = part;
}

static void start_on(sched_t *sched, struct task *task, struct engine **engines)
{
    struct wide *wide = task->more->wide;
    int *ids = sched->gang.ids, count = task->lane->width;
    qsort(engines, (size_t)count, sizeof *engines, compare_ids);
    for (int i = 0; i < count; i++) {
        fleet_shift(&sched->fleet, engines[i], 1);
        start_part(task, wide->parts[i], engines[i]);
        gang_review(sched, engines[i]);
        ids[i] = engines[i]->id;
    }
    wide->running = count;
    wide->worst = wide->of_first = SCHED_SUCCEEDED;
    task->engine = TASK_WIDE;
    task_list_append(&sched->wide, task);
    flow_hold(&sched->flows, flow_of(task), count);
    step_stop_timer(sched, task);
    sched->queued--;
    sched->gang.changes++;
    sched->review = true; /* the next wide one may begin */
    step_call_assign(sched, task, ids, count);
}

static void start(sched_t *sched)
{
    struct gang *gang = &sched->gang;
    struct task *task = gang->task;
    for (int i = 0; i < gang->count; i++)
        give_back(sched, gang->members[i]);
    gang->task = NULL;
    start_on(sched, task, gang->members);
}

static struct engine *first_idle(const struct fleet *fleet)
{
    return fleet->lowest == 0 ? fleet->levels[0].first : NULL;
}

bool gang_fits_beside(sched_t *sched, const struct task *task)
{
    struct gang *gang = &sched->gang;
    int found = 0;
    for (struct engine *engine = first_idle(&sched->fleet); engine && found < task->lane->width;
         engine = engine->next)
        if (lane_allows(task->lane, engine->id) && !gang_part(engine, task->node.key) &&
            !lane_allows(gang->task->lane, engine->id))
            gang->beside[found++] = engine;
    return found == task->lane->width;
}

void gang_start_beside(sched_t *sched, struct task *task)
{
    start_on(sched, task, sched->gang.beside);
}

/* Idle engines that cannot be kept, if there are as many as it lacks. */
static bool fill_up(sched_t *sched)
{
    struct gang *gang = &sched->gang;
    const struct fleet *fleet = &sched->fleet;
    int lacking = gang->task->lane->width - gang->count, found = 0;
    struct engine *next, *first = first_idle(fleet);
    for (struct engine *engine = first; engine && found < lacking; engine = engine->next)
        found += may_join(gang, engine);
    if (found < lacking)
        return false;
    for (struct engine *engine = first; engine && lacking > 0; engine = next) {
        next = engine->next;
        if (!may_join(gang, engine))
            continue;
        add_member(sched, gang->count++, engine);
        lacking--;
    }
    return true;
}

/* True when all have come, and it has started. */
static bool start_if_idle(sched_t *sched)
{
    const struct gang *gang = &sched->gang;
    if (!gang->task)
        return false;
    for (int i = 0; i < gang->count; i++)
        if (gang->members[i]->load > 0)
            return false;
    if (!fill_up(sched))
        return false;
    start(sched);
    return true;
}

/* From the least loaded one on. */
void gang_refill(sched_t *sched)
{
    struct gang *gang = &sched->gang;
    const struct fleet *fleet = &sched->fleet;
    if (!gang->task)
        return;
    for (int load = fleet->lowest; load >= 0; load = fleet->levels[load].above) {
        struct engine *next;
        for (struct engine *engine = fleet->levels[load].first; engine; engine = next) {
            next = engine->next;
            if (gang->count < gang->task->lane->width && may_be_kept(gang, engine))
                add_member(sched, gang->count++, engine);
        }
    }
    start_if_idle(sched);
}

void gang_begin(sched_t *sched, struct task *task)
{
    task->engine = TASK_GATHERING;
    sched->gang.task = task;
    sched->gang.count = 0;
    sched->gang.changes++;
    sched->review = true; /* the engine that was to be served may not be among its members */
    gang_refill(sched);
}

void gang_cancel(sched_t *sched)
{
    for (int i = 0; i < sched->gang.count; i++)
        give_back(sched, sched->gang.members[i]);
    sched->gang.task = NULL;
    sched->gang.count = 0;
    sched->review = true;
}

void gang_excuse(sched_t *sched, struct engine *engine)
{
    struct gang *gang = &sched->gang;
    int at = 0;
    if (!gang->task || !is_member(engine))
        return;
    while (gang->members[at] != engine)
        at++;
    gang->members[at] = gang->members[--gang->count];
    give_back(sched, engine);
}

static int busiest(const struct gang *gang)
{
    int at = 0;
    for (int i = 1; i < gang->count; i++)
        if (gang->members[i]->load > gang->members[at]->load)
            at = i;
    return at;
}

/* An idle engine takes the place of a busy one, which goes on as before. */
static bool join_idle(sched_t *sched, struct engine *engine)
{
    struct gang *gang = &sched->gang;
    if (engine->closed || engine->load > 0 || !may_be_kept(gang, engine))
        return false;
    if (gang->count < gang->task->lane->width) {
        add_member(sched, gang->count++, engine);
        return true;
    }
    int at = busiest(gang);
    struct engine *other = gang->members[at];
    if (other->load == 0)
        return false;
    add_member(sched, at, engine);
    give_back(sched, other);
    sched->review = true;
    return true;
}

bool gang_wants(sched_t *sched, struct engine *engine)
{
    bool joined = !is_member(engine) && join_idle(sched, engine);
    return start_if_idle(sched) || joined;
}

/* ---- running ---- */

struct part *gang_part(const struct engine *engine, uint64_t id)
{
    struct part *part = engine->parts;
    while (part && part->id != id)
        part = part->next;
    return part;
}

static void unlink_part(sched_t *sched, struct engine *engine, struct part *part)
{
    if (part->prev)
        part->prev->next = part->next;
    else
        engine->parts = part->next;
    if (part->next)
        part->next->prev = part->prev;
    engine->waiting -= part->blocked;
    if (part->task && !part->blocked)
        flow_hold(&sched->flows, flow_of(part->task), -1);
}

static int drop(sched_t *sched, struct task *task, enum sched_drop why)
{
    step_drop(sched, task, &(struct sched_end){ .why = why, .engine = -1 });
    return SCHED_PARTIAL;
}

/* All of its engines have reported. Some may have left since. */
static int end_together(sched_t *sched, struct task *task, void **item)
{
    enum sched_outcome outcome = task->more->wide->worst;
    bool counts_on_more = task->more->wide->of_first == SCHED_FAILED && task->retries > 0;
    if (outcome == SCHED_STOPPED && counts_on_more)
        return drop(sched, task, SCHED_DROP_ABORTED);
    if (outcome == SCHED_FAILED && task->retries > 0) {
        if (lane_hopeless(task->lane, &sched->fleet))
            return drop(sched, task, SCHED_DROP_UNREACHABLE);
        task->retries--;
        step_enqueue(sched, task);
        step_place(sched, task);
        return SCHED_RETRY;
    }
    *item = task->item;
    step_end(sched, task, outcome == SCHED_SUCCEEDED, task->more->wide->parts[0]->engine);
    return SCHED_FINISHED;
}

int gang_done(sched_t *sched, struct engine *engine, struct part *part, enum sched_outcome outcome,
              void **item)
{
    struct task *task = part->task;
    unlink_part(sched, engine, part);
    if (!part->blocked)
        fleet_shift(&sched->fleet, engine, -1);
    gang_review(sched, engine);
    gang_refill(sched); /* it may have been kept out by this */
    if (!task) {
        free(part);
        return SCHED_PARTIAL;
    }
    part->id = 0;
    part->task = NULL;
    if (part == task->more->wide->parts[0])
        task->more->wide->of_first = outcome;
    if (task->more->wide->worst < outcome)
        task->more->wide->worst = outcome;
    if (--task->more->wide->running > 0)
        return SCHED_PARTIAL;
    task_list_remove(&sched->wide, task);
    return end_together(sched, task, item);
}

/* It ends, or begins again, without what its engines still do for it. */
static void disown(sched_t *sched, struct task *task)
{
    for (int i = 0; i < task->more->wide->part_count; i++) {
        struct part *part = task->more->wide->parts[i];
        if (!part || part->task != task)
            continue; /* it has reported */
        if (!part->blocked)
            flow_hold(&sched->flows, flow_of(task), -1);
        part->task = NULL;
        task->more->wide->parts[i] = NULL;
    }
    task->more->wide->running = 0;
    task_list_remove(&sched->wide, task);
}

void gang_lost(sched_t *sched, struct engine *engine, struct task_list *lost)
{
    struct part *part;
    while ((part = engine->parts)) {    /* the last one has been unlinked, which it does not see */
        struct task *task = part->task; /* NOLINT(clang-analyzer-unix.Malloc) */
        if (task) {
            disown(sched, task);
            task_list_append(lost, task);
        }
        unlink_part(sched, engine, part);
        free(part);
    }
}
