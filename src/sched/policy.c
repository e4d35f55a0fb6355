/* SPDX-License-Identifier: BSD-3-Clause
 * The policies by name, and leastload, the first of them. */
#include "sched/sched.h"
#include "sched/sched_lane.h"

#include <errno.h>
#include <string.h>

/* ---- leastload ---- */

static bool better(const struct engine *a, const struct engine *b)
{
    return a->load < b->load || (a->load == b->load && a->since < b->since);
}

static struct engine *least_of_targets(const struct fleet *fleet, const struct lane *lane)
{
    struct engine *best = NULL;
    for (int i = 0; i < lane->target_count; i++) {
        struct engine *engine = fleet_engine(fleet, lane->targets[i]);
        if (!engine || !fleet_takes(fleet, engine) || lane_has_failed(lane, engine->id))
            continue;
        if (!best || better(engine, best))
            best = engine;
    }
    return best;
}

static struct engine *least_of_all(const struct fleet *fleet, const struct lane *lane)
{
    for (int load = fleet->lowest; load >= 0 && load < fleet->limit;
         load = fleet->levels[load].above)
        for (struct engine *engine = fleet->levels[load].first; engine; engine = engine->next)
            if (!lane_has_failed(lane, engine->id))
                return engine;
    return NULL;
}

static struct engine *leastload_pick(const struct fleet *fleet, const struct lane *lane)
{
    return lane->target_count > 0 ? least_of_targets(fleet, lane) : least_of_all(fleet, lane);
}

const struct sched_policy sched_leastload = {
    .name = "leastload",
    .doc = "fewest tasks in flight; the one idle longest among equals",
    .pick = leastload_pick,
};

/* ---- by name ---- */

static const struct sched_policy *const policies[] = { &sched_leastload };
static const char policy_names[] = "leastload";

const struct sched_policy *sched_policy_find(const char *name, const char **names)
{
    if (names)
        *names = policy_names;
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (strcmp(policies[i]->name, name) == 0)
            return policies[i];
    errno = ENOENT;
    return NULL;
}
