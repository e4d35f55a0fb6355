/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: the engines, sorted by load, and what a policy sees of them. Where the tasks of
 * a lane may run is in sched_lane.h. */
#ifndef IPP_SCHED_POLICY_H
#define IPP_SCHED_POLICY_H

#include "sched/sched_task.h"

/* Why an engine takes no tasks: bits. */
#define CLOSED_PAUSED 1u
#define CLOSED_GATHERED 2u /* for a wide task */
#define CLOSED_TOGETHER                                                                            \
    4u /* runs one, beside which nothing else can run: others wait for it there */

#define PLACE_UNKNOWN (-1)

struct engine {
    int id;
    unsigned closed;            /* 0: open; else it is on no level */
    int load;                   /* tasks it holds, but for those that wait for others */
    int waiting;                /* those */
    int vacant;                 /* its place in fleet->vacant, -1: it takes no tasks */
    uint64_t since;             /* of that load; less is longer ago */
    uint64_t used;              /* when it was given a task; less is longer ago */
    struct engine *next, *prev; /* with the same load, longest first */
    struct task_list tasks;     /* in order of assignment */
    struct part *parts;         /* of wide tasks */
    struct sched_place place;
};

/* The open engines of one load, and the next loads that some engine has (-1: none). */
struct level {
    struct engine *first, *last;
    int above, below;
};

struct fleet {
    struct engine **at; /* by id; NULL where none has joined */
    int size;           /* of `at`, and of `vacant` */
    int count;          /* engines that have joined */
    int limit;          /* an engine with that load takes no more: see fleet_takes */
    struct level *levels;
    int level_count;
    int lowest;             /* load of the least loaded engine, -1 when all are closed */
    struct engine **vacant; /* those that take tasks, in no order */
    int vacant_count;
    uint64_t moves;
};

int fleet_init(struct fleet *fleet, int limit); /* -1 with errno ENOMEM */
void fleet_free(struct fleet *fleet);
/* NULL: EEXIST, EINVAL, ENOMEM. */
struct engine *fleet_add(struct fleet *fleet, int id, const struct sched_place *place);
void fleet_remove(struct fleet *fleet, struct engine *engine); /* frees it */
/* The load goes up or down by one. Up cannot fail: fleet_reserve has been asked. */
void fleet_shift(struct fleet *fleet, struct engine *engine, int by);
int fleet_reserve(struct fleet *fleet, size_t tasks); /* however they are spread; -1, ENOMEM */
int fleet_reserve_load(struct fleet *fleet, size_t highest); /* beyond the limit, too */
void fleet_set_limit(struct fleet *fleet, int limit);        /* room for it has been reserved */

void fleet_close(struct fleet *fleet, struct engine *engine, unsigned why);
void fleet_open(struct fleet *fleet, struct engine *engine, unsigned why);

static inline bool fleet_takes(const struct fleet *fleet, const struct engine *engine)
{
    return engine->closed == 0 && engine->load < fleet->limit;
}

static inline struct engine *fleet_engine(const struct fleet *fleet, int id)
{
    return id >= 0 && id < fleet->size ? fleet->at[id] : NULL;
}

/* How far apart engines run, as hwloc sees it: 0 the same engine, 1 core, 2 NUMA node, 3 package, 4
 * host, 5 elsewhere. */
#define DISTANCE_MOST 5
int engine_distance(const struct engine *a, const struct engine *b);

/* ---- policies ---- */

/* A task wants an engine. */
struct sched_choice {
    const struct fleet *fleet;
    const struct task *task;
    uint64_t random; /* new each time */
};

/* How far `engine` is from those where the task had better run; without sched_locality it is one of
 * them (0) or not (DISTANCE_MOST). DISTANCE_MOST for a task that does not care. */
int policy_distance(const struct fleet *fleet, const struct task *task,
                    const struct engine *engine);
/* A free engine where the task may run, NULL when there is none: of those that it prefers, if one
 * of them is free. */
struct engine *policy_pick(const struct sched_policy *policy, const struct sched_choice *choice);

extern const struct sched_policy sched_locality;

#endif
