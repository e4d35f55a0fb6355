/* SPDX-License-Identifier: BSD-3-Clause
 * Clients of the steering socket, as the bridge knows them: who may do what, and what has passed
 * between them and us. */
#ifndef IPP_SESSION_H
#define IPP_SESSION_H

#include <uthash.h>

#include "wire/wire.h"

struct bridge;
struct origin;
struct session;

/* ---- access.c: keys and what they may ---- */

/* An IP address as text; ACCESS_LOCAL on the local socket. */
#define ADDRESS_LEN 64
#define GUEST_NAME_MAX 100 /* bytes */

/* Somebody who holds a key, or has held it. */
struct guest {
    UT_hash_handle hh; /* by key */
    char key[WIRE_Z85_LEN + 1];
    char *name;
    enum wire_role role;
    char invited[IPP_DATE_LEN], last_seen[IPP_DATE_LEN]; /* last_seen: "" for never */
    int64_t expires_ms;                                  /* of ipp_now_ms; 0: never */
    char expires[IPP_DATE_LEN];
    char address[ADDRESS_LEN];        /* where the key was last used from; "" for nowhere */
    int64_t denied_ms[WIRE_OP_COUNT]; /* of ipp_now_ms, when it was last told; 0: never */
};

enum audit_reason { AUDIT_UNKNOWN, AUDIT_REVOKED, AUDIT_EXPIRED, AUDIT_INTRUDER };

/* Somebody who was not let in, as it was told last. */
struct refusal {
    char address[ADDRESS_LEN], name[GUEST_NAME_MAX + 1];
    enum audit_reason why;
    int64_t told_ms; /* of ipp_now_ms; 0: none */
};
#define REFUSALS_TOLD 16

struct access {
    struct guest *guests;
    struct guest *former; /* whose invitations were revoked; the youngest last */
    struct refusal refusals[REFUSALS_TOLD];
    unsigned refused_untold; /* since the last that was told */
};

/* What stands for a key on the local socket, and is none. */
#define ACCESS_LOCAL "local"

/* The owner's key never expires; who comes by the local socket is the owner too. NULL: ENOMEM. */
struct guest *access_add_owner(struct access *access, const char *key);
/* Who holds `key` now; NULL: nobody, or it has expired. */
struct guest *access_find(struct access *access, const char *key);
/* Who held `key`, which holds no more, and why; NULL with AUDIT_UNKNOWN for a stranger's. */
const struct guest *access_find_former(struct access *access, const char *key,
                                       enum audit_reason *why);
void access_clear(struct access *access);
/* Answers ZAP's questions who may connect. */
void access_answer_zap(struct bridge *b);
/* invite_request, revoke_request, invitations_request. */
void access_invite(struct bridge *b, const struct origin *from, const wire_msg_t *msg);
void access_revoke(struct bridge *b, const struct origin *from, const wire_msg_t *msg);
void access_list(struct bridge *b, const struct origin *from, const wire_msg_t *msg);

/* ---- audit.c: in the log and as events ---- */
void audit_invited(struct bridge *b, const struct origin *from, const struct guest *guest);
void audit_revoked(struct bridge *b, const struct origin *from, const struct guest *guest);
/* Now and then for one address and name. `who` is NULL for a stranger. */
void audit_refused(struct bridge *b, const char *address, const struct guest *who,
                   enum audit_reason why);
/* A request that the role does not allow: now and then for one guest and operation. */
void audit_denied(struct bridge *b, const struct session *session, const struct wire_op_info *op);

/* ---- session.c: two numbered streams of messages that outlive connections ---- */

enum session_output { OUTPUT_OWN, OUTPUT_ALL, OUTPUT_NONE };

/* A message that the client has not acknowledged: its frames but for the identity. */
struct kept {
    struct kept *next;
    uint64_t sequence;
    size_t size;
    ipp_frames_t frames;
};

/* Bytes of a session's requests that have not left the bridge; outlives the session. */
struct meter {
    size_t size;
    int references;
};

struct session {
    UT_hash_handle hh;      /* by token */
    UT_hash_handle hh_peer; /* by peer, while a connection is attached */
    char token[WIRE_TOKEN_LEN + 1];
    char key[WIRE_Z85_LEN + 1]; /* of the guest who opened it */
    char *label;                /* what its messages have as `session` in their headers */
    char *client;               /* name and version */
    char address[ADDRESS_LEN];  /* of the last connection; ACCESS_LOCAL */
    int socket;
    ipp_frame_t *peer; /* identity on `socket`; NULL: nobody is connected */
    char peer_key[258];
    size_t peer_key_size;
    uint64_t received, sent; /* last numbers of either direction */
    uint64_t acknowledged;   /* what we have said we received */
    unsigned owed_messages;  /* taken since */
    size_t owed_size;
    struct kept *first, **last;
    size_t kept_size;
    uint64_t lost; /* output dropped since the last that was sent */
    int64_t detached_ms, said_ms;
    enum session_output output;
    bool events, broken;
    struct meter *meter;
    struct transfer *transfers;
};

/* NULL when nobody has it. */
struct session *session_of_peer(struct bridge *b, int socket, ipp_frame_t *peer);
struct session *session_of_token(struct bridge *b, const char *token);
struct session *session_of_label(struct bridge *b, const char *label);
/* NULL: ENOMEM. */
struct session *session_new(struct bridge *b, const char *token, const struct guest *guest);
/* What it runs goes on, its answers are dropped. */
void session_end(struct bridge *b, struct session *session);
void sessions_end_all(struct bridge *b);
/* From now on the session speaks by this connection. -1: ENOMEM. */
int session_attach(struct bridge *b, struct session *session, int socket, ipp_frame_t *peer);
/* Sends again what the client has not received. */
void session_resend(struct bridge *b, struct session *session);
void session_acknowledged(struct session *session, uint64_t sequence);
/* Counts a message that was taken, and has its large buffers metered. */
void session_took(struct session *session, wire_msg_t *msg);
/* The number up to which a message of ours may acknowledge now. */
uint64_t session_may_acknowledge(const struct session *session);
/* An unnumbered message to a connection, whether or not it has a session; empties `frames`, which
 * are [header parent metadata content]. */
void session_say(struct bridge *b, int socket, ipp_frame_t *peer, uint64_t acknowledged,
                 uint32_t flags, ipp_frames_t *frames);
/* One answer; empties `frames`. */
void session_answer(struct bridge *b, const struct origin *to, int engine, int status, bool last,
                    ipp_frames_t *frames);
/* Something unasked, which is dropped when the client is too slow. `frames` is unchanged. */
void session_publish(struct bridge *b, struct session *session, uint64_t request, int engine,
                     ipp_frame_t *topic, const ipp_frames_t *frames);
/* Sends acknowledgements that are due, ends what is over; returns ms until the next look, -1: none.
 */
int sessions_tick(struct bridge *b);

/* ---- attach.c: requests about sessions ---- */
void attach_message(struct bridge *b, int socket, ipp_frame_t *peer, const char *key,
                    const wire_msg_t *msg);
/* Says to a connection that it has no session (any more), and why. */
void attach_refuse(struct bridge *b, int socket, ipp_frame_t *peer, const char *ename,
                   const char *text);
void session_request(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                     const struct wire_op_info *op);

/* ---- feed.c: output and events ---- */
/* Output of request `number`, [header parent metadata content buffers...]; true when it was for
 * sessions alone. */
bool feed_output(struct bridge *b, uint64_t number, int engine, ipp_frame_t *topic,
                 const ipp_frames_t *frames);
/* Takes `details`, an object. Goes to all sessions when `to_all`, else to those that subscribed. */
void feed_event(struct bridge *b, const char *event, bool to_all, json_t *details);
/* The last events, for a new subscriber. */
void feed_replay(struct bridge *b, struct session *session);
void feed_clear(struct bridge *b); /* forgets all events */

/* ---- transfers.c: chunks on their way to engines ---- */
void transfer_chunk(struct bridge *b, const struct origin *from, wire_msg_t *msg);
/* The struct link_transfer for a request whose metadata names one, which is forgotten here. NULL
 * with a text: there is no such transfer, or it is not complete, or was for others. */
ipp_frame_t *transfer_take(struct bridge *b, struct session *session, const json_t *named,
                           const int *engines, size_t count, ipp_err_t *err);
/* Engines forget what they have of them. */
void transfers_forget(struct bridge *b, struct session *session);

/* ---- targets.c ---- */
/* Engine ids that "all", "0-3,7" or "ocean" names, ascending, each once, into a fresh array. Dead
 * ones are named by number alone. -1 with a text and errno EINVAL. */
int targets_resolve(struct bridge *b, const char *targets, int **ids, size_t *count,
                    ipp_err_t *err);

/* ---- steer_route.c ---- */
void steer_messages(struct bridge *b, int socket);

/* ---- run_set.c ---- */
void run_on_set(struct bridge *b, const struct origin *from, wire_msg_t *msg, json_t *metadata,
                const struct wire_op_info *op);
void control_set(struct bridge *b, const struct origin *from, wire_msg_t *msg,
                 const struct wire_op_info *op);

#endif
