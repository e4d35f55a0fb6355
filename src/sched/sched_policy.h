/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: what a policy is and what it sees, the engines sorted by load. Where the tasks
 * of a lane may run is in sched_lane.h. */
#ifndef IPP_SCHED_POLICY_H
#define IPP_SCHED_POLICY_H

#include "sched/sched_task.h"

struct fleet;
struct lane;

struct sched_policy {
    const char *name;
    const char *doc; /* one line for --help */
    /* A free engine where tasks of that lane may run, NULL when there is none. Asked for a task
     * that comes in or is put back; an engine that gets free takes the oldest task it may run. */
    struct engine *(*pick)(const struct fleet *fleet, const struct lane *lane);
};

/* A lane that has tasks for an engine. `order` is its oldest task's or older: it is looked up again
 * when it comes to the top, so that taking a task costs nothing at the lane's other engines. */
struct offer {
    uint64_t order;
    struct lane *lane;
    int member; /* the engine is lane->targets[member] */
};

struct offers {
    struct offer *heap;
    int count, capacity;
    int lanes; /* lanes that may make an offer; capacity is never less */
};

struct engine {
    int id;
    bool paused;                /* takes no tasks, and is on no level */
    int load;                   /* tasks it holds */
    uint64_t since;             /* of that load; less is longer ago */
    struct engine *next, *prev; /* with the same load, longest first */
    struct task_list tasks;     /* in order of assignment */
    struct offers offers;       /* of the lanes with targets */
};

/* The engines of one load, and the next loads that some engine has (-1: none). */
struct level {
    struct engine *first, *last;
    int above, below;
};

struct fleet {
    struct engine **at; /* by id; NULL where none has joined */
    int size;           /* of `at` */
    int count;          /* engines that have joined */
    int limit;          /* an engine with that load takes no more: see fleet_takes */
    struct level *levels;
    int level_count;
    int lowest; /* load of the least loaded engine, -1 when all are paused */
    uint64_t moves;
};

int fleet_init(struct fleet *fleet, int limit); /* -1 with errno ENOMEM */
void fleet_free(struct fleet *fleet);
struct engine *fleet_add(struct fleet *fleet, int id);         /* NULL: EEXIST, EINVAL, ENOMEM */
void fleet_remove(struct fleet *fleet, struct engine *engine); /* frees it */
/* The load goes up or down by one. Up cannot fail: fleet_reserve has been asked. */
void fleet_shift(struct fleet *fleet, struct engine *engine, int by);
int fleet_reserve(struct fleet *fleet, size_t tasks); /* however they are spread; -1, ENOMEM */
int fleet_reserve_load(struct fleet *fleet, size_t highest); /* beyond the limit, too */

void fleet_pause(struct fleet *fleet, struct engine *engine, bool pause);

static inline bool fleet_takes(const struct fleet *fleet, const struct engine *engine)
{
    return !engine->paused && engine->load < fleet->limit;
}

static inline struct engine *fleet_engine(const struct fleet *fleet, int id)
{
    return id >= 0 && id < fleet->size ? fleet->at[id] : NULL;
}

#endif
