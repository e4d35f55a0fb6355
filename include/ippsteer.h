/* SPDX-License-Identifier: BSD-3-Clause
 * libippsteer: a client of an ippmpi cluster, over its steering socket.
 *
 * A connection is used by one thread at a time and has no threads of its own that run a caller's
 * code (ZeroMQ has one for its sockets). Nothing arrives unless somebody drives it:
 * ipp_future_wait, or ipp_steer_progress when ipp_steer_fd is readable. When the network breaks the
 * connection is made again and every request still gets its one answer.
 *
 * Functions that return int give -1, those that return a pointer NULL, with errno and a text in
 * `err` (which may be NULL). Strings are UTF-8. Where no unit is said, sizes are bytes. */
#ifndef IPPSTEER_H
#define IPPSTEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef IPP_API
#define IPP_API __attribute__((visibility("default")))
#endif

typedef struct ipp_error {
    char text[512]; /* one line, no newline */
} ipp_error_t;

/* ---- connections ---- */

typedef struct ipp_steer ipp_steer_t;

typedef struct ipp_steer_options {
    const char *profile; /* IPython profile; NULL: "default" */
    const char *client;  /* how this program is called in logs and lists; NULL: "libippsteer" */
    int timeout_ms;      /* for ipp_steer_connect, ssh included; 0: 10 s, 60 s for ssh:// */
} ipp_steer_options_t;

/* Connects and attaches. `where`:
 *   NULL or ""                    the profile's default cluster
 *   a word                        the profile's cluster of that id
 *   a path with '/' or ".json"    a connection file
 *   ssh://[USER@]HOST[:PORT][/ID] the cluster of that user there; ssh may ask for a password on the
 *                                 terminal. The tunnel lives as long as the connection.
 *   ssh://[USER@]HOST[:PORT]/FILE the cluster of a connection file of this machine, an invitation
 *                                 for example, through that host: FILE has a '/' (or two for an
 *                                 absolute path: ssh://HOST//tmp/ada) or ends in ".json"
 * `options` may be NULL. errno: EINVAL `where` is none of these, ENOENT no connection file, EBADMSG
 * not one of ours, EACCES the key is refused (revoked, expired, or of another cluster) or the file
 * may not be read, EPROTO the cluster speaks another protocol, ECONNREFUSED the cluster is gone:
 * nobody listens there, or somebody else; ETIMEDOUT no answer in time, EHOSTUNREACH ssh failed, or
 * the host's name is not known here. */
IPP_API ipp_steer_t *ipp_steer_connect(const char *where, const ipp_steer_options_t *options,
                                       ipp_error_t *err);
/* Ends the session: what runs goes on, its answers are dropped. All futures must be destroyed
 * before. NULL is fine. */
IPP_API void ipp_steer_close(ipp_steer_t *steer);

/* The attach_reply's content as JSON, brought up to date when engines go or the connection was made
 * again: role, python, engines by id, ... (docs/protocol.md). Valid until the next call that
 * drives. */
IPP_API const char *ipp_steer_about(const ipp_steer_t *steer);
/* Ids of the living engines in ascending order; *count of them. Valid until the next call that
 * drives. */
IPP_API const int *ipp_steer_engines(const ipp_steer_t *steer, size_t *count);

/* ---- driving ---- */

/* Readable when ipp_steer_progress has something to do; for poll and event loops. It belongs to the
 * connection. */
IPP_API int ipp_steer_fd(ipp_steer_t *steer);
/* How long at most to wait for ipp_steer_fd, in ms; -1: as long as it takes. */
IPP_API int ipp_steer_timeout(const ipp_steer_t *steer);
/* Waits up to timeout_ms (0: not at all, -1: until something happens), takes what arrived and calls
 * callbacks. 1: something happened, 2: a signal came or ipp_steer_wake was called, and perhaps
 * something happened too, 0: nothing did. -1: the connection is of no more
 * use, and all its futures have failed: ECONNRESET the cluster has ended or forgot the session,
 * EACCES the key was revoked. */
IPP_API int ipp_steer_progress(ipp_steer_t *steer, int timeout_ms, ipp_error_t *err);
/* Makes ipp_steer_progress return early, with 2, and ipp_future_wait, with 0: the call that waits,
 * or the next one. The one function for any thread and for signal handlers. */
IPP_API void ipp_steer_wake(ipp_steer_t *steer);

/* ---- requests ---- */

typedef struct ipp_future ipp_future_t;

/* Called when the library does not need `data` any more: from a driving call, from the call it was
 * given to, or from a thread of ZeroMQ's. */
typedef void (*ipp_release_fn)(void *data, void *arg);

typedef struct ipp_buffer {
    const void *data;
    size_t size;
    ipp_release_fn release; /* NULL: the bytes are copied during the call */
    void *arg;
} ipp_buffer_t;

enum ipp_status { IPP_OK, IPP_ERROR, IPP_ABORTED };

/* One engine's answer. All belongs to the future. */
typedef struct ipp_answer {
    int engine; /* -1: the bridge itself */
    enum ipp_status status;
    const char *content;  /* JSON; an error has ename, evalue, traceback */
    const char *metadata; /* JSON */
    const ipp_buffer_t *buffers;
    size_t buffer_count;
} ipp_answer_t;

/* What an engine prints or shows while a request runs. Lent for the call. */
typedef struct ipp_output {
    int engine;          /* -1: the bridge */
    const char *type;    /* "stream", "display_data", "execute_result", "error", "progress", ... */
    const char *content; /* JSON */
    const char *metadata;
    const ipp_buffer_t *buffers;
    size_t buffer_count;
    uint64_t lost; /* messages before this one that were dropped, for this client was too slow */
} ipp_output_t;

typedef void (*ipp_output_fn)(const ipp_output_t *output, void *arg);

typedef struct ipp_request {
    const char *type;    /* "execute_request", "call_request", ... (docs/protocol.md) */
    const char *channel; /* NULL: "engines" */
    const char
        *targets; /* "all", "0-3,7", "ocean"; NULL: all. Ignored where no engines are meant */
    const char *content;  /* a JSON object; NULL: {} */
    const char *metadata; /* a JSON object; NULL: {}. targets and transfer are the library's */
    const ipp_buffer_t *buffers;
    size_t buffer_count;
    ipp_output_fn on_output; /* NULL: output of this request is not looked at */
    void *output_arg;
} ipp_request_t;

/* Sends a request; large buffers travel ahead of it in chunks, while the connection is driven. The
 * strings are borrowed for the call. The future must be destroyed. errno: EINVAL what is no JSON or
 * no channel, ENOMEM, ECONNRESET as ipp_steer_progress. When it fails nothing was sent, and buffers
 * have been released. */
IPP_API ipp_future_t *ipp_steer_send(ipp_steer_t *steer, const ipp_request_t *request,
                                     ipp_error_t *err);
/* Requests that were sent and not yet answered whole. */
IPP_API size_t ipp_steer_outstanding(const ipp_steer_t *steer);

/* True when the last answer is there, or none will come. */
IPP_API bool ipp_future_done(const ipp_future_t *future);
/* Drives until it is done, or for timeout_ms (-1: no limit), or until ipp_steer_wake or a signal.
 * 1 done, 0 not yet; -1 the connection is of no more use (ECONNRESET, EACCES), or there was no
 * memory for an answer (ENOMEM), and those answers that came are there. */
IPP_API int ipp_future_wait(ipp_future_t *future, int timeout_ms, ipp_error_t *err);
/* Answers so far, in the order in which they came; those of a future that is done by engine id. */
IPP_API size_t ipp_future_count(const ipp_future_t *future);
/* Lent until the future is destroyed; `index` below ipp_future_count. */
IPP_API const ipp_answer_t *ipp_future_answer(const ipp_future_t *future, size_t index);
/* Why a future that is done has no last answer; NULL when it has one. */
IPP_API const char *ipp_future_failure(const ipp_future_t *future);
/* Asks to take it off the queues of engines and balancer: what does not run yet is answered
 * ABORTED. What runs goes on. */
IPP_API int ipp_future_cancel(ipp_future_t *future, ipp_error_t *err);
/* The same, and where it runs already, a KeyboardInterrupt is raised in it: unlike
 * ipp_steer_interrupt's, in nobody else's code. */
IPP_API int ipp_future_interrupt(ipp_future_t *future, ipp_error_t *err);
/* Called once, from a driving call, when the future gets done; at once when it is. */
IPP_API void ipp_future_on_done(ipp_future_t *future, void (*done)(ipp_future_t *future, void *arg),
                                void *arg);
/* Also before it is done: the request goes on, and its answers are dropped. NULL is fine. */
IPP_API void ipp_future_destroy(ipp_future_t *future);

/* ---- the usual requests; futures as from ipp_steer_send ---- */

/* Runs Python source in the namespace of `targets`, as IPython would. */
IPP_API ipp_future_t *ipp_steer_execute(ipp_steer_t *steer, const char *targets, const char *code,
                                        ipp_output_fn on_output, void *arg, ipp_error_t *err);

/* An array as it travels: bytes in C order. */
typedef struct ipp_array {
    const char *dtype; /* as in .npy files: "<f8" */
    int ndims;
    const int64_t *shape;
    ipp_buffer_t bytes;
} ipp_array_t;

/* Binds `name` to a writable numpy array on each of `targets`. errno EINVAL: the bytes are not what
 * dtype and shape say. */
IPP_API ipp_future_t *ipp_steer_push(ipp_steer_t *steer, const char *targets, const char *name,
                                     const ipp_array_t *array, ipp_error_t *err);
/* Fetches `name` from each of `targets`: read the answers with ipp_answer_array. */
IPP_API ipp_future_t *ipp_steer_pull(ipp_steer_t *steer, const char *targets, const char *name,
                                     ipp_error_t *err);
/* Combines the arrays or numbers called `name`, element by element: op "sum", "prod", "min", "max",
 * "and" or "or". The answer of the engine with the lowest id holds the result. */
IPP_API ipp_future_t *ipp_steer_reduce(ipp_steer_t *steer, const char *targets, const char *name,
                                       const char *op, ipp_error_t *err);
/* The array in the answer to a pull or reduce. *array is lent until the future is destroyed. errno
 * ENODATA: the answer is an error, or the value no array. */
IPP_API int ipp_answer_array(const ipp_answer_t *answer, ipp_array_t *array, ipp_error_t *err);
/* Has a rank of an application run its C task `name` (ippmpi(3)) with `payload` (NULL: no bytes).
 * `wants`: a JSON object of what it asks of the balancer, as retries, priority, timeout, width
 * (docs/protocol.md); NULL: {}. One answer, whose one buffer is the result; the content of its
 * error has `code`, what the task's function returned. ipp_future_cancel takes it off the queue,
 * and with ipp_future_interrupt ipp_task_cancelled tells it where it runs. */
IPP_API ipp_future_t *ipp_steer_task(ipp_steer_t *steer, const char *name,
                                     const ipp_buffer_t *payload, const char *wants,
                                     ipp_error_t *err);
/* Raises KeyboardInterrupt in what `targets` run now. */
IPP_API ipp_future_t *ipp_steer_interrupt(ipp_steer_t *steer, const char *targets,
                                          ipp_error_t *err);

/* ---- subscriptions ---- */

/* Events ("event") of the cluster, and output of other clients' requests where all of it was asked
 * for, go to `fn` (docs/protocol.md); one function for a connection, NULL: none. `output`: "own",
 * "all" or "none". */
IPP_API ipp_future_t *ipp_steer_subscribe(ipp_steer_t *steer, const char *output, bool events,
                                          ipp_output_fn fn, void *arg, ipp_error_t *err);

#ifdef __cplusplus
}
#endif

#endif
