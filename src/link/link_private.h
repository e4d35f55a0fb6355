/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of link share. All of it is touched under link->mutex only, but for what says
 * "driver". */
#ifndef IPP_LINK_PRIVATE_H
#define IPP_LINK_PRIVATE_H

#include <pthread.h>

#include "link/bell.h"
#include "link/lifeline.h"
#include "link/link.h"
#include "link/tree.h"

#define LINK_TAG_HEAD 1
#define LINK_TAG_BULK 2 /* + lane */
/* A message of no kind: link's own, to carry an acknowledgement. */
#define LINK_NOTHING 0
/* Frames up to this size travel inside the head of their message; larger ones follow in chunks. */
#define LINK_INLINE_BYTES 16384
#define LINK_CHUNK_BYTES (1u << 20)
/* Chunks of one message in flight to one rank: enough to keep the transport busy, few enough to
 * stay fair. */
#define LINK_WINDOW 8
/* MPI libraries copy what is no larger into memory that they share with a rank of the same host, at
 * once: 4096 less headers is Open MPI's btl_vader_eager_limit, the smallest of those in use. */
#define LINK_EAGER_BYTES 4000

/* One destination of a message and the number of the message in the order from origin to it. */
struct hop {
    int32_t rank;
    uint32_t sequence;
};

/* A message's contents, shared by everyone who sends or receives it. `available` counts the leading
 * bulk bytes that are here: all of them for an own message, a growing part while it is being
 * received and already passed on. */
struct body {
    int references;
    int origin;
    enum link_lane lane;
    struct link_envelope envelope;
    ipp_frames_t frames;
    size_t bulk_bytes, available;
    bool acknowledge; /* its origin keeps it until all have said that they have it */
    bool
        broken; /* its sender died half-way: it goes on with empty chunks, and nobody delivers it */
};

/* Where the next chunk of a body's bulk starts. */
struct cursor {
    size_t frame, offset, passed; /* `passed`: bulk bytes before it */
};

struct outgoing {
    struct outgoing *next;
    struct body *body;
    struct hop *hops; /* [0] is the destination, the others its subtree */
    size_t hop_count;
    bool head_sent, queued;
    struct cursor cursor;
    int in_flight;
    int to;
};

struct incoming {
    struct incoming *next_bulk;    /* of the sender: bulk is received in the order of heads */
    struct incoming *next_ordered; /* of the origin: delivery is in the order of sequence numbers */
    struct incoming *next_ready;
    struct body *body;
    int from;
    uint32_t sequence;
    bool duplicate, ordered, in_bulk_queue;
    struct cursor cursor; /* what has been asked for */
    struct cursor front;  /* what is here without a gap */
    size_t front_chunk;
    int in_flight;
    uint8_t *chunk_done; /* by chunk; NULL without bulk */
    size_t chunk_count, chunks_posted, chunks_complete;
    int forward_to[TREE_DEGREE_MAX]; /* ranks that get it from here */
    int forward_count;
};

struct retained { /* a multicast, until all have it */
    struct retained *next;
    struct body *body;
    struct hop *hops;          /* [0] is this rank itself */
    size_t hop_count, settled; /* hops before `settled` have it or are dead */
};

struct peer {
    struct bell_address address;
    bool same_host, lost, ring;
    uint32_t unrung;               /* heads sent to it that no bell has told of */
    uint32_t sent[LINK_LANES];     /* last sequence number given to it */
    uint32_t expected[LINK_LANES]; /* next sequence number awaited from it */
    uint32_t acked[LINK_LANES];    /* it has everything before this one */
    struct outgoing *out_head[LINK_LANES], *out_tail[LINK_LANES];
    struct incoming *bulk_head[LINK_LANES], *bulk_tail[LINK_LANES];
    struct incoming *ordered[LINK_LANES];
};

struct operation {
    struct outgoing *outgoing; /* a send, or */
    struct incoming *incoming; /* a receive of chunk `chunk` */
    void *packet;              /* a head being sent; freed at the end */
    size_t chunk, length;
    int peer;
    bool urgent; /* MPI may need this rank's help; else all but a word of completion is done */
};

struct link {
    MPI_Comm comm;
    int rank, size;
    int epoll_fd, bell_fds[2];
    int probes;         /* so many in vain prove that nothing is there */
    int misses;         /* driver: probes in vain since the last bell or message */
    int64_t announced;  /* driver: heads that bells told of and no probe has found yet */
    bool unsettled;     /* driver: probes were in vain while MPI had other things to tell first */
    int64_t tested_ms;  /* when MPI was last asked about the operations */
    int64_t looked_ms;  /* driver: when there was reason to probe */
    bool watched_ready; /* driver: a descriptor of link_watch was readable when last waited for */
    bool all_same_host, leaving, any_lost;
    struct link_handlers handlers;
    void *arg;
    pthread_mutex_t mutex;
    bell_t *bell;
    lifeline_t *lifeline;
    struct peer *peers;
    int *to_ring;
    int to_ring_count;

    MPI_Request *requests; /* active operations; requests[i] belongs to operations[i] */
    struct operation *operations;
    int *completed;
    MPI_Status *statuses;
    int operation_count, operation_capacity, urgent_count;
    int quiet_passes, yield_passes;
    bool stalled;     /* memory or MPI failed: queues wait to be pumped again */
    pthread_t driver; /* who called link_progress last */

    struct incoming *ready_head, *ready_tail;
    struct retained *retained_head, *retained_tail;
    int unsent;          /* outgoing messages alive */
    pthread_cond_t room; /* `unsent` became less */
};

/* body.c */
struct body *body_new(int origin, enum link_lane lane, const struct link_envelope *envelope,
                      ipp_frames_t *frames);
struct body *body_ref(struct body *body);
void body_unref(struct body *body);
/* Length of the chunk at the cursor, 0 at the end; *data points at it. body_advance steps over it.
 */
size_t body_chunk(const struct body *body, struct cursor *cursor, char **data);
void body_advance(struct cursor *cursor, size_t length);

/* packet.c: the head of a message as bytes */
struct packet_head {
    uint32_t magic;
    int32_t origin;
    uint32_t lane;
    uint32_t hop_count, frame_count;
    uint32_t acknowledge;          /* 1: once its bulk is here, at once */
    uint32_t expected[LINK_LANES]; /* what the sender awaits next from the receiver: an
                                      acknowledgement */
    struct link_envelope envelope;
};
/* Bytes of the head of a message to `hop_count` ranks. */
size_t packet_size(const struct body *body, size_t hop_count);
void *packet_pack(const struct link *link, const struct outgoing *outgoing, size_t *size);
/* Makes an incoming message of a packet; *hops (to free) and the count are its subtree, [0] is this
 * rank. NULL: ENOMEM or EPROTO. */
struct incoming *packet_unpack(const char *bytes, size_t size, struct packet_head *head,
                               struct hop **hops);

/* operations.c: what MPI is busy with for us */
int operations_send(link_t *link, const void *data, size_t size, int tag,
                    struct operation operation);
int operations_receive(link_t *link, void *data, size_t size, int tag, struct operation operation);
bool operations_test(link_t *link);
/* MPI may have kept a head back when its bell rang. */
void operations_ring_receivers(link_t *link);
void operations_abandon(link_t *link, int peer);

/* outgoing.c */
int outgoing_post(link_t *link, struct body *body, const struct hop *hops, size_t hop_count);
void outgoing_pump(link_t *link, int to, enum link_lane lane);
void outgoing_done(link_t *link, struct operation *operation);
void outgoing_drop_all(link_t *link, int to);

/* incoming.c */
bool incoming_probe(link_t *link); /* takes the lock itself */
/* `received`: how many bytes came. */
void incoming_done(link_t *link, struct operation *operation, size_t received);
/* The same when nothing will come any more. */
void incoming_abandoned(link_t *link, struct incoming *incoming);
void incoming_drop_all(link_t *link, int from);
void incoming_pump(link_t *link, int from, enum link_lane lane);
void incoming_free(struct incoming *incoming);

/* multicast.c */
void multicast_settle(link_t *link);
void multicast_resend_past(link_t *link, int lost);
/* Sends `body` to the children of hops[0], this rank; their ranks go to `children`. Returns how
 * many. */
int multicast_spread(link_t *link, struct body *body, const struct hop *hops, size_t hop_count,
                     int children[TREE_DEGREE_MAX]);
/* Numbers, keeps and sends a message to `ranks`. */
int multicast_start(link_t *link, struct body *body, const int *ranks, size_t count);
void multicast_forget_all(link_t *link);

void link_ring_later(link_t *link, int rank);
/* Never NULL: without memory for its own bookkeeping a rank cannot keep the order of messages, so
 * it ends in words. */
void *link_calloc(size_t count, size_t size);

#endif
