/* SPDX-License-Identifier: BSD-3-Clause
 * Private to the extension module `ippmpi._steer`: libippsteer for Python threads.
 *
 * Who may use a connection. libippsteer is for one thread at a time, and what arrives is only taken
 * when somebody drives. So a connection has one *turn*: its holder sends, drives, destroys. Whoever
 * waits drives; there is no thread in between.
 *
 *   - `mutex` guards the turn, the lists and the flags of a connection and of its queues. It is
 * held for a few instructions, never while waiting and never while Python runs; so it may be taken
 *     with the GIL held. Callbacks of the library take it too: nobody calls the library with it.
 *   - A turn is handed over, not raced for: turn_leave gives it to the most urgent of those that
 *     wait (a sender, then a thread that waits for answers of its own, last the background thread).
 *     A driver that somebody more urgent waits for is woken (ipp_steer_wake) and gives way.
 *   - Every request belongs to a queue, and what happens to it makes it ready there. A thread waits
 *     in queue_get for one of its own queue: it drives when the turn is free, else it sleeps until
 *     the driver has made something ready, or hands it the turn.
 *   - Sleeping and driving happen without the GIL and end when a signal comes, so that Python's
 *     handlers run; a thread that leaves by KeyboardInterrupt leaves the list and passes on a turn
 *     that it was just given. Requests are not touched by it.
 *   - Callbacks run without the GIL: they put things into lists, and whoever is next in Python
 *     with the GIL takes them out. Python objects die anywhere; the future of one is destroyed by
 *     the next holder of the turn (turn_sweep).
 *   - In a forked child nothing of a connection may be touched, not even the mutex. */
#ifndef IPP_STEER_PYTHON_H
#define IPP_STEER_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "ippsteer.h"

enum urgency { SENDER, CALLER, BACKGROUND };

/* A thread that wants the turn, or sleeps until something is ready for it. */
struct waiter {
    TAILQ_ENTRY(waiter) link;
    PyThread_type_lock lock; /* held, but for a moment after waiter_signal */
    enum urgency urgency;
    bool listed, granted, signalled;
};

struct output {
    STAILQ_ENTRY(output) link;
    int engine;
    uint64_t lost;
    char *type, *content, *metadata;
    size_t count;
    ipp_buffer_t *buffers; /* copies */
};

/* A request as the library knows it; it outlives its Python object until it is swept. */
struct call {
    TAILQ_ENTRY(call) link;  /* in the connection's list of calls, or of dropped ones */
    TAILQ_ENTRY(call) ready; /* in its queue */
    ipp_future_t *future;    /* NULL while it is being sent */
    struct connection *connection;
    struct queue *queue; /* NULL once dropped */
    PyObject *object;    /* borrowed; owned while `held` */
    bool done, held, is_ready;
    char *failure; /* NULL: it has its answers */
    STAILQ_HEAD(outputs, output) outputs;
};

struct connection {
    PyObject_HEAD ipp_steer_t *steer; /* NULL once closed */
    unsigned process;                 /* fork_count() when it was made */
    pthread_mutex_t mutex;
    bool taken, closed;
    TAILQ_HEAD(waiters, waiter) waiters;
    TAILQ_HEAD(calls, call) calls;
    TAILQ_HEAD(dropped_calls, call) dropped;
    struct ipp_error failure; /* why the connection is of no more use; "" while it is */
    int failure_errno;
};

struct queue {
    PyObject_HEAD struct connection *connection;
    struct waiter waiter;
    TAILQ_HEAD(ready_calls, call) ready;
    size_t outstanding; /* not done */
    bool busy;          /* somebody is in queue_get */
    bool nudged;
};

struct request {
    PyObject_HEAD struct call *call;
    struct connection *connection;
    struct queue *queue;
    PyObject *tag;
};

/* ---- turn.c: without Python objects; all but the waiting of turn_take needs no GIL ---- */

int waiter_init(struct waiter *waiter, enum urgency urgency);
void waiter_free(struct waiter *waiter);
/* Wakes it. Under the mutex. */
void waiter_signal(struct waiter *waiter);
/* Sleeps until waiter_signal, for at most `timeout_us` (-1: no limit); false when a signal came.
 * Without the mutex; releases the GIL. */
bool waiter_sleep(struct connection *connection, struct waiter *waiter, int64_t timeout_us);

/* True when the turn was free and is the caller's now. Under the mutex. */
bool turn_try(struct connection *connection);
/* Waits for the turn, as a sender. -1 with a Python exception: closed, in a forked child, or
 * interrupted. */
int turn_take(struct connection *connection);
/* Under the mutex: queues the waiter, and has the driver look when it is less urgent. */
void turn_want(struct connection *connection, struct waiter *waiter);
/* Under the mutex: the waiter wants nothing more. True when the turn is its own. */
bool turn_forget(struct connection *connection, struct waiter *waiter);
/* Whether somebody that goes first waits. Under the mutex. */
bool turn_wanted(struct connection *connection, enum urgency than);
/* Hands it over. Sweeps first. */
void turn_leave(struct connection *connection);
/* Destroys what was dropped. By the holder of the turn. */
void turn_sweep(struct connection *connection);

/* ---- call.c: requests at the fence to the library ---- */

/* How often this process's forebears have forked since the module was loaded: no system call. */
unsigned fork_count(void);
int fork_watch(void);
/* Whether it may be touched here. */
bool connection_is_ours(const struct connection *connection);

/* -1 with a Python exception where the connection is closed or another process's. */
int connection_check(struct connection *connection);
/* Raises OSError(errno, text). Returns NULL. */
PyObject *raise_os_error(int error, const char *text);

struct call *call_create(struct queue *queue);
void call_on_done(ipp_future_t *future, void *call);
void call_on_output(const ipp_output_t *output, void *call);
/* Its Python object is gone. Needs no turn. */
void call_drop(struct call *call);
/* By the holder of the turn, when it is in no list. */
void call_free(struct call *call);
void output_free(struct output *output);

/* ---- lend.c: Python's buffers to the library and back ---- */

struct lent {
    size_t count;
    ipp_buffer_t *at;
};

/* Views of the objects, to be released by the library. -1 with a Python exception. */
int lend_buffers(struct lent *lent, PyObject *sequence);
/* Only the list: for what was handed to the library. */
void lend_forget(struct lent *lent);
size_t lend_bytes(const struct lent *lent);
/* Gives back what the library has released. With the GIL. */
void lend_collect(void);
/* A memoryview of bytes that live as long as `owner`; writable. */
PyObject *lend_view(PyObject *owner, const ipp_buffer_t *buffer);

/* ---- the types ---- */

extern PyType_Spec connection_spec, queue_spec, request_spec, buffer_spec;
/* Strong references, made once when the module is first imported. */
extern PyTypeObject *connection_type, *queue_type, *request_type, *buffer_type;

PyObject *request_create(struct queue *queue, struct call *call, PyObject *tag);
/* Queue.send(type, channel, targets, content, metadata=None, buffers=None, output=False, tag=None):
 * the Request. */
PyObject *queue_send(PyObject *self, PyObject *args);

#endif
