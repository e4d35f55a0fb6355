/* SPDX-License-Identifier: BSD-3-Clause
 * The door of link: rank to rank. Framed messages of any size over a private communicator, in
 * order, one to one or one to many; bells instead of polling; and word of ranks that died.
 *
 * One thread drives a link (link_progress, link_wait); any thread may send. Messages from one rank
 * to another arrive in the order in which they were sent within a lane, whether sent alone or to
 * many. */
#ifndef IPP_LINK_H
#define IPP_LINK_H

#include "base/base.h"

typedef struct link link_t;

/* Each lane keeps its own order, so that what must be quick never waits behind bulk. */
enum link_lane { LINK_CONTROL, LINK_DATA, LINK_LANES };

/* What ranks say to each other. A request's frames are [header parent metadata content buffers...].
 */
enum link_kind {
    LINK_HELLO = 1, /* engine to bridge: ready. Frame: JSON, what it is and where it runs */
    LINK_READY,     /* bridge to engines: all have said HELLO */
    LINK_REQUEST, /* to an engine: frames of the request. Data lane: run it; control lane: see to it
                     at once */
    LINK_TASK, /* bridge to balancer: a request for anyone; frame 0 is struct link_task, the request
                  follows */
    LINK_HANDOVER, /* balancer to bridge: task `request`, whose frames the bridge keeps, goes to
                      the engines of frame 0 (int32_t); value: retries left */
    LINK_REPLY, /* engine to bridge: the final answer of one engine; value: enum link_status; frames
                   as a request */
    LINK_PUBLISH, /* engine to bridge: iopub; frame 0 is the topic, then as a request */
    LINK_DONE,    /* engine to balancer: a task ended here; value: enum link_status */
    LINK_DROPPED, /* balancer to bridge: a task that will never run; value: why (enum sched_drop);
                     frame 0, if any: the number of the task that it depends on, or a text */
    LINK_ABORT,   /* bridge to engine or balancer, balancer to engine, or to the bridge for it: take
                     this request off the queue; request 0: all of the queue; value: LINK_TAKEN_BACK
                     or 0 */
    LINK_PLACES,  /* bridge to balancer: frame 0: struct sched_place of each engine */
    LINK_EXPLAIN, /* bridge to balancer: frame 0: the number of a task; back with struct sched_why,
                     or none */
    LINK_QUEUES,  /* bridge to balancer, and back with frame 0: struct link_queued each */
    LINK_LOST,    /* bridge to all: rank `value` is dead */
    LINK_REBUILD, /* bridge to engines: build a communicator without the dead; value: how many */
    LINK_RETIRED, /* engine to bridge and balancer: takes no more work, as it was asked to, or,
                     value 1, because it is an application's rank that leaves */
    LINK_STOP, /* any to bridge: please end the job (frame 0, if any: why); bridge to all: it ends
                  now */
    LINK_STOPPED, /* any to bridge: ready to leave MPI */
    LINK_LEAVE,   /* bridge to all: leave MPI now, value 1 by MPI_Finalize, 0 without */
    LINK_CHUNK, /* bridge to engines: part of transfer `request`; frames: struct link_chunk, bytes.
                   Without frames: forget the transfer */
    LINK_PARTIAL, /* engine to engine: its part of what several do together, reduce request or task
                     `request`; value: enum link_status, of a C task what its function returned,
                     or LINK_PART_LOST; frames: content, buffers */
    /* C tasks, in batches: frame 0 holds struct link_record each, with bytes behind it */
    LINK_SUBMIT,  /* engine to balancer: payloads */
    LINK_RUN,     /* balancer to engine: payloads */
    LINK_RESULTS, /* engine or balancer to the engine that submitted them: results */
    LINK_ENDED,   /* engine to balancer: no bytes */
    LINK_SERVING, /* engine to balancer: runs tasks from now on, until LINK_QUIET; value 1: as long
                     as the job lasts */
    LINK_BLOCKED, /* engine to balancer: task `request` waits for others, which it may run
                     meanwhile; value 0: not any more */
    LINK_QUIET    /* balancer to engines: all of them serve, and no task is left; value: how many
                     that nobody waits for have failed */
};

enum link_status {
    LINK_OK,
    LINK_ERROR,
    LINK_ABORTED,
    LINK_UNMET /* LINK_DONE: a condition of the task's does not hold here; frames: the request */
};

/* LINK_PARTIAL: of the engines that it is from one has died. */
#define LINK_PART_LOST INT32_MIN

/* LINK_ABORT: the balancer answers for it, or has it run elsewhere. */
#define LINK_TAKEN_BACK 1

enum link_flags {
    LINK_FROM_BALANCER = 1, /* LINK_REQUEST: tell the balancer how it ended */
    LINK_BROADCAST =
        2, /* LINK_REQUEST: one of many copies: the engine gives it a msg_id of its own */
    LINK_COALESCING =
        4, /* LINK_REQUEST, with LINK_BROADCAST: answers are put together, msg_id stays */
    LINK_TRANSFER = 8,   /* LINK_REQUEST: frame 0 is struct link_transfer, the request follows */
    LINK_INTERRUPT = 16, /* LINK_ABORT: if it runs already it is interrupted */
    LINK_KEPT = 32,      /* LINK_TASK: frame 0 comes alone, the request stays with the bridge;
                            LINK_REQUEST: it stays there too */
    LINK_WIDE = 64,      /* LINK_REQUEST: several engines run it together; frame 0 has their ids
                            (int32_t), ascending, the request follows */
};

/* After LINK_STOP a rank waits so long for LINK_LEAVE, then goes without: the bridge may have died
 * meanwhile. */
#define LEAVE_PATIENCE_MS 10000

/* Kinds of dependencies: bits. */
#define LINK_NEEDS_ALL 1     /* each of them; else one of them */
#define LINK_NEEDS_SUCCESS 2 /* those that end well count */
#define LINK_NEEDS_FAILURE 4 /* those that do not */

/* What a task asks for. Behind it: the numbers of the tasks after which it runs, then those that it
 * follows (uint64_t each); its targets, then the engines where it had better run (int32_t each);
 * zeros up to a multiple of 8 bytes. */
struct link_task {
    uint64_t client;    /* tasks of one have the same number */
    int64_t timeout_ms; /* 0: none */
    int32_t retries, priority, width;
    int32_t policy; /* sched_policy_at; -1: the balancer's */
    uint32_t after_count, follow_count, target_count, preferred_count;
    uint32_t after_kind, follow_kind; /* LINK_NEEDS_... */
};

/* Bytes of the whole. */
static inline size_t link_task_size(const struct link_task *task)
{
    size_t numbers = (size_t)task->after_count + task->follow_count;
    size_t engines = (size_t)task->target_count + task->preferred_count;
    return sizeof *task + numbers * sizeof(uint64_t) + (engines + engines % 2) * sizeof(int32_t);
}

/* The bytes at `offset` of a transfer of `total`. */
struct link_chunk {
    uint64_t total, offset;
};

/* A transfer's bytes are `count` further buffers of the request. */
struct link_transfer {
    uint64_t number, count;
    uint64_t sizes[];
};

struct link_queued {
    uint64_t request;
    int32_t engine; /* -1: waits */
    int32_t reserved;
};

/* One task of a batch. The bytes behind it are padded to LINK_RECORD_ALIGN. */
struct link_record {
    uint64_t task;    /* unique in the job: the rank that submitted it in the upper 16 bits, then
                         LINK_TASK_DETACHED, then a count */
    uint32_t size;    /* bytes behind it, without the padding */
    uint16_t type;    /* as registered */
    uint16_t status;  /* LINK_RESULTS, LINK_ENDED: enum ipp_task_status; LINK_SUBMIT: 1: the bytes
                         begin with struct link_task; LINK_RUN: engines that run it together: the
                         bytes begin with their ids (see link_engines_size) where it is more than
                         one */
    int32_t value;    /* LINK_RESULTS: what its function returned */
    int32_t engine;   /* LINK_SUBMIT: the only one that may run it, -1: any */
    int32_t retries;  /* LINK_SUBMIT, LINK_RUN: left */
    uint32_t time_ns; /* LINK_ENDED: how long it ran, at most 4.2 s */
};

/* Bytes of so many engines' ids (int32_t) before a payload, which stays aligned. */
static inline size_t link_engines_size(size_t count)
{
    return (count + 3) / 4 * 4 * sizeof(int32_t);
}

#define LINK_TASK_RANK_SHIFT 48
#define LINK_TASK_DETACHED ((uint64_t)1 << 47) /* nobody waits for it */

struct link_envelope {
    uint16_t kind;
    uint16_t flags;   /* by kind */
    int32_t engine;   /* an engine's id, or -1 */
    uint64_t request; /* the bridge's number for a request, or 0 */
    int32_t value;    /* by kind: retries left, status, reason, rank */
    int32_t op;       /* of a request: enum wire_op */
};

struct link_message {
    int from; /* rank that sent it */
    enum link_lane lane;
    struct link_envelope envelope;
    ipp_frames_t frames; /* owned by the message; the handler may move them out */
};

struct link_handlers {
    /* Called from link_progress without any lock held; what the handler leaves in msg is freed
     * afterwards. */
    void (*deliver)(void *arg, struct link_message *msg);
    /* Rank 0 learns of every death, others of rank 0's. Not called once link_leaving was. */
    void (*lost)(void *arg, int rank);
};

/* ---- batch.c: many tasks in one message ---- */

#define LINK_RECORD_ALIGN 16
/* A batch that is put together is worth sending from this size on. */
#define LINK_BATCH_BYTES ((size_t)12 << 10)

/* Start it as {0}. */
typedef struct link_batch {
    char *bytes;
    size_t used, capacity, count;
} link_batch_t;

/* Appends a copy of `record` and of record->size bytes. -1: ENOMEM, and nothing has changed. */
int link_batch_add(link_batch_t *batch, const struct link_record *record, const void *bytes);
/* Empties the batch into a frame of one reference; NULL: ENOMEM, and the batch is as it was. */
ipp_frame_t *link_batch_take(link_batch_t *batch);
void link_batch_clear(link_batch_t *batch);
/* The record at *at of a batch's frame, moving *at behind it; NULL at the end, or where the rest is
 * no record. */
struct link_record *link_batch_next(ipp_frame_t *frame, size_t *at);
static inline void *link_record_bytes(struct link_record *record)
{
    return record + 1;
}

/* Collective over the whole job, after MPI_Init_thread; needs MPI_THREAD_MULTIPLE when threads
 * share the process. NULL with a text: a socket that cannot be made, or ranks of different
 * versions. */
link_t *link_create(ipp_err_t *err);
/* Call before the first link_progress. */
void link_set_handlers(link_t *link, const struct link_handlers *handlers, void *arg);
/* Frees what is local; call link_drain first where nobody died. NULL is fine. */
void link_destroy(link_t *link);

int link_rank(const link_t *link);
int link_size(const link_t *link);
/* True when both ranks run on one host, as far as bells and memory go. */
bool link_same_host(const link_t *link, int rank);

/* Sends `frames` (moved: empty afterwards, also on failure) to one rank. Never blocks. -1: ESRCH no
 * such rank, EHOSTDOWN it is dead, EMSGSIZE frames of up to 16 KiB make more than 2 GiB together.
 */
int link_send(link_t *link, int to, enum link_lane lane, const struct link_envelope *envelope,
              ipp_frames_t *frames);
/* The same to each of `ranks` (none twice, dead ones are left out) along a tree: the sender's cost
 * grows with the tree's degree, not with the count. A message that is lost with an inner rank is
 * sent again. */
int link_multicast(link_t *link, const int *ranks, size_t count, enum link_lane lane,
                   const struct link_envelope *envelope, ipp_frames_t *frames);

/* A LINK_REQUEST on the data lane to each of `engines`; where they are more than one they run it
 * together (LINK_WIDE). Moves `frames`. -1: as link_send, or ENOMEM. */
int link_send_request(link_t *link, const int32_t *engines, size_t count,
                      const struct link_envelope *envelope, ipp_frames_t *frames);

/* Moves messages along and delivers those that are complete. Returns true when anything happened.
 */
bool link_progress(link_t *link);
/* The descriptor to poll for input together with others, and how long at most (ms): call
 * link_timeout just before. */
int link_fd(const link_t *link);
int link_timeout(link_t *link);
/* Moves on what is here, or, when there is nothing, sleeps up to timeout_ms and does link_progress:
 * returns true when anything happened, false when time passed or link_fd became readable for
 * another reason. */
bool link_wait(link_t *link, int timeout_ms);
/* Makes link_wait and link_fd wake for input on `fd` too, until it is closed. -1 with errno. */
int link_watch(link_t *link, int fd);
/* Whether one of these was readable when link_progress or link_wait last asked. For who drives. */
bool link_watched_ready(const link_t *link);
/* Blocks while more than `limit` messages are on their way out; not for the thread that drives the
 * link. */
void link_wait_room(link_t *link, int limit);
/* Messages that have not left this rank completely. */
int link_unsent(link_t *link);
/* Wakes the thread that drives this rank's link; async-signal-safe. */
void link_wake(link_t *link);

/* From now on nothing is sent to `rank` or awaited from it; what it owed to others of a multicast
 * is sent again. */
void link_mark_lost(link_t *link, int rank);
bool link_is_lost(const link_t *link, int rank);
bool link_any_lost(const link_t *link);
/* Deaths are not reported any more: the job is ending. */
void link_leaving(link_t *link);
/* Progresses until everything sent has left, or timeout_ms passed (false). */
bool link_drain(link_t *link, int timeout_ms);

#endif
