/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of the bridge share. One thread; payloads are never looked into. */
#ifndef IPP_BRIDGE_PRIVATE_H
#define IPP_BRIDGE_PRIVATE_H

#include <uthash.h>

#include "link/link.h"
#include "sched/sched.h"
#include "steer/bridge/bridge.h"
#include "steer/bridge/session.h"
#include "steer/bridge/sockets.h"
#include "wire/wire.h"

#define BALANCER_RANK 1
#define ANY_ENGINE (-1)
/* A message of this size counts as bulk: see memory.c. */
#define BULK_BYTES ((size_t)1 << 20)

/* ---- engines ---- */

enum engine_state { ENGINE_ABSENT, ENGINE_ALIVE, ENGINE_RETIRED, ENGINE_LOST };

/* Ids of the last requests an engine has completed, for those who ask for them by name. */
#define COMPLETED_KEPT 1024

struct engine_entry {
    UT_hash_handle hh; /* by uuid */
    int id;
    enum engine_state state;
    char uuid[37];
    json_t *about; /* what its LINK_HELLO said */
    uint64_t completed;
    char *completed_ids[COMPLETED_KEPT]; /* a ring; [completed % COMPLETED_KEPT] is the oldest */
    int64_t farewell_ms; /* when clients are told that it is gone; 0: never or done */
};

/* Events for those who subscribe later: so many of each sort, for what comes often, or what any
 * stranger can bring about, must not push out the others. */
#define EVENTS_KEPT 100
enum event_sort { EVENTS_COMING_AND_GOING, EVENTS_REFUSED, EVENTS_OTHER, EVENT_SORTS };

struct event_ring {
    json_t *at[EVENTS_KEPT]; /* [count % EVENTS_KEPT] is the oldest */
    uint64_t order[EVENTS_KEPT];
    uint64_t count;
};

/* ---- requests under way ---- */

/* Where a request came from and its answer goes: a client's identity on a socket, or a session of
 * the steering socket and the number of the request in it. */
struct origin {
    enum wire_channel channel;
    ipp_frame_t *client;
    struct session *session; /* NULL: an ipyparallel client, or a session that has ended */
    uint64_t sequence;
};

/* One engine's share of a request. */
struct part {
    int engine; /* ANY_ENGINE: the balancer decides */
    bool answered;
    ipp_frames_t answer; /* coalescing: kept until all are there */
};

struct pending {
    UT_hash_handle hh;    /* by number */
    UT_hash_handle hh_id; /* by msg_id */
    uint64_t number;
    char *msg_id;
    struct origin from; /* owns its frame */
    const struct wire_op_info *op;
    ipp_frame_t *header, *metadata;
    ipp_frames_t kept; /* a large task's, until it has ended; else empty */
    size_t id_end;     /* of a broadcast that is answered one by one: see wire_copies_header */
    uint16_t flags;    /* enum link_flags */
    struct part *parts;
    size_t part_count, waiting;
};

/* A client's question, until the balancer has said what it knows. */
struct queue_query {
    struct queue_query *next;
    uint64_t number;
    enum link_kind kind;
    struct origin from; /* its frame is one of msg's */
    wire_msg_t msg;
};

enum bridge_phase { PHASE_STARTING, PHASE_SERVING, PHASE_STOPPING, PHASE_LEFT };

struct bridge {
    link_t *link;
    const ipp_options_t *options;
    enum bridge_phase phase;
    sockets_t *sockets;
    wire_signer_t *signer, *unsigned_signer;
    wire_headers_t *headers;     /* of what the bridge says itself */
    ipp_frame_t *nothing, *idle; /* {}, and the content of `status: idle` */
    char key[49];
    char *connection_path;
    wire_connection_t connection;
    bool connection_written;

    struct engine_entry *engines; /* by id */
    struct engine_entry *by_uuid;
    int engine_count, engines_arrived, engines_alive;
    bool balancer_lost, said_no_ipyparallel;
    int losses;         /* engines that died */
    int64_t rebuild_ms; /* when the others are told to do without them; 0: nothing to tell */

    struct pending *pending; /* by number */
    struct pending *by_msg_id;
    struct ended_task *ended; /* ended.c */
    uint64_t last_number;
    size_t awaited; /* parts of them that are not answered */
    struct busy_poll busy;
    struct queue_query *queries;
    struct newcomer *newcomers; /* gate.c */
    int newcomers_subscribed;   /* subscriptions since somebody was waited for */
    struct early *early;

    struct access access;
    struct session *sessions, *sessions_by_peer;
    struct event_ring events[EVENT_SORTS];
    uint64_t event_count;

    int64_t last_work_ms;                /* for --idle-timeout */
    int64_t last_bulk_ms;                /* when a large message came */
    int64_t memory_look_ms;              /* when unused memory is looked for next */
    size_t unused_at_first, unused_left; /* memory.c: at the start, and after giving back */
    int64_t empty_since_ms;              /* the last engine was shut down; 0: there are some */
    int64_t stop_deadline_ms;
    int stopped_count;
    bool *stopped; /* by rank */
    int exit_code;
    uint64_t dropped; /* messages from clients that were no messages */
    _Atomic int64_t dropped_logged_ms;
};

/* ---- memory.c ---- */
void memory_start(struct bridge *b);
/* Gives back what nobody has used for a while; returns ms until the next look. */
int memory_tick(struct bridge *b);

/* ---- requests.c ---- */
struct pending *pending_new(struct bridge *b, const wire_msg_t *msg, const struct origin *from,
                            const struct wire_op_info *op, const int *engines, size_t count);
struct pending *pending_find(struct bridge *b, uint64_t number);
struct pending *pending_find_id(struct bridge *b, const char *msg_id);
struct part *pending_part(struct pending *pending, int engine);
void pending_free(struct bridge *b, struct pending *pending);

/* ---- ended.c: tasks that have ended ---- */
void ended_add(struct bridge *b, const char *msg_id, uint64_t number);
uint64_t ended_find(struct bridge *b, const char *msg_id); /* its number, 0: not known */
void ended_forget_all(struct bridge *b);

/* ---- answers.c: what goes back to clients ---- */
/* A reply of the bridge's own, the last to its request; takes `content`. */
void answer_own(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                const char *msg_type, json_t *content);
/* Refuses a request as a whole: one answer, or of a broadcast one for each copy that is awaited. */
void answer_error(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                  const char *msg_type, const char *ename, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void answer_aborted(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                    const struct wire_op_info *op);
/* An engine's answer to its part; takes the frames. */
void answer_part(struct bridge *b, struct pending *pending, struct part *part,
                 enum link_status status, ipp_frames_t *answer);
/* Instead of the engine, which cannot any more. */
void answer_part_error(struct bridge *b, struct pending *pending, struct part *part,
                       const char *ename, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void answer_part_aborted(struct bridge *b, struct pending *pending, struct part *part);
/* Each part that is not answered yet; the request is gone afterwards. */
void answer_rest_error(struct bridge *b, struct pending *pending, const char *ename,
                       const char *text);

/* ---- publish.c: what nobody asked for ---- */
/* Makes [header parent metadata content] of the bridge's own; takes metadata and content. False,
 * with a line in the log, when there is no memory. */
bool compose(struct bridge *b, ipp_frames_t *frames, const char *msg_type, ipp_frame_t *parent,
             json_t *metadata, json_t *content);
/* Signs [header parent metadata content buffers...] for `first` (a client's identity or a topic)
 * and sends it on one of ipyparallel's sockets. */
void send_signed(struct bridge *b, enum wire_channel channel, ipp_frame_t *first,
                 ipp_frames_t *frames);
void publish(struct bridge *b, enum wire_channel channel, const char *topic, const char *msg_type,
             ipp_frame_t *parent, json_t *content);
/* On iopub: `engine` has no more to say about the request with header `parent`. */
void publish_idle(struct bridge *b, int engine, ipp_frame_t *parent);

/* ---- copies.c ---- */
/* The engines that a broadcast with this metadata is answered for one by one: their uuids, each
 * once, as keys of an object (a new reference). None: one answer, to the original msg_id, for the
 * broadcast is coalescing or names nobody. */
json_t *copies_awaited(const json_t *metadata);

/* Puts the parts of a coalescing broadcast together (coalesce.c): frames of the one reply, header
 * first. */
int coalesce(struct bridge *b, struct pending *pending, ipp_frames_t *out);

/* ---- gate.c: iopub for clients whose subscription is still on its way ---- */
void gate_expect(struct bridge *b, const char *session);
void gate_subscribed(struct bridge *b);
/* Sends [header parent ...] on iopub now, or when its client is ready; empties `frames`. */
void gate_publish(struct bridge *b, ipp_frame_t *topic, ipp_frames_t *frames);
/* Returns ms until it must be called again, -1 when nobody is waited for. */
int gate_tick(struct bridge *b);
void gate_open(struct bridge *b); /* waits for nobody any more */

/* ---- engines.c ---- */
int engines_create(struct bridge *b);
void engines_destroy(struct bridge *b);
struct engine_entry *engine_by_uuid(struct bridge *b, const void *uuid, size_t size);
void engine_arrived(struct bridge *b, int id, ipp_frame_t *about);
/* It takes no more requests; those it has are answered with an error. */
void engine_gone(struct bridge *b, int id, enum engine_state state);
/* What became of one that is gone: "died", "was shut down". */
const char *engine_fate(const struct engine_entry *engine);
/* What the living ones said of themselves, by id. */
json_t *engines_about(struct bridge *b);
void engine_completed(struct engine_entry *engine, const char *msg_id);
/* Tells clients of engines that are gone; returns ms until the next is due, -1 for none. */
int engines_tick(struct bridge *b);

/* ---- early.c: aborts that came before their requests ---- */
/* Keeps the `kept` youngest; two for each abort. NULL: ENOMEM. */
struct early *early_create(size_t kept);
void early_destroy(struct early *early); /* NULL is fine */
/* `msg_id` shall not run on `engine`; nothing is remembered where memory ends. */
void early_add(struct early *early, const char *msg_id, int engine);
/* True, once, when `msg_id` was aborted on `engine`, or for ANY_ENGINE on whichever. */
bool early_take(struct early *early, const char *msg_id, int engine);
/* The same of a broadcast's part on `engine`, by its original msg_id or by that of the copy. */
bool early_take_copy(struct early *early, const char *msg_id, const char *uuid, int engine);

/* ---- route.c: what comes from clients ---- */
void route_messages(struct bridge *b, unsigned ready);
/* A request on its way to where ops.def sends it. */
void route_dispatch(struct bridge *b, const struct origin *from, wire_msg_t *msg);
/* Counts what is no message, and says so now and then. */
void route_drop(struct bridge *b, const char *place, const char *why);

/* ---- run.c, control.c, query.c: handlers by destination ---- */
void run_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                 const struct wire_op_info *op);
/* The living engine that a request on mux or control names; NULL when there is none, and answered.
 */
struct engine_entry *run_named_engine(struct bridge *b, const struct origin *from,
                                      const wire_msg_t *msg, const struct wire_op_info *op);
void run_on_engine(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                   const struct wire_op_info *op, const struct engine_entry *engine,
                   enum link_lane lane);
/* The frames of a request as they travel between ranks. */
int run_frames(ipp_frames_t *frames, const wire_msg_t *msg);
/* Answers for the engines that are gone already, and for those where it was aborted before it came.
 * False when nothing is left of the request. */
bool run_answer_for_absent(struct bridge *b, struct pending *p);
/* To all engines whose part is not answered yet; empties `frames`. */
void run_send_to_parts(struct bridge *b, struct pending *p, enum link_lane lane,
                       ipp_frames_t *frames);
/* A request of one part and its frames, behind `head` (taken, NULL: none). NULL, and answered: no
 * memory. */
struct pending *run_new(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                        const struct wire_op_info *op, int engine, ipp_frame_t *head,
                        ipp_frames_t *frames);
/* The link has refused it. To a rank that just died nothing is sent, but its loss, on its way here,
 * answers. */
void run_answer_unsent(struct bridge *b, struct pending *p, int rank);
/* ---- run_task.c */
void run_on_anyone(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                   const json_t *metadata, const struct wire_op_info *op);
void run_dropped(struct bridge *b, const struct link_message *msg);
/* LINK_HANDOVER: a task that was kept here goes to the engines that the balancer has found. */
void run_handed_over(struct bridge *b, const struct link_message *msg);
/* ---- */
void control_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                     const struct wire_op_info *op);
/* Takes what msg names off the queues of these engines, and of the balancer. -1 with a text: it is
 * no abort_request's content. */
int control_abort(struct bridge *b, const wire_msg_t *msg, const int *engines, size_t count,
                  ipp_err_t *err);
void query_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                   const struct wire_op_info *op);
/* Asks the balancer on behalf of a client; takes msg and frames. False, and nothing was taken:
 * nobody can be asked. */
bool query_balancer(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                    enum link_kind kind, ipp_frames_t *frames);
void query_answer(struct bridge *b, struct link_message *msg);
void query_forget_all(struct bridge *b);

/* ---- explain.c: why a task is where it is ---- */
void explain_request(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                     const struct wire_op_info *op);
/* `frame`: struct sched_why, NULL: the balancer does not know it. */
void explain_answer(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                    ipp_frame_t *frame);
/* C tasks have no msg_id; they are called ENGINE:COUNT by who submitted them, and as which. */
bool explain_is_batched(uint64_t number);
json_t *explain_batched_id(uint64_t number);

/* ---- ranks.c: what comes from ranks ---- */
void ranks_set_handlers(struct bridge *b);
void ranks_tell_all(struct bridge *b, enum link_lane lane, const struct link_envelope *envelope);

/* ---- life.c: start, ready, stop ---- */
void life_all_arrived(struct bridge *b);
void life_stop(struct bridge *b, int exit_code, const char *why);
void life_last_engine_gone(struct bridge *b, enum engine_state how);
void life_rank_stopped(struct bridge *b, int rank);
/* Moves the end along; returns ms until it must be called again, -1 when only events matter. */
int life_tick(struct bridge *b);

/* ---- notify.c ---- */
void notify_ready(const char *status);

#endif
