/* SPDX-License-Identifier: BSD-3-Clause
 * Whose turn it is. Priorities are absolute. Within one, the client with the fewest engines is
 * next, so that each gets an even share of them however long its tasks take (max-min fairness; D.
 * Bertsekas and R. Gallager, Data Networks, section 6.5.2). Clients that wait are few: they are
 * looked at one by one. */
#include "sched/sched_flow.h"

#include <errno.h>
#include <stdlib.h>

/* Flows without tasks that are kept, for the next task of their client. */
#define IDLE_FLOWS_KEPT 16

/* ---- coming and going ---- */

static struct client *client_get(struct flows *flows, uint64_t id)
{
    struct client *client = flows->clients;
    while (client && client->id != id)
        client = client->next;
    if (!client && (client = calloc(1, sizeof *client))) {
        *client = (struct client){ .id = id, .next = flows->clients, .turn = ++flows->turns };
        flows->clients = client;
    }
    return client;
}

static void client_unref(struct flows *flows, struct client *client)
{
    struct client **link = &flows->clients;
    if (--client->flows > 0)
        return;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    free(client);
}

static void drop_idle(struct flows *flows)
{
    struct flow **link = &flows->all;
    while (*link) {
        struct flow *flow = *link;
        if (flow->tasks > 0) {
            link = &flow->next;
            continue;
        }
        *link = flow->next;
        client_unref(flows, flow->client);
        lanes_free(&flow->lanes);
        free(flow);
        flows->count--;
    }
    flows->recent = NULL;
}

static struct flow *flow_create(struct flows *flows, uint64_t client, int priority)
{
    struct flow *flow = calloc(1, sizeof *flow);
    struct client *owner = flow ? client_get(flows, client) : NULL;
    if (owner)
        owner->flows++;
    if (!owner || lanes_init(&flow->lanes) < 0) {
        if (owner)
            client_unref(flows, owner);
        free(flow);
        errno = ENOMEM;
        return NULL;
    }
    flow->client = owner;
    flow->priority = priority;
    flow->next = flows->all;
    flows->all = flow;
    flows->count++;
    return flow;
}

static bool is_flow(const struct flow *flow, uint64_t client, int priority)
{
    return flow->client->id == client && flow->priority == priority;
}

struct flow *flows_get(struct flows *flows, uint64_t client, int priority)
{
    struct flow *flow = flows->recent;
    if (flow && is_flow(flow, client, priority))
        return flow;
    flow = flows->all;
    while (flow && !is_flow(flow, client, priority))
        flow = flow->next;
    if (!flow) {
        if (flows->count >= IDLE_FLOWS_KEPT)
            drop_idle(flows);
        flow = flow_create(flows, client, priority);
    }
    flows->recent = flow;
    return flow;
}

void flows_free(struct flows *flows)
{
    for (struct flow *flow = flows->all; flow; flow = flow->next)
        flow->tasks = 0;
    drop_idle(flows);
}

/* ---- waiting ---- */

void flows_put(struct flows *flows, const struct fleet *fleet, struct task *task)
{
    struct flow *flow = flow_of(task);
    lanes_put(fleet, task);
    flows->wide += task->lane->width > 1;
    if (flow->waiting++ > 0)
        return;
    flow->active_prev = NULL;
    flow->active_next = flows->active;
    if (flows->active)
        flows->active->active_prev = flow;
    flows->active = flow;
}

void flows_take(struct flows *flows, struct task *task)
{
    struct flow *flow = flow_of(task);
    lanes_take(task);
    flows->wide -= task->lane->width > 1;
    if (--flow->waiting > 0)
        return;
    if (flow->active_prev)
        flow->active_prev->active_next = flow->active_next;
    else
        flows->active = flow->active_next;
    if (flow->active_next)
        flow->active_next->active_prev = flow->active_prev;
}

static bool goes_before(const struct flow *a, const struct flow *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->client->held != b->client->held)
        return a->client->held < b->client->held;
    return a->client->turn < b->client->turn;
}

struct task *flows_next(const struct flows *flows, const struct fleet *fleet,
                        const struct engine *engine, bool wide)
{
    const struct flow *best = NULL;
    struct task *next = NULL, *task;
    for (const struct flow *flow = flows->active; flow; flow = flow->active_next) {
        if (best && !goes_before(flow, best))
            continue;
        if ((task = lanes_next(&flow->lanes, fleet, engine, wide))) {
            best = flow;
            next = task;
        }
    }
    return next;
}

/* ---- engines come and go ---- */

int flows_welcome(struct flows *flows, const struct fleet *fleet, const struct engine *engine)
{
    for (struct flow *flow = flows->all; flow; flow = flow->next)
        if (lanes_welcome(&flow->lanes, fleet, engine) < 0)
            return -1;
    return 0;
}

void flows_dismiss(struct flows *flows, const struct engine *engine)
{
    for (struct flow *flow = flows->all; flow; flow = flow->next)
        lanes_dismiss(&flow->lanes, engine);
}

void flows_collapse(struct flows *flows, const struct fleet *fleet)
{
    for (struct flow *flow = flows->all; flow; flow = flow->next)
        lanes_collapse(&flow->lanes, fleet);
}
