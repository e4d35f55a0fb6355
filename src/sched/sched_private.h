/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: the scheduler, and the steps that its files share. What holds between calls: no
 * task waits while an engine that may run it is free (but for wide ones, while another gathers), so
 * only an event's own tasks and engines need to be looked at. A callback is the last thing each
 * step does, when all records agree. */
#ifndef IPP_SCHED_PRIVATE_H
#define IPP_SCHED_PRIVATE_H

#include "sched/sched_flow.h"

/* How a task ended that others may still depend on. */
struct ended {
    uint64_t id;
    int engine; /* where, -1: on none */
    bool ok;
    bool used; /* false: empty */
};

/* A cache: those of 4 ids in a row are in one set, the latest first, so that of ids that go up by
 * one all of the last are there. */
struct memory {
    struct ended *at; /* 4 << bits; NULL: none */
    unsigned bits;
};

/* The wide task that waits for its engines, at most one at a time: two could wait for each other.
 * Its members take nothing more, and it starts when all are idle; an engine that is idle already
 * takes the place of one that is not. */
struct gang {
    struct task *task; /* NULL: none */
    struct engine **members;
    struct engine **beside; /* of another task, which can start at once */
    int *ids;               /* of those that start, for the callback */
    int count, size;
    uint64_t changes; /* of the members */
};

struct sched {
    struct sched_callbacks callbacks;
    void *arg;
    const struct sched_policy *policy;
    size_t capacity;
    uint64_t random;
    bool calling; /* a callback runs */
    bool review;  /* engines may be free for tasks that wait: step_settle looks at all */

    struct pool records, mores; /* struct task, struct task_more */
    struct hash_table tasks;    /* all that live, by id */
    struct fleet fleet;
    struct flows flows;
    struct gang gang;
    struct deadlines deadlines;
    struct memory memory;
    struct task_list held;    /* TASK_HELD, in order of submission */
    struct task_list settled; /* TASK_SETTLED, likewise */
    struct task_list wide;    /* TASK_WIDE */
    size_t queued;
    uint64_t submitted; /* tasks so far: the last one's order */
};

/* ---- sched.c ---- */

struct task *task_find(const sched_t *sched, uint64_t id);
/* Into its lane; takes it out of what it waits in, so that it can be assigned or ended. */
void step_enqueue(sched_t *sched, struct task *task);
void step_dequeue(sched_t *sched, struct task *task);
struct task_more *step_more(sched_t *sched,
                            struct task *task); /* one that has none; NULL: ENOMEM */
void step_stop_timer(sched_t *sched, struct task *task);
/* Ends a task that is in no list: who depends on it hears of it. Frees it. */
void step_end(sched_t *sched, struct task *task, bool ok, int engine);
void step_drop(sched_t *sched, struct task *task, const struct sched_end *end); /* the same */
void step_drop_queued(sched_t *sched, struct task *task, enum sched_drop why);
void step_call_assign(sched_t *sched, struct task *task, const int *engines, int count);
/* Gives an engine what it should get; false when it takes nothing or there is nothing. */
bool step_serve(sched_t *sched, struct engine *engine);
/* Gives a task that has been put into its lane to free engines, in its turn. */
void step_place(sched_t *sched, struct task *task);
void step_serve_all(sched_t *sched);
/* The last step of each event: what has become free of its dependencies, and what could run. */
void step_settle(sched_t *sched);

/* ---- needs.c: dependencies ---- */

int memory_init(struct memory *memory, size_t count); /* -1 with errno ENOMEM */

/* Reads the dependencies of a new task. -1: EINVAL, ENOMEM. */
int needs_read(sched_t *sched, struct task *task, const struct sched_task *spec);
void needs_add(sched_t *sched, struct task *task); /* held, or settled */
void needs_tell(sched_t *sched, struct task *ended, bool ok, int engine);
void needs_settle(sched_t *sched);                     /* whatever is settled */
void needs_give_up(sched_t *sched, struct task *held); /* it is unreachable: to be settled */
void needs_clear(struct task *task);
void need_free(struct task_more *more, struct need *need); /* its edges, which are in no list */
void needs_remember(sched_t *sched, uint64_t task, bool ok, int engine);
/* The one that the task waits for; NULL when it waits for none. */
const struct need *need_unmet(const struct task *task);

/* ---- gang.c: wide tasks ---- */

/* Room for that many engines; -1, ENOMEM. */
int gang_reserve(struct gang *gang, int width);
int gang_allot(struct task *task); /* its parts, those that it has not; -1, ENOMEM */
void gang_begin(sched_t *sched, struct task *task); /* taken out of its lane */
/* Whether the task can start at once, on engines that the one that gathers can never want; and then
 * it does, taken out of its lane. */
bool gang_fits_beside(sched_t *sched, const struct task *task);
void gang_start_beside(sched_t *sched, struct task *task);
void gang_cancel(sched_t *sched); /* the task is in no list then */
/* True when a wide task has taken an engine that is idle, or has started on it. */
bool gang_wants(sched_t *sched, struct engine *engine);
/* The engine is not to be had any more, or is again. */
void gang_excuse(sched_t *sched, struct engine *engine);
void gang_refill(sched_t *sched);

struct part *gang_part(const struct engine *engine, uint64_t id); /* NULL: none */
/* Closes or opens the engine, as its parts are. */
void gang_review(sched_t *sched, struct engine *engine);
int gang_done(sched_t *sched, struct engine *engine, struct part *part, enum sched_outcome outcome,
              void **item);
/* Takes the wide tasks of an engine that leaves from all their engines and appends them to `lost`.
 */
void gang_lost(sched_t *sched, struct engine *engine, struct task_list *lost);

#endif
