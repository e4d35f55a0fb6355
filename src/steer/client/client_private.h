/* SPDX-License-Identifier: BSD-3-Clause
 * The inside of libippsteer: what its files share. Nobody else includes this. */
#ifndef IPP_CLIENT_PRIVATE_H
#define IPP_CLIENT_PRIVATE_H

#include <uthash.h>

#include "ippsteer.h"
#include "wire/wire.h"

_Static_assert(sizeof(ipp_error_t) == sizeof(ipp_err_t), "one is filled as the other");

/* The caller's error text, as the rooms below fill it. */
static inline ipp_err_t *inner(ipp_error_t *err)
{
    return (ipp_err_t *)err;
}

/* ---- outbox.c: what was sent and is not acknowledged, and what waits for room ---- */

/* One message to be sent, in one allocation; its head is made when it leaves. */
struct piece {
    ipp_frame_t *frame; /* NULL: the bytes are in the message's text */
    size_t size;
};
struct outgoing {
    struct outgoing *next;
    uint64_t sequence;
    size_t bytes; /* of all frames */
    enum wire_channel channel;
    uint32_t buffer_count;
    size_t header_size, metadata_size, content_size;
    const char *text; /* header, metadata, content, packed buffers, one behind the other */
    struct piece buffers[];
};

/* Copies the three; large `buffers` are shared, small ones copied. NULL: ENOMEM. */
struct outgoing *outgoing_create(enum wire_channel channel, const char *header,
                                 const char *metadata, const char *content,
                                 ipp_frame_t *const *buffers, size_t buffer_count);
void outgoing_destroy(struct outgoing *message); /* NULL is fine */

/* Messages in the order of their numbers. Start it as {0}. */
struct outbox {
    struct outgoing *first, *last, *unsent;
    uint64_t last_sequence;   /* of what was added */
    uint64_t sent, ever_sent; /* last one sent: on this connection, on any */
    size_t unacknowledged;    /* bytes sent on this connection and not acknowledged */
};

/* Takes the message and gives it the next number. */
void outbox_add(struct outbox *outbox, struct outgoing *message);
/* The message that may be sent now; NULL: none, or the window is full. */
const struct outgoing *outbox_next(const struct outbox *outbox);
/* outbox_next's has been sent. */
void outbox_sent(struct outbox *outbox);
/* The other side has all up to `sequence`. False: it cannot, for they were not sent. */
bool outbox_acknowledge(struct outbox *outbox, uint64_t sequence);
/* A new connection: what is behind `received` is to be sent again. False as above. */
bool outbox_rewind(struct outbox *outbox, uint64_t received);
void outbox_clear(struct outbox *outbox);

/* ---- where.c, ssh.c: finding the cluster ---- */

/* Where a cluster is reached, and how. Start it as {0}. */
struct place {
    wire_connection_t connection;
    char *endpoint; /* ZeroMQ's */
    char *label;    /* what error texts call it: the connection file */
    bool curve;     /* ipc of the same user goes without */
    bool local;     /* the cluster is on this host */
    bool elsewhere; /* it is not, or may not be, and listens to its own host alone */
    struct tunnel *tunnel;
};

/* A parsed ssh://[USER@]HOST[:PORT][/ID], or /FILE, a connection file of this machine. */
struct ssh_url {
    char *login;      /* [USER@]HOST */
    int port;         /* 0: ssh's own choice */
    char *cluster_id; /* "" for the default cluster; or the file's path */
};
bool where_is_ssh(const char *where);
int where_parse_ssh(const char *where, struct ssh_url *url, ipp_err_t *err);
void ssh_url_clear(struct ssh_url *url);
/* The connection file `where` means (not an ssh URL); the caller frees it. */
char *where_path(const char *where, const char *profile, ipp_err_t *err);
/* The host of a connection's TCP socket; a wildcard address becomes the location's, or this host's
 * where `here` says that they are one. The caller frees it. */
char *where_tcp_host(const wire_connection_t *connection, bool here);
/* With the host as a number, so that connecting again needs no names: "tcp://10.0.0.1:4711". */
char *where_tcp_endpoint(const wire_connection_t *connection, ipp_err_t *err);
/* Finds, reads and checks; for ssh it makes the tunnel until `deadline_ms` (ipp_now_ms). */
int place_find(struct place *place, const char *where, const char *profile, int64_t deadline_ms,
               ipp_err_t *err);
void place_clear(struct place *place);

/* Logs in, reads the connection file there and listens on a local socket for the cluster's port.
 * Blocks until `deadline_ms`. Takes what is in `url`. errno EHOSTUNREACH: ssh failed. */
struct tunnel *tunnel_open(struct ssh_url *url, const char *profile, int64_t deadline_ms,
                           wire_connection_t *connection, ipp_err_t *err);
/* The same with a connection that is known: nothing is read there. */
struct tunnel *tunnel_open_known(struct ssh_url *url, int64_t deadline_ms,
                                 const wire_connection_t *connection, ipp_err_t *err);
void tunnel_close(struct tunnel *tunnel); /* NULL is fine; keeps errno */
const char *tunnel_socket(const struct tunnel *tunnel);
/* False: ssh has ended. */
bool tunnel_stands(const struct tunnel *tunnel);
/* Logs in once more, without waiting: until tunnel_progress says 1 (it stands) or -1. */
int tunnel_restart(struct tunnel *tunnel, ipp_err_t *err);
int tunnel_progress(struct tunnel *tunnel, ipp_err_t *err);
/* Readable when tunnel_progress has something to do; another one after each restart. */
int tunnel_fd(const struct tunnel *tunnel);

/* ---- line.c: one ZeroMQ connection ---- */

enum line_event {
    LINE_NOTHING,
    LINE_BROKEN,      /* was up, or on its way up, and is not any more */
    LINE_REFUSED_KEY, /* ZAP said 400 */
    LINE_NOT_OURS,    /* somebody listens there, who does not have the server's key */
    LINE_CLOSED,      /* not connected: line_probe tells why */
};

struct line {
    void *context, *dealer, *monitor; /* dealer and monitor are NULL while it is closed */
    int epoll_fd;                     /* its descriptors are in it while it is open */
    bool told; /* the monitor has something to say, or nobody has looked: asking it costs */
};

/* What epoll says of descriptors that are not read each time; of all others it says 0. */
enum { LINE_MONITOR = 1, STEER_WAKE };

int line_open(struct line *line, const struct place *place, ipp_err_t *err);
void line_close(struct line *line);
/* False: the connection is gone. */
bool line_send(struct line *line, const struct outgoing *message, uint64_t acknowledged);
bool line_send_ack(struct line *line, uint64_t acknowledged);
/* True: one message's frames are in `frames`. */
bool line_receive(struct line *line, ipp_frames_t *frames);
/* Events or messages wait; must be false before anybody sleeps on the descriptors. */
bool line_ready(struct line *line);
enum line_event line_event(struct line *line);
/* Connects by hand, only to learn why ZeroMQ could not: puts into *fd what to wait for (it gets
 * writable), or -1 and returns the errno at once. */
int line_probe(const struct place *place, int *fd);
/* True: it is known what became of it, and *code an errno, or 0 when it is connected. */
bool line_probe_result(int fd, int *code);

/* ---- future.c: requests that are awaited ---- */

struct answer {
    ipp_answer_t shown;
    ipp_frames_t frames; /* that the large buffers point into */
    char *dtype;         /* ipp_answer_array's; NULL until it is asked */
    int64_t *shape;
    int ndims;
};

struct ipp_future {
    ipp_steer_t *steer;
    uint64_t sequence;
    UT_hash_handle hh;
    struct answer **answers;
    uint32_t count, capacity;
    bool done, abandoned; /* abandoned: the caller has destroyed it */
    enum wire_channel channel;
    const char *failure;
    char *targets; /* NULL: all */
    ipp_output_fn on_output;
    void *output_arg;
    void (*on_done)(ipp_future_t *future, void *arg);
    void *done_arg;
};

/* A message from the bridge taken apart; it lends all. */
struct incoming {
    enum wire_channel channel;
    struct wire_head head;
    ipp_frame_t *header, *metadata, *content;
    ipp_frame_t *const *buffers;
    size_t buffer_count;
};

struct ipp_future *future_create(ipp_steer_t *steer, const ipp_request_t *request);
void future_free(struct ipp_future *future);
/* An answer arrived. */
void future_answer(ipp_steer_t *steer, const struct incoming *message);
/* Output, progress or an event arrived. */
void future_output(ipp_steer_t *steer, const struct incoming *message);
/* Nobody will answer any more: all futures get done with `failure`, which outlives them. */
void future_fail_all(ipp_steer_t *steer, const char *failure);

/* ---- request.c, chunks.c ---- */

/* Header of the message with that number; the caller frees it. NULL: ENOMEM or EINVAL. */
char *request_header(const ipp_steer_t *steer, const char *type, uint64_t sequence);
/* msg_id of that message. */
#define MSG_ID_LEN 96
void request_msg_id(const ipp_steer_t *steer, uint64_t sequence, char out[MSG_ID_LEN]);

/* How many of the buffers stay in the message: those behind go ahead of it, as one transfer. */
size_t chunks_keep(const ipp_frames_t *buffers);
/* Appends to *tail the chunk_requests of the buffers from `first` on, to be numbered from the next
 * one on; returns how many, or -1 with errno ENOMEM (what was appended is the caller's). */
int64_t chunks_make(const ipp_steer_t *steer, const ipp_frames_t *buffers, size_t first,
                    const char *targets, uint64_t transfer, struct outgoing ***tail);

/* ---- session.c: the session and its connections ---- */

enum session_state {
    SESSION_DOWN,       /* until retry_at */
    SESSION_TUNNELLING, /* ssh logs in again */
    SESSION_CONNECTING, /* the connection, then the attach_reply */
    SESSION_PROBING,    /* why was there no connection? */
    SESSION_ATTACHED,
    SESSION_DEAD
};

struct ipp_steer {
    struct place place;
    struct line line;
    char *client;
    char token[WIRE_TOKEN_LEN + 1];
    char session[37]; /* in headers; and half of our msg_ids */

    enum session_state state;
    bool attached_once;
    int64_t retry_at, deadline; /* down: next attempt; on the way up: until when */
    int extra_fd;               /* in epoll: the probe's or the tunnel's; -1: none */
    unsigned attempts;          /* since the last success */
    int64_t gone_since;         /* nobody of ours listens there since; 0: not known to be so */
    int64_t offline_since;      /* 0: attached */
    ipp_err_t trouble;          /* why the last attempt failed */
    bool ending;                /* the cluster said that it ends */

    struct outbox outbox;
    uint64_t received;        /* last message of the bridge's */
    unsigned unsaid_messages; /* received and not acknowledged */
    size_t unsaid_bytes;
    uint64_t last_transfer;

    struct ipp_future *futures; /* by sequence */
    ipp_output_fn on_event;
    void *event_arg;

    json_t *about;
    char *about_text;
    int *engines;
    size_t engine_count;

    int epoll_fd, wake_fd, self_fd;
    bool fd_lent;
    bool armed; /* self_fd is readable: something waits that no descriptor of ZeroMQ's shows */
    bool woken; /* by ipp_steer_wake, or by a signal */
    int death;  /* errno */
    ipp_err_t last_words;
};

/* Takes what arrived, sends what may be sent, connects when it is time; true: something happened.
 */
bool session_step(ipp_steer_t *steer);
/* When session_step has to be called though nothing arrives, in ms from now; -1: never. */
int session_timeout(const ipp_steer_t *steer);
/* Sends what the window allows. */
void session_flush(ipp_steer_t *steer);
/* The end: everything fails from now on. */
void session_die(ipp_steer_t *steer, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- connect.c: the session's connections ---- */

void connect_start(ipp_steer_t *steer);
void connect_stop(ipp_steer_t *steer);
/* The connection is of no use any more: another one when it is time. */
void connect_broke(ipp_steer_t *steer, const char *why);
void connect_attach_reply(ipp_steer_t *steer, const struct incoming *message);
/* What became of the connection, and the next one; true: something happened. */
bool connect_step(ipp_steer_t *steer);

/* ---- about.c: what is known of the cluster ---- */

/* Takes the content of an attach_reply. */
int about_set(ipp_steer_t *steer, json_t *content);
void about_engine_gone(ipp_steer_t *steer, json_int_t id);
void about_clear(ipp_steer_t *steer);

/* ---- steer.c ---- */

/* Makes ipp_steer_fd readable when messages wait that ZeroMQ's descriptor does not show. */
void steer_rearm(ipp_steer_t *steer);

#endif
