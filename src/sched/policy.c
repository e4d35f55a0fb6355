/* SPDX-License-Identifier: BSD-3-Clause
 * The policies. All but the last are ipyparallel's task schemes, by its names
 * (ipyparallel.controller.task_scheduler), except that a full engine is no choice. */
#include "sched/sched_lane.h"

#include <errno.h>
#include <string.h>

/* ---- whom there is to choose from: vacant engines, or targets ---- */

static int some_count(const struct sched_choice *choice)
{
    int targets = choice->task->lane->target_count;
    return targets > 0 ? targets : choice->fleet->vacant_count;
}

/* NULL: the task may not run there now. */
static struct engine *some_at(const struct sched_choice *choice, int i)
{
    const struct lane *lane = choice->task->lane;
    if (lane->target_count == 0) {
        struct engine *engine = choice->fleet->vacant[i];
        return lane_allows(lane, engine->id) ? engine : NULL;
    }
    struct engine *engine = fleet_engine(choice->fleet, lane->targets[i]);
    bool fits = engine && fleet_takes(choice->fleet, engine) && lane_allows(lane, engine->id);
    return fits ? engine : NULL;
}

/* The first in an order among equals; by(a, b): a goes before b. */
static struct engine *first_by(const struct sched_choice *choice,
                               bool (*by)(const struct sched_choice *choice, const struct engine *a,
                                          const struct engine *b))
{
    struct engine *best = NULL;
    for (int i = 0; i < some_count(choice); i++) {
        struct engine *engine = some_at(choice, i);
        if (engine && (!best || by(choice, engine, best)))
            best = engine;
    }
    return best;
}

static uint64_t each_is_one(const struct engine *engine)
{
    (void)engine;
    return 1;
}

/* At random, in proportion to weight; `random`: 32 bits. */
static struct engine *at_random(const struct sched_choice *choice, uint64_t random,
                                uint64_t (*weight)(const struct engine *engine))
{
    uint64_t sum = 0;
    struct engine *engine;
    for (int i = 0; i < some_count(choice); i++)
        if ((engine = some_at(choice, i)))
            sum += weight(engine);
    uint64_t left = sum == 0 ? 0 : random % sum;
    for (int i = 0; sum > 0 && i < some_count(choice); i++) {
        if (!(engine = some_at(choice, i)))
            continue;
        if (left < weight(engine))
            return engine;
        left -= weight(engine);
    }
    return NULL;
}

/* ---- leastload ---- */

static bool less_loaded(const struct sched_choice *choice, const struct engine *a,
                        const struct engine *b)
{
    (void)choice;
    return a->load < b->load || (a->load == b->load && a->since < b->since);
}

static struct engine *leastload_pick(const struct sched_choice *choice)
{
    const struct fleet *fleet = choice->fleet;
    const struct lane *lane = choice->task->lane;
    if (lane->target_count > 0)
        return first_by(choice, less_loaded);
    for (int load = fleet->lowest; load >= 0 && load < fleet->limit;
         load = fleet->levels[load].above)
        for (struct engine *engine = fleet->levels[load].first; engine; engine = engine->next)
            if (lane_allows(lane, engine->id))
                return engine;
    return NULL;
}

const struct sched_policy sched_leastload = {
    .name = "leastload",
    .doc = "fewest tasks in flight; the one idle longest among equals",
    .pick = leastload_pick,
};

/* ---- lru ---- */

static bool used_before(const struct sched_choice *choice, const struct engine *a,
                        const struct engine *b)
{
    (void)choice;
    return a->used < b->used;
}

static struct engine *lru_pick(const struct sched_choice *choice)
{
    return first_by(choice, used_before);
}

static const struct sched_policy sched_lru = {
    .name = "lru",
    .doc = "the one that got its last task longest ago",
    .pick = lru_pick,
};

/* ---- plainrandom ---- */

static struct engine *plainrandom_pick(const struct sched_choice *choice)
{
    return at_random(choice, choice->random & UINT32_MAX, each_is_one);
}

static const struct sched_policy sched_plainrandom = {
    .name = "plainrandom",
    .doc = "any, at random",
    .pick = plainrandom_pick,
};

/* ---- twobin, weighted: two at random, and the better one ---- */

static struct engine *better_of_two(const struct sched_choice *choice,
                                    uint64_t (*weight)(const struct engine *engine),
                                    bool (*by)(const struct sched_choice *choice,
                                               const struct engine *a, const struct engine *b))
{
    struct engine *a = at_random(choice, choice->random & UINT32_MAX, weight);
    struct engine *b = at_random(choice, choice->random >> 32, weight);
    return a && by(choice, b, a) ? b : a;
}

static struct engine *twobin_pick(const struct sched_choice *choice)
{
    return better_of_two(choice, each_is_one, used_before);
}

static const struct sched_policy sched_twobin = {
    .name = "twobin",
    .doc = "two at random, of these the one that got its last task longer ago",
    .pick = twobin_pick,
};

static uint64_t inverse_load(const struct engine *engine)
{
    return UINT64_C(1000000) / (1 + (uint64_t)engine->load);
}

static struct engine *weighted_pick(const struct sched_choice *choice)
{
    return better_of_two(choice, inverse_load, less_loaded);
}

static const struct sched_policy sched_weighted = {
    .name = "weighted",
    .doc = "two at random, idle ones more often; of these the one with fewer tasks",
    .pick = weighted_pick,
};

/* ---- locality ---- */

static bool nearer(const struct sched_choice *choice, const struct engine *a,
                   const struct engine *b)
{
    int by = policy_distance(choice->fleet, choice->task, a) -
             policy_distance(choice->fleet, choice->task, b);
    return by < 0 || (by == 0 && less_loaded(choice, a, b));
}

static struct engine *locality_pick(const struct sched_choice *choice)
{
    const struct task *task = choice->task;
    bool cares = task->more && task->more->preferred_count > 0;
    return cares ? first_by(choice, nearer) : leastload_pick(choice);
}

const struct sched_policy sched_locality = {
    .name = "locality",
    .doc = "nearest (core, NUMA node, package, host) to where its data is; else leastload",
    .pick = locality_pick,
};

/* ---- soft targets ---- */

int policy_distance(const struct fleet *fleet, const struct task *task, const struct engine *engine)
{
    int least = DISTANCE_MOST;
    if (!task->more)
        return least;
    for (int i = 0; i < task->more->preferred_count && least > 0; i++) {
        const struct engine *wanted = fleet_engine(fleet, task->more->preferred[i]);
        if (wanted == engine)
            least = 0;
        else if (wanted && task->more->policy == &sched_locality &&
                 engine_distance(wanted, engine) < least)
            least = engine_distance(wanted, engine);
    }
    return least;
}

struct engine *policy_pick(const struct sched_policy *policy, const struct sched_choice *choice)
{
    const struct task_more *more = choice->task->more;
    struct engine *best = NULL;
    for (int i = 0; more && i < more->preferred_count; i++) {
        struct engine *engine = fleet_engine(choice->fleet, more->preferred[i]);
        if (engine && fleet_takes(choice->fleet, engine) &&
            lane_allows(choice->task->lane, engine->id) &&
            (!best || less_loaded(choice, engine, best)))
            best = engine;
    }
    return best ? best : policy->pick(choice);
}

/* ---- by name ---- */

static const struct sched_policy *const policies[] = {
    &sched_leastload, &sched_lru,      &sched_plainrandom,
    &sched_twobin,    &sched_weighted, &sched_locality,
};

const struct sched_policy *sched_policy_at(size_t i)
{
    return i < sizeof policies / sizeof *policies ? policies[i] : NULL;
}

int sched_policy_index(const char *name)
{
    const struct sched_policy *policy;
    for (int i = 0; (policy = sched_policy_at((size_t)i)); i++)
        if (strcmp(policy->name, name) == 0)
            return i;
    errno = ENOENT;
    return -1;
}

const struct sched_policy *sched_policy_find(const char *name)
{
    int index = sched_policy_index(name);
    return index < 0 ? NULL : sched_policy_at((size_t)index);
}
