/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: flows. The tasks of one client at one priority are a flow; an engine that gets
 * free chooses first among flows, then in its lanes. */
#ifndef IPP_SCHED_FLOW_H
#define IPP_SCHED_FLOW_H

#include "sched/sched_lane.h"

struct client {
    struct client *next;
    uint64_t id;
    int flows;     /* that belong to it */
    int held;      /* engines' slots that its tasks have; blocked ones do not count */
    uint64_t turn; /* when it got the last one */
};

struct flow {
    struct lanes lanes; /* must be the first member: see flow_of */
    struct flow *next;  /* of all */
    struct flow *active_next, *active_prev;
    struct client *client;
    int priority;
    size_t tasks;   /* that live */
    size_t waiting; /* in its lanes; it is active while there are any */
};

struct flows {
    struct flow *all, *active;
    struct flow *recent; /* the last one asked for, or NULL */
    struct client *clients;
    int count;
    size_t wide; /* wide tasks that wait in lanes */
    uint64_t turns;
};

static inline struct flow *flow_of(const struct task *task)
{
    return (struct flow *)task->lane->lanes;
}

/* NULL with errno ENOMEM. It stays while it has tasks, and for a while after. */
struct flow *flows_get(struct flows *flows, uint64_t client, int priority);
void flows_free(struct flows *flows);

/* A task of it came, or ended. */
static inline void flow_count(struct flow *flow, int by)
{
    flow->tasks += (size_t)by;
}

/* The client of that flow has got engines, or given them back. */
static inline void flow_hold(struct flows *flows, struct flow *flow, int by)
{
    flow->client->held += by;
    if (by > 0)
        flow->client->turn = ++flows->turns;
}

void flows_put(struct flows *flows, const struct fleet *fleet, struct task *task);
void flows_take(struct flows *flows, struct task *task);
/* What an engine that gets free should get, NULL: nothing. Wide ones only if asked for. */
struct task *flows_next(const struct flows *flows, const struct fleet *fleet,
                        const struct engine *engine, bool wide);

/* The lanes of all flows: as lanes_welcome, lanes_dismiss, lanes_collapse. */
int flows_welcome(struct flows *flows, const struct fleet *fleet, const struct engine *engine);
void flows_dismiss(struct flows *flows, const struct engine *engine);
void flows_collapse(struct flows *flows, const struct fleet *fleet);

#endif
