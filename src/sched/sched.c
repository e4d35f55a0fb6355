/* SPDX-License-Identifier: BSD-3-Clause
 * The life of a task: taken in, waiting, on an engine, back again, ended. */
#include "sched/sched_private.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct task *task_find(const sched_t *sched, uint64_t id)
{
    return (struct task *)hash_table_find(&sched->tasks, id);
}

/* ---- steps ---- */

static void start_timer(sched_t *sched, struct task *task)
{
    if (task_deadline_ms(task) != TASK_NO_DEADLINE)
        deadlines_add(&sched->deadlines, task);
}

void step_stop_timer(sched_t *sched, struct task *task)
{
    if (task->more && task->more->timer != TASK_NO_TIMER)
        deadlines_remove(&sched->deadlines, task);
}

/* What gathers engines gives them back, and waits for its turn again. */
static void give_way(sched_t *sched, const struct task *urgent)
{
    struct task *gathering = sched->gang.task;
    if (!gathering || flow_of(urgent)->priority <= flow_of(gathering)->priority)
        return;
    gang_cancel(sched);
    gathering->engine = TASK_QUEUED;
    flows_put(&sched->flows, &sched->fleet, gathering);
}

void step_enqueue(sched_t *sched, struct task *task)
{
    give_way(sched, task);
    task->engine = TASK_QUEUED;
    flows_put(&sched->flows, &sched->fleet, task);
    start_timer(sched, task);
    sched->queued++;
}

void step_dequeue(sched_t *sched, struct task *task)
{
    if (task->engine == TASK_GATHERING)
        gang_cancel(sched);
    else if (task->engine == TASK_QUEUED)
        flows_take(&sched->flows, task);
    else if (task->engine == TASK_HELD)
        task_list_remove(&sched->held, task);
    else if (task->engine == TASK_SETTLED)
        task_list_remove(&sched->settled, task);
    step_stop_timer(sched, task);
    sched->queued--;
}

struct task_more *step_more(sched_t *sched, struct task *task)
{
    struct task_more *more = pool_get(&sched->mores);
    if (!more)
        return NULL;
    *more = (struct task_more){ .task = task,
                                .deadline_ms = TASK_NO_DEADLINE,
                                .timer = TASK_NO_TIMER,
                                .policy = sched->policy };
    task->more = more;
    return more;
}

static void clear_more(struct task_more *more)
{
    struct wide *wide = more->wide;
    for (int i = 0; wide && i < wide->part_count; i++)
        free(wide->parts[i]);
    free(wide);
    free(more->preferred);
    need_free(more, &more->after);
    need_free(more, &more->follow);
}

static void free_task(sched_t *sched, struct task *task)
{
    if (task->more) {
        clear_more(task->more);
        pool_put(&sched->mores, task->more);
    }
    pool_put(&sched->records, task);
}

/* The task is in no list. */
static void forget(sched_t *sched, struct task *task)
{
    struct flow *flow = flow_of(task);
    hash_table_remove(&sched->tasks, &task->node);
    lanes_unref(&sched->fleet, task->lane);
    flow_count(flow, -1);
    if (task_deadline_ms(task) != TASK_NO_DEADLINE)
        deadlines_release(&sched->deadlines);
    free_task(sched, task);
}

void step_end(sched_t *sched, struct task *task, bool ok, int engine)
{
    needs_remember(sched, task->node.key, ok, engine);
    if (task->more) {
        needs_clear(task);
        needs_tell(sched, task, ok, engine);
    }
    forget(sched, task);
}

void step_call_assign(sched_t *sched, struct task *task, const int *engines, int count)
{
    struct sched_live live = task_live(task);
    sched->calling = true;
    sched->callbacks.assign(sched->arg, &live, engines, count);
    sched->calling = false;
}

static void assign(sched_t *sched, struct task *task, struct engine *engine)
{
    task->engine = engine->id;
    task_list_append(&engine->tasks, task);
    fleet_shift(&sched->fleet, engine, 1);
    flow_hold(&sched->flows, flow_of(task), 1);
    step_call_assign(sched, task, &engine->id, 1);
}

void step_drop(sched_t *sched, struct task *task, const struct sched_end *end)
{
    struct sched_live live = task_live(task);
    struct sched_end said = *end;
    step_end(sched, task, false, said.engine);
    sched->calling = true;
    sched->callbacks.drop(sched->arg, &live, &said);
    sched->calling = false;
}

void step_drop_queued(sched_t *sched, struct task *task, enum sched_drop why)
{
    step_dequeue(sched, task);
    step_drop(sched, task, &(struct sched_end){ .why = why, .engine = -1 });
}

bool step_serve(sched_t *sched, struct engine *engine)
{
    if (sched->gang.task && gang_wants(sched, engine))
        return true;
    if (sched->queued == 0 || !fleet_takes(&sched->fleet, engine))
        return false;
    struct task *task = flows_next(&sched->flows, &sched->fleet, engine, true);
    if (task && task->lane->width > 1 && sched->gang.task && !gang_fits_beside(sched, task))
        task = flows_next(&sched->flows, &sched->fleet, engine, false);
    if (!task)
        return false;
    flows_take(&sched->flows, task);
    if (task->lane->width > 1) {
        if (sched->gang.task)
            gang_start_beside(sched, task);
        else
            gang_begin(sched, task);
        return true;
    }
    step_stop_timer(sched, task);
    sched->queued--;
    assign(sched, task, engine);
    return true;
}

static struct engine *pick(sched_t *sched, const struct task *task)
{
    if (sched->fleet.vacant_count == 0)
        return NULL;
    sched->random ^= sched->random << 13; /* xorshift64: G. Marsaglia, J. Stat. Softw. 8 (14) */
    sched->random ^= sched->random >> 7;
    sched->random ^= sched->random << 17;
    struct sched_choice choice = { &sched->fleet, task, sched->random };
    return policy_pick(task->more ? task->more->policy : sched->policy, &choice);
}

/* The engine that is picked takes what it should get, and this may be another task. */
void step_place(sched_t *sched, struct task *task)
{
    struct engine *engine;
    while (task->engine == TASK_QUEUED && (engine = pick(sched, task)))
        if (!step_serve(sched, engine))
            return; /* a wide one, while another gathers */
}

/* The least loaded engines go first, one task each and round. False when it has to begin again: a
 * wide task has moved engines. */
static bool serve_round(sched_t *sched)
{
    struct fleet *fleet = &sched->fleet;
    uint64_t changes = sched->gang.changes;
    for (int load = fleet->lowest; load >= 0 && load < fleet->limit;
         load = fleet->levels[load].above) {
        struct engine *next;
        for (struct engine *engine = fleet->levels[load].first; engine; engine = next) {
            next = engine->next; /* served, it moves to the level above, and is asked again there */
            step_serve(sched, engine);
            if (sched->gang.changes != changes)
                return false;
        }
    }
    return true;
}

void step_serve_all(sched_t *sched)
{
    while (sched->queued > 0 && !serve_round(sched))
        ;
}

void step_settle(sched_t *sched)
{
    while (sched->settled.head || sched->review) {
        needs_settle(sched);
        if (sched->review) {
            sched->review = false;
            step_serve_all(sched);
        }
    }
}

/* ---- create, destroy ---- */

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
    sched->random = UINT64_C(0x9e3779b97f4a7c15);
    sched->records.bytes = sizeof(struct task);
    sched->mores.bytes = sizeof(struct task_more);
    if (hash_table_init(&sched->tasks) < 0 ||
        fleet_init(&sched->fleet, options->prefetch ? options->prefetch : INT_MAX) < 0 ||
        memory_init(&sched->memory, options->remember) < 0) {
        sched_destroy(sched);
        errno = ENOMEM;
        return NULL;
    }
    return sched;
}

/* The memory of records goes with their pool. */
static void forget_node(struct hash_node *node)
{
    struct task *task = (struct task *)node;
    if (task->more)
        clear_more(task->more);
}

static void free_parts(const struct fleet *fleet)
{
    for (int id = 0; id < fleet->size; id++) {
        struct part *next;
        for (struct part *part = fleet->at[id] ? fleet->at[id]->parts : NULL; part; part = next) {
            next = part->next;
            if (!part->task) /* the others are their tasks' */
                free(part);
        }
    }
}

void sched_destroy(sched_t *sched)
{
    int saved = errno;
    if (!sched)
        return;
    assert(!sched->calling);
    free_parts(&sched->fleet);
    hash_table_free(&sched->tasks, forget_node);
    pool_free(&sched->records);
    pool_free(&sched->mores);
    flows_free(&sched->flows);
    fleet_free(&sched->fleet);
    free(sched->gang.members);
    free(sched->gang.beside);
    free(sched->gang.ids);
    free(sched->memory.at);
    free(sched->deadlines.heap);
    free(sched);
    errno = saved;
}

/* ---- taken in ---- */

static int64_t deadline(int64_t now_ms, int64_t timeout_ms)
{
    if (timeout_ms == 0 || (now_ms > 0 && timeout_ms >= TASK_NO_DEADLINE - now_ms))
        return TASK_NO_DEADLINE;
    return now_ms + timeout_ms;
}

/* Whether any engine could take part in it. */
static bool has_engine(const sched_t *sched, const struct sched_task *spec)
{
    bool found = spec->target_count == 0 && sched->fleet.count > 0;
    for (size_t i = 0; i < spec->target_count && !found; i++)
        found = fleet_engine(&sched->fleet, spec->targets[i]) != NULL;
    return found;
}

/* Before there is memory for it, which would be for as many engines as it says. */
static int check(const sched_t *sched, const struct sched_task *spec)
{
    if (spec->retries < 0 || spec->timeout_ms < 0 || spec->width < 0 ||
        spec->priority > SCHED_PRIORITY_MOST || spec->priority < -SCHED_PRIORITY_MOST)
        errno = EINVAL;
    else if (task_find(sched, spec->id))
        errno = EEXIST;
    else if (spec->width > 1 && spec->width > sched->fleet.count)
        errno = has_engine(sched, spec) ? ERANGE : EHOSTUNREACH;
    else
        return 0;
    return -1;
}

static bool has_more(const struct sched_task *spec)
{
    return spec->timeout_ms > 0 || spec->preferred_count > 0 || spec->width > 1 || spec->policy ||
           spec->after.count > 0 || spec->follow.count > 0;
}

/* -1: ENOMEM, EINVAL. */
static int read_more(sched_t *sched, struct task *task, const struct sched_task *spec,
                     int64_t now_ms)
{
    struct task_more *more = step_more(sched, task);
    if (!more)
        return -1;
    more->deadline_ms = deadline(now_ms, spec->timeout_ms);
    if (spec->policy)
        more->policy = spec->policy;
    size_t preferred = spec->preferred_count;
    if (more->policy == &sched_locality)
        preferred += spec->after.count; /* see needs.c: by_data */
    if (preferred > INT_MAX / 4) {
        errno = ENOMEM;
        return -1;
    }
    if (preferred > 0) {
        if (!(more->preferred = malloc(preferred * sizeof *more->preferred)))
            return -1;
        more->preferred_count = (int)spec->preferred_count;
        if (spec->preferred_count > 0)
            memcpy(more->preferred, spec->preferred,
                   spec->preferred_count * sizeof *more->preferred);
    }
    return needs_read(sched, task, spec);
}

/* Memory for all that may happen to the task later, so that only taking it in can fail. */
static int furnish(sched_t *sched, struct task *task, const struct sched_task *spec)
{
    int width = spec->width > 1 ? spec->width : 1;
    struct flow *flow = flows_get(&sched->flows, spec->client, spec->priority);
    /* One more than there are tasks: an engine may hold one that has ended without it. */
    if (!flow || fleet_reserve(&sched->fleet, sched->tasks.count + 2) < 0)
        return -1;
    task->lane = lanes_get(&flow->lanes, &sched->fleet, spec->targets, spec->target_count, width);
    if (!task->lane)
        return -1;
    if (width > 1 && (gang_reserve(&sched->gang, width) < 0 || gang_allot(task) < 0))
        return -1;
    return task_deadline_ms(task) == TASK_NO_DEADLINE ? 0 : deadlines_reserve(&sched->deadlines);
}

/* NULL: EINVAL, ENOMEM. */
static struct task *task_create(sched_t *sched, const struct sched_task *spec, int64_t now_ms)
{
    struct task *task = pool_get(&sched->records);
    if (!task)
        return NULL;
    *task = (struct task){ .node.key = spec->id,
                           .item = spec->item,
                           .engine = TASK_QUEUED,
                           .retries = (unsigned)spec->retries & TASK_RETRIES_MOST };
    if ((has_more(spec) && read_more(sched, task, spec, now_ms) < 0) ||
        furnish(sched, task, spec) < 0) {
        int error = errno;
        if (task->lane)
            lanes_unref(&sched->fleet, task->lane);
        free_task(sched, task);
        errno = error == EINVAL ? EINVAL : ENOMEM;
        return NULL;
    }
    flow_count(flow_of(task), 1);
    hash_table_insert(&sched->tasks, &task->node);
    return task;
}

static bool depends(const struct task *task)
{
    return task->more && (task->more->after.edges || task->more->follow.edges);
}

/* errno of a refusal, else 0. `engine`: the free one for it. */
static int refusal(const sched_t *sched, const struct task *task, const struct engine *engine)
{
    const struct lane *lane = task->lane;
    if (engine)
        return 0;
    if (lane_hopeless(lane, &sched->fleet))
        return lane->width > 1 && lane_alive(lane, &sched->fleet) > 0 ? ERANGE : EHOSTUNREACH;
    return sched->queued >= sched->capacity ? ENOBUFS : 0;
}

static void hold(sched_t *sched, struct task *task)
{
    needs_add(sched, task);
    start_timer(sched, task);
    sched->queued++;
}

int sched_submit(sched_t *sched, const struct sched_task *spec, int64_t now_ms)
{
    assert(!sched->calling);
    if (check(sched, spec) < 0)
        return -1;
    struct task *task = task_create(sched, spec, now_ms);
    if (!task)
        return -1;
    bool at_once = task->lane->width == 1 && !depends(task);
    struct engine *engine = at_once ? pick(sched, task) : NULL;
    int refused = refusal(sched, task, engine);
    if (refused) {
        forget(sched, task);
        errno = refused;
        return -1;
    }
    task->order = ++sched->submitted;
    if (engine)
        assign(sched, task, engine);
    else if (depends(task))
        hold(sched, task);
    else
        step_enqueue(sched, task);
    if (!at_once && task->engine == TASK_QUEUED)
        step_place(sched, task);
    step_settle(sched);
    return 0;
}

/* ---- ended ---- */

/* The engine that has just got free may be given another one. */
static void put_back(sched_t *sched, struct task *task, const struct engine *left)
{
    lanes_avoid(&sched->fleet, task, left->id);
    step_enqueue(sched, task);
    step_place(sched, task);
}

static void release(sched_t *sched, struct task *task, struct engine *engine)
{
    task_list_remove(&engine->tasks, task);
    if (!task->blocked) {
        fleet_shift(&sched->fleet, engine, -1);
        flow_hold(&sched->flows, flow_of(task), -1);
    }
    engine->waiting -= task->blocked;
    task->blocked = false;
}

static int narrow_done(sched_t *sched, struct task *task, struct engine *engine,
                       enum sched_outcome outcome, void **item)
{
    release(sched, task, engine);
    if (outcome == SCHED_FAILED && task->retries > 0) {
        task->retries--;
        put_back(sched, task, engine);
        return SCHED_RETRY;
    }
    *item = task->item;
    step_end(sched, task, outcome == SCHED_SUCCEEDED, engine->id);
    return SCHED_FINISHED;
}

int sched_done(sched_t *sched, uint64_t id, int engine_id, enum sched_outcome outcome, void **item)
{
    assert(!sched->calling);
    int end;
    void *unwanted;
    struct engine *engine = fleet_engine(&sched->fleet, engine_id);
    struct task *task = engine ? task_find(sched, id) : NULL;
    struct part *part = NULL;
    if (!item)
        item = &unwanted;
    if (task && task->engine == engine_id) {
        end = narrow_done(sched, task, engine, outcome, item);
    } else if (engine && (part = gang_part(engine, id))) {
        end = gang_done(sched, engine, part, outcome, item);
    } else {
        errno = ENOENT;
        return -1;
    }
    step_settle(sched);
    while (step_serve(sched, engine) && part) /* after a part there is room for more than one */
        ;
    step_settle(sched);
    return end;
}

int sched_declined(sched_t *sched, uint64_t id, int engine_id)
{
    assert(!sched->calling);
    struct engine *engine = fleet_engine(&sched->fleet, engine_id);
    struct task *task = engine ? task_find(sched, id) : NULL;
    if (!task || task->engine != engine_id) {
        errno = ENOENT;
        return -1;
    }
    release(sched, task, engine);
    if (lane_reachable(task->lane, &sched->fleet, engine_id))
        put_back(sched, task, engine);
    else
        step_drop(sched, task, &(struct sched_end){ .why = SCHED_DROP_IMPOSSIBLE, .engine = -1 });
    step_settle(sched);
    step_serve(sched, engine);
    step_settle(sched);
    return 0;
}

int sched_task_blocked(sched_t *sched, uint64_t id, int engine_id, bool blocked)
{
    assert(!sched->calling);
    struct engine *engine = fleet_engine(&sched->fleet, engine_id);
    struct task *task = engine ? task_find(sched, id) : NULL;
    struct part *part = engine ? gang_part(engine, id) : NULL;
    bool narrow = task && task->engine == engine_id;
    if (!narrow && !part) {
        errno = ENOENT;
        return -1;
    }
    if (!blocked && fleet_reserve_load(&sched->fleet, (size_t)engine->load + 1) < 0)
        return -1;
    if ((narrow ? task->blocked : part->blocked) == blocked)
        return 0;
    fleet_shift(&sched->fleet, engine, blocked ? -1 : 1);
    engine->waiting += blocked ? 1 : -1;
    if (blocked)
        gang_excuse(sched, engine);
    if (narrow)
        task->blocked = blocked;
    else
        part->blocked = blocked;
    if (narrow || part->task)
        flow_hold(&sched->flows, flow_of(narrow ? task : part->task), blocked ? -1 : 1);
    gang_review(sched, engine);
    gang_refill(sched);
    while (step_serve(sched, engine))
        ;
    step_settle(sched);
    return 0;
}

int sched_abort(sched_t *sched, uint64_t id)
{
    assert(!sched->calling);
    int engine;
    struct task *task = task_find(sched, id);
    if (!task) {
        errno = ENOENT;
        return -1;
    }
    if (sched_task_engines(sched, id, &engine, 1) > 0)
        return engine;
    step_drop_queued(sched, task, SCHED_DROP_ABORTED);
    step_settle(sched);
    errno = 0;
    return -1;
}

int64_t sched_tick(sched_t *sched, int64_t now_ms)
{
    assert(!sched->calling);
    struct deadlines *deadlines = &sched->deadlines;
    while (deadlines->count > 0 && deadlines->heap[0].at_ms <= now_ms)
        step_drop_queued(sched, deadlines->heap[0].more->task, SCHED_DROP_TIMED_OUT);
    step_settle(sched);
    return deadlines->count > 0 ? deadlines->heap[0].at_ms : -1;
}
