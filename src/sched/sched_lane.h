/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: lanes. Tasks that may run on the same engines wait in one lane, so that an
 * engine that gets free looks at lanes and never at tasks it may not run. */
#ifndef IPP_SCHED_LANE_H
#define IPP_SCHED_LANE_H

#include "sched/sched_policy.h"

/* One per distinct triple (targets, engines where it failed, width), alive while a task refers to
 * it. */
struct lane {
    struct hash_node node;              /* key: hash of the triple; must be the first member */
    struct lanes *lanes;                /* that it is one of */
    struct lane *next, *prev;           /* of all of these */
    struct lane *open_next, *open_prev; /* of those in lanes->open */
    struct lane *base;                  /* same targets, failed nowhere; itself when it is that */
    struct task_list waiting;           /* by order */
    size_t refs;                        /* tasks, waiting or running, and lanes based on it */
    size_t choosy;                      /* tasks that wait and would rather run on some engines */
    int passed;                         /* times that the first one was passed over for such */
    int width;                          /* engines at once; wide tasks have failed nowhere */
    int target_count;                   /* 0: any engine */
    int failed_count;
    int *targets; /* sorted, each once */
    int *failed;  /* sorted, each once */
    int *places;  /* by target: where its engine keeps the offer, -1 when it has none */
    int sets[];
};

/* A lane that has tasks for an engine. `order` is its oldest task's or older: it is looked up again
 * when it comes to the top, so that taking a task costs nothing at the lane's other engines. */
struct offer {
    uint64_t order;
    struct lane *lane;
    int member; /* the engine is lane->targets[member] */
};

/* What an engine is offered by lanes with targets, for one engine at a time. */
struct offers {
    struct offer *heap;
    int count, capacity;
    int lanes; /* lanes that may make an offer; capacity is never less */
};

struct lanes {
    struct hash_table table;
    struct lane *all;
    struct lane *anyone;   /* no targets, failed nowhere, width 1 */
    struct lane *open;     /* tasks waiting, and each engine has to look at them itself */
    struct offers *offers; /* by engine; NULL: there was no lane with targets yet */
    int offers_size;
};

int lanes_init(struct lanes *lanes); /* -1 with errno ENOMEM */
void lanes_free(struct lanes *lanes);

/* The lane of those targets with one more reference; NULL with errno ENOMEM. */
struct lane *lanes_get(struct lanes *lanes, const struct fleet *fleet, const int *targets,
                       size_t target_count, int width);
/* Moves a task that does not wait to the lane for those that also failed on `engine`; to the base
 * when no engine would be left, and nowhere without memory: it is a preference. */
void lanes_avoid(const struct fleet *fleet, struct task *task, int engine);
void lanes_unref(const struct fleet *fleet, struct lane *lane);

void lanes_put(const struct fleet *fleet, struct task *task);
void lanes_take(struct task *task);
/* The task that an engine should get, NULL: none for it. Wide ones only if asked for. */
struct task *lanes_next(const struct lanes *lanes, const struct fleet *fleet,
                        const struct engine *engine, bool wide);

/* Offers what waits to an engine that has joined; -1 with errno ENOMEM. */
int lanes_welcome(struct lanes *lanes, const struct fleet *fleet, const struct engine *engine);
void lanes_dismiss(struct lanes *lanes, const struct engine *engine);
/* To be called when an engine has left: tasks that have failed on all engines that are left for
 * them may use any of these again. */
void lanes_collapse(struct lanes *lanes, const struct fleet *fleet);

/* Engines that have joined and where tasks of the lane may run. */
int lane_alive(const struct lane *lane, const struct fleet *fleet);
/* True when enough of them are left; `except` (-1: none) does not count. */
bool lane_reachable(const struct lane *lane, const struct fleet *fleet, int except);
/* Too few are left, and the tasks do not wait for any engine that may join. */
bool lane_hopeless(const struct lane *lane, const struct fleet *fleet);
bool lane_allows(const struct lane *lane, int engine);

/* ---- offers.c: the heap of lanes that an engine keeps ---- */

int offers_reserve(struct offers *offers, int lanes); /* room for that many more; -1, ENOMEM */
/* The lane has a new first task. */
void offers_make(struct offers *offers, struct lane *lane, int member);
void offers_withdraw(struct offers *offers, int place);
void offers_forget(struct offers *offers);       /* all of them; frees the heap */
struct lane *offers_best(struct offers *offers); /* the one with the oldest task, or NULL */

#endif
