/* SPDX-License-Identifier: BSD-3-Clause
 * Lanes: one queue per distinct set of engines. A lane with targets makes offers to its engines;
 * those without are few (one, and one per set of engines where a task has failed) and every engine
 * looks at them itself, as at those of wide tasks. */
#include "sched/sched_lane.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- sets ---- */

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Sorts, drops what is there twice, returns the count that is left. */
static int normalise(int *set, int count)
{
    int kept = 0;
    bool sorted = true;
    for (int i = 1; i < count && sorted; i++)
        sorted = set[i - 1] < set[i];
    if (sorted)
        return count;
    qsort(set, (size_t)count, sizeof *set, compare_ints);
    for (int i = 0; i < count; i++)
        if (kept == 0 || set[kept - 1] != set[i])
            set[kept++] = set[i];
    return kept;
}

/* Index of `id`, -1 when it is not in the set. */
static int find(const int *set, int count, int id)
{
    int low = 0;
    while (count > 0) {
        int half = count / 2;
        if (set[low + half] == id)
            return low + half;
        if (set[low + half] < id) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return -1;
}

static uint64_t hash_set(uint64_t hash, const int *set, int count)
{
    for (int i = 0; i < count; i++) {
        hash = (hash ^ (uint64_t)(uint32_t)set[i]) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    return (hash ^ (uint64_t)(uint32_t)count) * UINT64_C(0xc4ceb9fe1a85ec53);
}

static bool same_sets(const struct lane *a, const struct lane *b)
{
    return a->target_count == b->target_count && a->failed_count == b->failed_count &&
           a->width == b->width &&
           memcmp(a->targets, b->targets, (size_t)a->target_count * sizeof *a->targets) == 0 &&
           memcmp(a->failed, b->failed, (size_t)a->failed_count * sizeof *a->failed) == 0;
}

static bool has_failed(const struct lane *lane, int engine)
{
    return find(lane->failed, lane->failed_count, engine) >= 0;
}

/* Index among the targets, -1 when its tasks may not run there. */
static int member_index(const struct lane *lane, int engine)
{
    return has_failed(lane, engine) ? -1 : find(lane->targets, lane->target_count, engine);
}

bool lane_allows(const struct lane *lane, int engine)
{
    return lane->target_count > 0 ? member_index(lane, engine) >= 0 : !has_failed(lane, engine);
}

/* The engine of one target, NULL when it is gone or tasks of the lane have failed there. */
static struct engine *member(const struct lane *lane, const struct fleet *fleet, int i)
{
    int id = lane->targets[i];
    return has_failed(lane, id) ? NULL : fleet_engine(fleet, id);
}

int lane_alive(const struct lane *lane, const struct fleet *fleet)
{
    int alive = 0;
    if (lane->target_count == 0) {
        alive = fleet->count;
        for (int i = 0; i < lane->failed_count; i++)
            alive -= fleet_engine(fleet, lane->failed[i]) != NULL;
    }
    for (int i = 0; i < lane->target_count; i++)
        alive += member(lane, fleet, i) != NULL;
    return alive;
}

bool lane_reachable(const struct lane *lane, const struct fleet *fleet, int except)
{
    bool counts = except >= 0 && fleet_engine(fleet, except) && lane_allows(lane, except);
    return lane_alive(lane, fleet) - counts >= lane->width;
}

bool lane_hopeless(const struct lane *lane, const struct fleet *fleet)
{
    return (lane->target_count > 0 || lane->width > 1) && !lane_reachable(lane, fleet, -1);
}

/* Lanes whose tasks the engines are told of: the others they look at themselves. */
static bool makes_offers(const struct lane *lane)
{
    return lane->target_count > 0 && lane->width == 1;
}

/* ---- life ---- */

static struct lane *lane_create(struct lanes *lanes, const int *targets, int target_count,
                                const int *failed, int failed_count, int width)
{
    size_t ints = 2 * (size_t)target_count + (size_t)failed_count;
    struct lane *lane = calloc(1, sizeof *lane + ints * sizeof lane->sets[0]);
    if (!lane)
        return NULL;
    lane->lanes = lanes;
    lane->base = lane;
    lane->width = width;
    lane->targets = lane->sets;
    lane->failed = lane->targets + target_count;
    lane->places = lane->failed + failed_count;
    if (target_count > 0)
        memcpy(lane->targets, targets, (size_t)target_count * sizeof *targets);
    if (failed_count > 0)
        memcpy(lane->failed, failed, (size_t)failed_count * sizeof *failed);
    lane->target_count = normalise(lane->targets, target_count);
    lane->failed_count = normalise(lane->failed, failed_count);
    for (int i = 0; i < lane->target_count; i++)
        lane->places[i] = -1;
    lane->node.key = hash_set(hash_set((uint64_t)width, lane->targets, lane->target_count),
                              lane->failed, lane->failed_count);
    return lane;
}

static struct lane *find_same(const struct lanes *lanes, const struct lane *lane)
{
    struct hash_node *node = hash_table_find(&lanes->table, lane->node.key);
    while (node && !same_sets((struct lane *)node, lane))
        node = hash_node_same(node);
    return (struct lane *)node;
}

static void adopt(struct lanes *lanes, struct lane *lane)
{
    hash_table_insert(&lanes->table, &lane->node);
    lane->next = lanes->all;
    if (lanes->all)
        lanes->all->prev = lane;
    lanes->all = lane;
}

/* As many offers as there may be engines, and room for one more of each that the lane has. */
static int reserve_offers(struct lanes *lanes, const struct fleet *fleet, const struct lane *lane)
{
    if (!makes_offers(lane))
        return 0;
    if (lanes->offers_size < fleet->size) {
        struct offers *grown = realloc(lanes->offers, (size_t)fleet->size * sizeof *grown);
        if (!grown)
            return -1;
        for (int i = lanes->offers_size; i < fleet->size; i++)
            grown[i] = (struct offers){ 0 };
        lanes->offers = grown;
        lanes->offers_size = fleet->size;
    }
    for (int i = 0; i < lane->target_count; i++)
        if (member(lane, fleet, i) && offers_reserve(&lanes->offers[lane->targets[i]], 1) < 0)
            return -1;
    return 0;
}

/* Takes a new lane in, or frees it and takes the one that is there already; adds a reference. */
static struct lane *intern(struct lanes *lanes, const struct fleet *fleet, struct lane *lane)
{
    struct lane *same = find_same(lanes, lane);
    if (same) {
        free(lane);
        same->refs++;
        return same;
    }
    if (reserve_offers(lanes, fleet, lane) < 0) {
        free(lane);
        errno = ENOMEM;
        return NULL;
    }
    for (int i = 0; makes_offers(lane) && i < lane->target_count; i++)
        if (member(lane, fleet, i))
            lanes->offers[lane->targets[i]].lanes++;
    adopt(lanes, lane);
    lane->refs++;
    return lane;
}

struct lane *lanes_get(struct lanes *lanes, const struct fleet *fleet, const int *targets,
                       size_t target_count, int width)
{
    if (target_count == 0 && width == 1) {
        lanes->anyone->refs++;
        return lanes->anyone;
    }
    if (target_count > INT_MAX / 4) {
        errno = ENOMEM;
        return NULL;
    }
    struct lane *lane = lane_create(lanes, targets, (int)target_count, NULL, 0, width);
    return lane ? intern(lanes, fleet, lane) : NULL;
}

void lanes_unref(const struct fleet *fleet, struct lane *lane)
{
    struct lanes *lanes = lane->lanes;
    if (--lane->refs > 0)
        return;
    for (int i = 0; makes_offers(lane) && i < lane->target_count; i++) {
        if (!member(lane, fleet, i))
            continue;
        struct offers *offers = &lanes->offers[lane->targets[i]];
        if (lane->places[i] >= 0)
            offers_withdraw(offers, lane->places[i]);
        offers->lanes--;
    }
    hash_table_remove(&lanes->table, &lane->node);
    if (lane->prev)
        lane->prev->next = lane->next;
    else
        lanes->all = lane->next;
    if (lane->next)
        lane->next->prev = lane->prev;
    if (lane->base != lane)
        lanes_unref(fleet, lane->base);
    free(lane);
}

int lanes_init(struct lanes *lanes)
{
    *lanes = (struct lanes){ 0 };
    struct lane *anyone = lane_create(lanes, NULL, 0, NULL, 0, 1);
    if (!anyone || hash_table_init(&lanes->table) < 0) {
        free(anyone);
        return -1;
    }
    adopt(lanes, anyone);
    anyone->refs = 1; /* lanes.anyone */
    lanes->anyone = anyone;
    return 0;
}

static void free_lane(struct hash_node *node)
{
    free(node);
}

void lanes_free(struct lanes *lanes)
{
    hash_table_free(&lanes->table, free_lane);
    for (int i = 0; i < lanes->offers_size; i++)
        free(lanes->offers[i].heap);
    free(lanes->offers);
}

/* ---- where a task that comes back may go ---- */

/* The lane of tasks that failed where those of `lane` did and on `engine`. */
static struct lane *lane_after(const struct fleet *fleet, struct lane *lane, int engine)
{
    int *failed = malloc(((size_t)lane->failed_count + 1) * sizeof *failed);
    if (!failed)
        return NULL;
    if (lane->failed_count > 0)
        memcpy(failed, lane->failed, (size_t)lane->failed_count * sizeof *failed);
    failed[lane->failed_count] = engine;
    struct lane *after = lane_create(lane->lanes, lane->targets, lane->target_count, failed,
                                     lane->failed_count + 1, lane->width);
    free(failed);
    if (!after || !(after = intern(lane->lanes, fleet, after)))
        return NULL;
    if (after->base == after) { /* new: it has no other base yet */
        after->base = lane->base;
        lane->base->refs++;
    }
    return after;
}

void lanes_avoid(const struct fleet *fleet, struct task *task, int engine)
{
    struct lane *lane = task->lane;
    if (lane_reachable(lane, fleet, engine)) {
        lane = lane_after(fleet, lane, engine);
        if (!lane)
            return;
    } else {
        lane = lane->base;
        lane->refs++;
    }
    lanes_unref(fleet, task->lane);
    task->lane = lane;
}

/* ---- waiting ---- */

static void open_link(struct lane *lane)
{
    struct lanes *lanes = lane->lanes;
    lane->open_prev = NULL;
    lane->open_next = lanes->open;
    if (lanes->open)
        lanes->open->open_prev = lane;
    lanes->open = lane;
}

static void open_unlink(struct lane *lane)
{
    if (lane->open_prev)
        lane->open_prev->open_next = lane->open_next;
    else
        lane->lanes->open = lane->open_next;
    if (lane->open_next)
        lane->open_next->open_prev = lane->open_prev;
}

static bool is_open(const struct lane *lane)
{
    return !makes_offers(lane) && lane != lane->lanes->anyone;
}

/* The lane has a new first task: its engines must hear of it. */
static void announce(struct lane *lane, const struct fleet *fleet)
{
    for (int i = 0; makes_offers(lane) && i < lane->target_count; i++)
        if (member(lane, fleet, i))
            offers_make(&lane->lanes->offers[lane->targets[i]], lane, i);
}

static bool is_choosy(const struct task *task)
{
    return task->more && task->more->preferred_count > 0;
}

void lanes_put(const struct fleet *fleet, struct task *task)
{
    struct lane *lane = task->lane;
    if (is_open(lane) && !lane->waiting.head)
        open_link(lane);
    task_list_insert(&lane->waiting, task);
    lane->choosy += is_choosy(task);
    if (lane->waiting.head == task)
        announce(lane, fleet);
}

void lanes_take(struct task *task)
{
    struct lane *lane = task->lane;
    lane->passed = lane->waiting.head == task ? 0 : lane->passed + 1;
    task_list_remove(&lane->waiting, task);
    lane->choosy -= is_choosy(task);
    if (is_open(lane) && !lane->waiting.head)
        open_unlink(lane);
}

static struct lane *older(struct lane *a, struct lane *b)
{
    return !a || (b && b->waiting.head->order < a->waiting.head->order) ? b : a;
}

/* One of the first tasks that would rather be on this engine than the others; in the end the first
 * one has its turn. */
#define CHOOSY_WINDOW 16

static struct task *choose(const struct lane *lane, const struct fleet *fleet,
                           const struct engine *engine)
{
    struct task *best = lane->waiting.head;
    if (lane->choosy == 0 || lane->passed >= CHOOSY_WINDOW)
        return best;
    int least = policy_distance(fleet, best, engine);
    struct task *task = best->next;
    for (int i = 1; task && least > 0 && i < CHOOSY_WINDOW; task = task->next, i++) {
        int distance = policy_distance(fleet, task, engine);
        if (distance < least) {
            least = distance;
            best = task;
        }
    }
    return best;
}

struct task *lanes_next(const struct lanes *lanes, const struct fleet *fleet,
                        const struct engine *engine, bool wide)
{
    struct lane *best = lanes->anyone->waiting.head ? lanes->anyone : NULL;
    for (struct lane *lane = lanes->open; lane; lane = lane->open_next)
        if ((wide || lane->width == 1) && lane_allows(lane, engine->id))
            best = older(best, lane);
    if (engine->id < lanes->offers_size)
        best = older(best, offers_best(&lanes->offers[engine->id]));
    return best ? choose(best, fleet, engine) : NULL;
}

/* ---- engines come and go ---- */

int lanes_welcome(struct lanes *lanes, const struct fleet *fleet, const struct engine *engine)
{
    int i;
    for (struct lane *lane = lanes->all; lane; lane = lane->next) {
        if (!makes_offers(lane) || (i = member_index(lane, engine->id)) < 0)
            continue;
        if (reserve_offers(lanes, fleet, lane) < 0)
            return -1;
        lanes->offers[engine->id].lanes++;
        if (lane->waiting.head)
            offers_make(&lanes->offers[engine->id], lane, i);
    }
    return 0;
}

void lanes_dismiss(struct lanes *lanes, const struct engine *engine)
{
    if (engine->id < lanes->offers_size)
        offers_forget(&lanes->offers[engine->id]);
}

/* All that waits in the lane goes on waiting in its base. */
static void fold(const struct fleet *fleet, struct lane *lane)
{
    struct lane *base = lane->base;
    struct task_list moved = lane->waiting;
    size_t count = 0;
    for (struct task *task = moved.head; task; task = task->next) {
        task->lane = base;
        count++;
    }
    if (is_open(lane))
        open_unlink(lane);
    if (is_open(base) && !base->waiting.head)
        open_link(base);
    base->choosy += lane->choosy;
    lane->choosy = 0;
    lane->waiting = (struct task_list){ NULL, NULL };
    task_list_merge(&base->waiting, &moved);
    announce(base, fleet);
    base->refs += count;
    lane->refs -= count - 1; /* the last one may free it */
    lanes_unref(fleet, lane);
}

void lanes_collapse(struct lanes *lanes, const struct fleet *fleet)
{
    struct lane *next;
    for (struct lane *lane = lanes->all; lane; lane = next) {
        next = lane->next;
        if (lane->base != lane && lane->waiting.head && !lane_reachable(lane, fleet, -1))
            fold(fleet, lane);
    }
}
