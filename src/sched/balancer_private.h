/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of rank 1's loop share. */
#ifndef IPP_BALANCER_PRIVATE_H
#define IPP_BALANCER_PRIVATE_H

#include "sched/balancer.h"
#include "sched/sched.h"

/* Numbers of C tasks have the rank that submitted them in their upper bits; those of the bridge's
 * requests have none. */

static inline bool is_batched(uint64_t number)
{
    return number >> LINK_TASK_RANK_SHIFT != 0;
}

/* A client's request: the scheduler's item. */
struct request {
    int op;
    bool kept;           /* by the bridge, which sends it to the engine */
    int first;           /* engine that answers */
    ipp_frames_t frames; /* empty once it cannot have to be sent again */
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
    bool for_clients;     /* it serves as long as the job lasts */
};

struct balancer {
    link_t *link;
    struct finished *finished; /* by engine */
    struct outbox *outboxes;   /* by engine */
    int engine_count;
    bool application; /* engines run tasks only while they serve */
    sched_t *sched;
    int failed;     /* C tasks that nobody waits for, since the last LINK_QUIET */
    bool adapts;    /* how many tasks an engine may hold follows from how long they take */
    int prefetch;   /* that many now */
    double mean_ns; /* of the tasks that ended last */
    struct busy_poll busy;
    bool leave, finalize, stop_sent, stopping;
    int64_t stop_ms; /* when the bridge said stop */
};

/* ---- wants.c ---- */
/* Reads what a task asks for into *spec, which then refers to these bytes; the bytes that it took,
 * or 0: they are no such thing. */
size_t wants_read(const void *bytes, size_t size, struct sched_task *spec);

/* ---- batches.c: C tasks ---- */
void batches_submit(struct balancer *b, struct link_message *msg);
void batches_assign(struct balancer *b, const struct sched_live *task, const int *engines,
                    int count);
void batches_drop(struct balancer *b, const struct sched_live *task, enum sched_drop why);
void batches_forget(void *item);
/* A LINK_ABORT for asked->engine, behind all that is on its way there. */
void batches_abort(struct balancer *b, const struct link_envelope *asked);
void batches_ended(struct balancer *b, struct link_message *msg);
void batches_serving(struct balancer *b, int engine, bool for_clients);
/* What an engine that died had finished last: its answers may not have arrived. */
void batches_lost(struct balancer *b, int engine);
/* Has engines hold as many tasks as suits their length. */
void batches_adapt(struct balancer *b);
/* Sends what was gathered, and LINK_QUIET when it is time. */
void batches_flush(struct balancer *b);

#endif
