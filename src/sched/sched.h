/* SPDX-License-Identifier: BSD-3-Clause
 * The door of sched: which task runs on which engine. A pure library: no MPI, sockets, Python,
 * threads or clock; time is an argument, and decisions leave through two callbacks. A callback may
 * call the functions that only read, and no other (asserted). */
#ifndef IPP_SCHED_H
#define IPP_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sched sched_t;

/* ---- what the caller hears ---- */

/* A task that lives. */
struct sched_live {
    uint64_t id;
    void *item;  /* the caller's */
    int retries; /* how many more times it may fail */
};

enum sched_drop {
    SCHED_DROP_ABORTED,     /* by sched_abort, while queued */
    SCHED_DROP_TIMED_OUT,   /* still queued at its deadline */
    SCHED_DROP_UNREACHABLE, /* too few of its targets are alive */
    SCHED_DROP_ENGINE_LOST, /* its engine was lost and no retry is left */
    SCHED_DROP_IMPOSSIBLE,  /* a task that it depends on has ended otherwise, or elsewhere */
    SCHED_DROP_UNKNOWN,     /* it depends on a task that nobody knows, or not any more */
    SCHED_DROP_CIRCULAR,    /* it depends on itself */
};

struct sched_end {
    enum sched_drop why;
    int engine;     /* the one that was lost, else -1 */
    uint64_t other; /* the task that it depends on: IMPOSSIBLE (0: all engines have declined it),
                       UNKNOWN, CIRCULAR; else 0 */
};

struct sched_callbacks {
    /* Send the task to these engines now: to one, or to as many at once as its width says. */
    void (*assign)(void *arg, const struct sched_live *task, const int *engines, int count);
    /* The task has ended here without a result: exactly one drop or one finished sched_done ends
     * each task. `task` is gone afterwards. */
    void (*drop)(void *arg, const struct sched_live *task, const struct sched_end *end);
};

/* ---- policies ---- */

struct engine;
struct sched_choice;

/* A policy chooses among engines; const, stateless: what it needs is in the engines' records
 * (sched_policy.h). */
struct sched_policy {
    const char *name;
    const char *doc; /* one line for --help */
    struct engine *(*pick)(const struct sched_choice *choice);
};

/* Fewest tasks in flight; the one idle longest among equals. */
extern const struct sched_policy sched_leastload;

/* The policy of that name, NULL with errno ENOENT. */
const struct sched_policy *sched_policy_find(const char *name);
/* The i of sched_policy_at that gives it; -1: ENOENT. */
int sched_policy_index(const char *name);
/* The i-th policy, NULL behind the last. */
const struct sched_policy *sched_policy_at(size_t i);

/* ---- life ---- */

struct sched_options {
    const struct sched_policy *policy; /* of tasks that name none; NULL: leastload */
    int prefetch;    /* tasks an engine may hold at once, the running one included; 0: no limit */
    size_t capacity; /* queued tasks at which new ones are refused; 0: no limit */
    size_t remember; /* ended tasks that others may still depend on, about; 0: none */
};

/* NULL with errno EINVAL (negative prefetch) or ENOMEM. Callbacks are copied. */
sched_t *sched_create(const struct sched_options *options, const struct sched_callbacks *callbacks,
                      void *arg);
/* Tasks still alive are forgotten without a callback; NULL is fine; keeps errno. */
void sched_destroy(sched_t *sched);

/* ---- engines ---- */

/* Where an engine runs: equal numbers are the same thing, -1 is not known. */
struct sched_place {
    int host, package, numa, core;
};

/* Engines are small non-negative integers; one that has left may join again. It gets what waits for
 * it at once. `place`: NULL: nothing is known. -1: EEXIST it has joined, EINVAL it is negative,
 * ENOMEM. */
int sched_engine_join(sched_t *sched, int engine, const struct sched_place *place);
/* The engine's tasks are put back at the head of the queue in their order, each for one retry;
 * those without are dropped (ENGINE_LOST), those on several engines as soon as one is lost. Then
 * those that wait and have too few targets left are dropped (UNREACHABLE). Tasks for any one engine
 * wait on, even for none: another may join. Where none can, the caller has to abort them. -1:
 * ENOENT it has not joined. */
int sched_engine_leave(sched_t *sched, int engine);

/* Where it runs, when that becomes known later; nothing for one that has not joined. */
void sched_engine_place(sched_t *sched, int engine, const struct sched_place *place);

/* A paused engine keeps what it holds and gets no more; it counts as one that tasks may wait for.
 * -1: ENOENT it has not joined. */
int sched_engine_pause(sched_t *sched, int engine, bool pause);
/* As in sched_options, from now on; engines that hold more keep it. -1, and nothing has changed:
 * EINVAL, ENOMEM. */
int sched_set_prefetch(sched_t *sched, int prefetch);

/* ---- tasks ---- */

/* Tasks that must have ended first. One that was dropped, or is out of retries, counts as a
 * failure. */
struct sched_dependency {
    const uint64_t *tasks; /* copied */
    size_t count;          /* 0: no dependency */
    bool all;              /* each of them must have ended so; else one of them */
    bool success, failure; /* the ends that count */
};

#define SCHED_PRIORITY_MOST 1000

struct sched_task {
    uint64_t id;          /* the caller's; unique among live tasks */
    void *item;           /* handed back in callbacks */
    uint64_t client;      /* clients whose tasks have the same priority share the engines evenly */
    int priority;         /* the greater goes first; within +-SCHED_PRIORITY_MOST */
    const int *targets;   /* engines that may run it; copied */
    size_t target_count;  /* 0: any engine */
    const int *preferred; /* engines where it had better run; copied */
    size_t preferred_count;
    int width;                         /* engines that it needs at once; 0 and 1: one */
    const struct sched_policy *policy; /* NULL: the scheduler's */
    struct sched_dependency after;     /* runs after these */
    struct sched_dependency follow;    /* and these: on an engine where one of them ran so */
    int retries;        /* times it may fail or lose its engine and be run again; >= 0 */
    int64_t timeout_ms; /* how long it may wait in the queue; 0: for ever */
};

/* Takes a task in and assigns it at once when it depends on nothing and an engine is free; a
 * dependency that can not come true drops it at once. -1, and nothing has changed and no callback
 * ran: EEXIST its id is alive; EINVAL negative retries, timeout or width, or no such priority;
 * EHOSTUNREACH it has targets and none is alive; ERANGE it is wider than its targets, or than all
 * engines, that are alive; ENOBUFS it would have to wait and the queue is full; ENOMEM. A task for
 * any one engine may wait for the first one to join. `now_ms`: of any clock that never goes back.
 *
 * Which of the tasks that wait an engine gets: one of the highest priority; of the client that has
 * the fewest engines (of these the one whose turn is longest ago); of these the oldest, but one
 * among the first 16 that has targets in common with it and prefers this engine goes before. A wide
 * task whose turn it is gathers engines as they get idle, and one at a time does so. */
int sched_submit(sched_t *sched, const struct sched_task *task, int64_t now_ms);

/* How a task ended on an engine. Of a wide one the greatest that an engine reports counts. */
enum sched_outcome {
    SCHED_SUCCEEDED,
    SCHED_FAILED,
    SCHED_STOPPED, /* it is not wanted any more: not well, and not run again */
};

/* `engine` reports the end of `task`. Failed with retries left: it is put back at the head of the
 * queue (even a full one) and waits for an engine where it has not failed yet; when it has failed
 * on all that are alive, for any of them again. The answer is SCHED_RETRY; else SCHED_FINISHED, and
 * *item (may be NULL) is the caller's again. SCHED_PARTIAL: other engines of a wide task have not
 * reported, or it has ended without this one, or it was dropped: when it was stopped (ABORTED), or
 * has failed with retries left and not enough engines (UNREACHABLE), where its first engine counts
 * on its being run again. -1: ENOENT it does not run there. */
enum sched_done { SCHED_FINISHED = 0, SCHED_RETRY = 1, SCHED_PARTIAL = 2 };
int sched_done(sched_t *sched, uint64_t task, int engine, enum sched_outcome outcome, void **item);

/* `engine` does not run the task, for a condition of the task's own does not hold there: as
 * sched_done with a failure, but it costs no retry, and where no other engine is left it is dropped
 * (IMPOSSIBLE, other 0). -1: ENOENT it does not run there, or is a wide one. */
int sched_declined(sched_t *sched, uint64_t task, int engine);

/* A task that runs on `engine` waits for others: from now on its engine holds one less, and gets
 * one more; or not any more. -1, and nothing has changed: ENOENT it does not run there, ENOMEM. */
int sched_task_blocked(sched_t *sched, uint64_t task, int engine, bool blocked);

/* Queued: dropped (SCHED_DROP_ABORTED), returns -1 with errno 0. Assigned: nothing changes, returns
 * the (first) engine that has it. Unknown: -1 with errno ENOENT. */
int sched_abort(sched_t *sched, uint64_t task);

/* Drops what has waited too long; returns the next deadline in ms on the same clock, or -1 when
 * there is none. A task that is put back keeps its deadline. */
int64_t sched_tick(sched_t *sched, int64_t now_ms);

/* ---- reading ---- */

void *sched_item(const sched_t *sched, uint64_t task);   /* NULL with errno ENOENT */
size_t sched_live(const sched_t *sched);                 /* tasks, queued or assigned */
size_t sched_queued(const sched_t *sched);               /* tasks that wait for an engine */
int sched_engine_load(const sched_t *sched, int engine); /* tasks it holds; -1 with ENOENT */
/* The engines of a task that is assigned: writes at most `size`, returns their number; 0 while it
 * is queued, -1 with ENOENT. */
int sched_task_engines(const sched_t *sched, uint64_t task, int *engines, int size);
/* Calls fn for each live task: engine is -1 while it waits, and the first of a wide task's. Those
 * that wait come first, in order of submission among those that are alike. */
void sched_each(const sched_t *sched,
                void (*fn)(void *arg, const struct sched_live *task, int engine), void *arg);

enum sched_state {
    SCHED_HELD,      /* by a dependency */
    SCHED_WAITING,   /* for an engine */
    SCHED_GATHERING, /* has some of its engines and waits for others */
    SCHED_ASSIGNED,
};

/* Why a task is where it is. */
struct sched_why {
    enum sched_state state;
    int priority, width;
    uint64_t client;
    int64_t deadline_ms; /* on the clock of sched_submit; INT64_MAX: none */
    /* HELD */
    uint64_t other;   /* the first task that it waits for; WAITING: the one that gathers, 0: none */
    size_t others;    /* how many it waits for */
    bool follow, all; /* which dependency that is, and of what kind */
    /* WAITING */
    size_t older;  /* tasks like it that were there before */
    size_t urgent; /* tasks of higher priority that wait */
    size_t equal;  /* of the same priority, of whatever client, this one included */
    int targets;   /* engines named; 0: any */
    int alive;     /* engines that could run it */
    int full;      /* of these: hold as much as they may */
    int kept;      /* of these: for the task that gathers */
    int paused;    /* of these */
    int failed;    /* engines where it has failed and is not tried again yet */
    /* GATHERING */
    int gathered; /* engines that are idle for it */
    /* ASSIGNED */
    int engine; /* the first */
    int ahead;  /* tasks that engine got before and still holds */
};

/* -1 with errno ENOENT. */
int sched_explain(const sched_t *sched, uint64_t task, struct sched_why *why);

#endif
