/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of rank 1's loop share. */
#ifndef IPP_BALANCER_PRIVATE_H
#define IPP_BALANCER_PRIVATE_H

#include <uthash.h>

#include "sched/balancer.h"
#include "sched/sched.h"

/* A client's request, or a C task. */
struct task {
    UT_hash_handle hh;
    uint64_t number;
    int op;
    bool repeatable;                  /* keep the frames: it may have to be sent again */
    bool batched;                     /* a C task */
    ipp_frames_t frames;              /* of a request; of a C task the one batch that it came in */
    const struct link_record *record; /* in that batch */
};

/* An answer goes to who has asked and word of it here, each its own way: when the engine dies, the
 * answers of the last tasks it finished may never have arrived. So many are remembered for each
 * engine: single ones, and batches. */
#define FINISHED_KEPT 64
#define BATCHES_KEPT 8

struct finished {
    uint64_t numbers[FINISHED_KEPT]; /* a ring; 0: none */
    unsigned next;
    ipp_frame_t *batches[BATCHES_KEPT]; /* LINK_ENDED's, a ring; NULL: none */
    unsigned next_batch;
};

/* What is on its way to an engine. */
struct outbox {
    link_batch_t run;     /* LINK_RUN */
    link_batch_t results; /* LINK_RESULTS: of what will never run */
    bool serving;         /* it has said so, and no LINK_QUIET came after that */
};

struct balancer {
    link_t *link;
    struct finished *finished; /* by engine */
    struct outbox *outboxes;   /* by engine */
    int engine_count;
    bool application; /* engines run tasks only while they serve */
    sched_t *sched;
    struct task *tasks; /* by number */
    int failed;         /* C tasks that nobody waits for, since the last LINK_QUIET */
    bool adapts;        /* how many tasks an engine may hold follows from how long they take */
    int prefetch;       /* that many now */
    double mean_ns;     /* of the tasks that ended last */
    bool leave, finalize, stop_sent, stopping;
    int64_t stop_ms; /* when the bridge said stop */
};

/* ---- balancer.c ---- */
struct task *task_find(struct balancer *b, uint64_t number);
void task_add(struct balancer *b, struct task *task);
void task_forget(struct balancer *b, struct task *task);

/* ---- batches.c: C tasks ---- */
void batches_submit(struct balancer *b, struct link_message *msg);
void batches_assign(struct balancer *b, struct task *task, int engine, int retries);
void batches_drop(struct balancer *b, struct task *task, enum sched_drop why);
void batches_ended(struct balancer *b, struct link_message *msg);
void batches_serving(struct balancer *b, int engine);
/* What an engine that died had finished last: its answers may not have arrived. */
void batches_lost(struct balancer *b, int engine);
/* Has engines hold as many tasks as suits their length. */
void batches_adapt(struct balancer *b);
/* Sends what was gathered, and LINK_QUIET when it is time. */
void batches_flush(struct balancer *b);

#endif
