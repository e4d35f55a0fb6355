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

enum sched_drop {
    SCHED_DROP_ABORTED,     /* by sched_abort, while queued */
    SCHED_DROP_TIMED_OUT,   /* still queued at its deadline */
    SCHED_DROP_UNREACHABLE, /* none of its targets is alive any more */
    SCHED_DROP_ENGINE_LOST, /* its engine was lost and no retry is left */
};

struct sched_callbacks {
    /* Send task to engine now. `retries`: how many more times it may fail. */
    void (*assign)(void *arg, uint64_t task, int engine, int retries);
    /* The task has ended here without a result: exactly one drop or one finished sched_done ends
     * each task. `engine`: the engine that was lost, else -1. */
    void (*drop)(void *arg, uint64_t task, enum sched_drop why, int engine);
};

/* A policy chooses among engines; const, stateless: what it needs is in the engine's record
 * (sched_policy.h). */
struct sched_policy;
/* Fewest tasks in flight; the one idle longest among equals. */
extern const struct sched_policy sched_leastload;
/* The policy of that name, NULL with errno ENOENT; *names (may be NULL) lists the known ones,
 * "leastload, ...". */
const struct sched_policy *sched_policy_find(const char *name, const char **names);

struct sched_options {
    const struct sched_policy *policy; /* NULL: leastload */
    int prefetch;    /* tasks an engine may hold at once, the running one included; 0: no limit */
    size_t capacity; /* queued tasks at which new ones are refused; 0: no limit */
};

struct sched_task {
    uint64_t id;         /* the caller's; unique among live tasks */
    const int *targets;  /* engines that may run it; copied */
    size_t target_count; /* 0: any engine */
    int retries;         /* times it may fail or lose its engine and be run again; >= 0 */
    int64_t timeout_ms;  /* how long it may wait in the queue; 0: for ever */
};

/* NULL with errno EINVAL (negative prefetch) or ENOMEM. Callbacks are copied. */
sched_t *sched_create(const struct sched_options *options, const struct sched_callbacks *callbacks,
                      void *arg);
/* Tasks still alive are forgotten without a callback; NULL is fine; keeps errno. */
void sched_destroy(sched_t *sched);

/* Engines are small non-negative integers; one that has left may join again. It gets what waits for
 * it at once. -1: EEXIST it has joined, EINVAL it is negative, ENOMEM. */
int sched_engine_join(sched_t *sched, int engine);
/* The engine's tasks are put back at the head of the queue in their order, each for one retry;
 * those without are dropped (ENGINE_LOST). Then those that wait and have no target left are dropped
 * (UNREACHABLE). Tasks for any engine wait on, even for none: another may join. Where none can, the
 * caller has to abort them. -1: ENOENT it has not joined. */
int sched_engine_leave(sched_t *sched, int engine);

/* A paused engine keeps what it holds and gets no more; it counts as one that tasks may wait for.
 * -1: ENOENT it has not joined. */
int sched_engine_pause(sched_t *sched, int engine, bool pause);
/* As in sched_options, from now on; engines that hold more keep it. -1, and nothing has changed:
 * EINVAL, ENOMEM. */
int sched_set_prefetch(sched_t *sched, int prefetch);

/* Takes a task in and assigns it at once when an engine is free. -1, and nothing has changed and no
 * callback ran: EEXIST its id is alive; EINVAL negative retries or timeout; EHOSTUNREACH it has
 * targets and none is alive; ENOBUFS it would have to wait and the queue is full; ENOMEM. A task
 * for any engine may wait for the first one to join. `now_ms`: of any clock that never goes back.
 */
int sched_submit(sched_t *sched, const struct sched_task *task, int64_t now_ms);

/* `engine` reports the end of `task`. Not ok with retries left: it is put back at the head of the
 * queue (even a full one) and waits for an engine where it has not failed yet; when it has failed
 * on all that are alive, for any of them again. The answer is SCHED_RETRY; else SCHED_FINISHED. -1:
 * ENOENT it does not run there. */
enum sched_done { SCHED_FINISHED = 0, SCHED_RETRY = 1 };
int sched_done(sched_t *sched, uint64_t task, int engine, bool ok);

/* A task that runs waits for others: from now on its engine holds one less, and gets one more; or
 * not any more. -1, and nothing has changed: ENOENT it does not run, ENOMEM. */
int sched_task_blocked(sched_t *sched, uint64_t task, bool blocked);

/* Queued: dropped (SCHED_DROP_ABORTED), returns -1 with errno 0. Assigned: nothing changes, returns
 * the engine that has it. Unknown: -1 with errno ENOENT. */
int sched_abort(sched_t *sched, uint64_t task);

/* Drops what has waited too long; returns the next deadline in ms on the same clock, or -1 when
 * there is none. A task that is put back keeps its deadline. */
int64_t sched_tick(sched_t *sched, int64_t now_ms);

/* ---- reading ---- */
size_t sched_queued(const sched_t *sched);               /* tasks that wait for an engine */
int sched_engine_load(const sched_t *sched, int engine); /* tasks it holds; -1 with ENOENT */
/* Calls fn for each live task: engine is -1 while it waits. Those that wait come first, in order of
 * submission among those with the same targets. */
void sched_each(const sched_t *sched, void (*fn)(void *arg, uint64_t task, int engine), void *arg);

#endif
