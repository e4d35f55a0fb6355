/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: lanes. Tasks that may run on the same engines wait in one lane, so that an
 * engine that gets free looks at lanes and never at tasks it may not run. */
#ifndef IPP_SCHED_LANE_H
#define IPP_SCHED_LANE_H

#include "sched/sched_policy.h"

/* One per distinct pair (targets, engines where it failed), alive while a task refers to it. */
struct lane {
    struct hash_node node;              /* key: hash of both sets; must be the first member */
    struct lane *next, *prev;           /* of all lanes */
    struct lane *open_next, *open_prev; /* of those in lanes.open */
    struct lane *base;                  /* same targets, failed nowhere; itself when it is that */
    struct task_list waiting;           /* by order */
    size_t refs;                        /* tasks, waiting or running, and lanes based on it */
    int target_count;                   /* 0: any engine */
    int failed_count;
    int *targets; /* sorted, each once */
    int *failed;  /* sorted, each once */
    int *places;  /* by target: where its engine keeps the offer, -1 when it has none */
    int sets[];
};

struct lanes {
    struct hash_table table;
    struct lane *all;
    struct lane *anyone; /* no targets, failed nowhere */
    struct lane *open;   /* no targets, failed somewhere, tasks waiting */
};

int lanes_init(struct lanes *lanes); /* -1 with errno ENOMEM */
void lanes_free(struct lanes *lanes);

/* The lane of those targets with one more reference; NULL with errno ENOMEM. */
struct lane *lanes_get(struct lanes *lanes, const struct fleet *fleet, const int *targets,
                       size_t target_count);
/* Moves a task that does not wait to the lane for those that also failed on `engine`; to the base
 * when no engine would be left, and nowhere without memory: it is a preference. */
void lanes_avoid(struct lanes *lanes, const struct fleet *fleet, struct task *task, int engine);
void lanes_unref(struct lanes *lanes, const struct fleet *fleet, struct lane *lane);

void lanes_put(struct lanes *lanes, const struct fleet *fleet, struct task *task);
void lanes_take(struct lanes *lanes, struct task *task);
struct task *lanes_next(const struct lanes *lanes, struct engine *engine); /* NULL: none for it */

/* Offers what waits to an engine that has joined; -1 with errno ENOMEM and nothing changed. */
int lanes_welcome(struct lanes *lanes, struct engine *engine);
/* To be called when an engine has left: tasks that have failed on all engines that are left for
 * them may use any of these again. */
void lanes_collapse(struct lanes *lanes, const struct fleet *fleet);

/* True when an engine is left where tasks of the lane may run; `except` (-1: none) does not count.
 */
bool lane_reachable(const struct lane *lane, const struct fleet *fleet, int except);
bool lane_has_failed(const struct lane *lane, int engine);

/* ---- offers.c: the heap of lanes that an engine keeps ---- */

int offers_reserve(struct offers *offers, int lanes); /* room for that many more; -1, ENOMEM */
/* The lane has a new first task. */
void offers_make(struct offers *offers, struct lane *lane, int member);
void offers_withdraw(struct offers *offers, int place);
void offers_forget(struct offers *offers);       /* all of them; frees the heap */
struct lane *offers_best(struct offers *offers); /* the one with the oldest task, or NULL */

#endif
