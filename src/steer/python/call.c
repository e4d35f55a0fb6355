/* SPDX-License-Identifier: BSD-3-Clause
 * Calls: requests as the library knows them, and what its callbacks leave behind for Python. */
#include "steer/python/steer_python.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned forks;

static void on_fork(void)
{
    forks++;
}

int fork_watch(void)
{
    return pthread_atfork(NULL, NULL, on_fork);
}

unsigned fork_count(void)
{
    return forks;
}

bool connection_is_ours(const struct connection *connection)
{
    return connection->process == forks;
}

PyObject *raise_os_error(int error, const char *text)
{
    /* "is" rather than "s": OSError's own constructor picks the subclass. */
    PyObject *args = Py_BuildValue("(is)", error, text);
    if (args) {
        PyErr_SetObject(PyExc_OSError, args);
        Py_DECREF(args);
    }
    return NULL;
}

int connection_check(struct connection *connection)
{
    if (!connection_is_ours(connection)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this connection is the parent process's: a forked child has to call "
                        "ippmpi.connect() itself");
        return -1;
    }
    pthread_mutex_lock(&connection->mutex);
    bool closed = connection->closed;
    pthread_mutex_unlock(&connection->mutex);
    if (closed)
        raise_os_error(ENOTCONN, "this connection was closed");
    return closed ? -1 : 0;
}

struct call *call_create(struct queue *queue)
{
    struct connection *connection = queue->connection;
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        PyErr_NoMemory();
        return NULL;
    }
    call->connection = connection;
    call->queue = queue;
    STAILQ_INIT(&call->outputs);
    pthread_mutex_lock(&connection->mutex);
    TAILQ_INSERT_TAIL(&connection->calls, call, link);
    queue->outstanding++;
    pthread_mutex_unlock(&connection->mutex);
    return call;
}

/* Under the mutex. */
static void make_ready(struct call *call)
{
    struct queue *queue = call->queue;
    if (!queue || call->is_ready)
        return;
    call->is_ready = true;
    TAILQ_INSERT_TAIL(&queue->ready, call, ready);
    waiter_signal(&queue->waiter);
}

void call_on_done(ipp_future_t *future, void *arg)
{
    struct call *call = arg;
    struct connection *connection = call->connection;
    const char *failure = ipp_future_failure(future); /* gone with the connection */
    pthread_mutex_lock(&connection->mutex);
    call->failure = failure ? strdup(failure) : NULL;
    call->done = true;
    if (call->queue) {
        call->queue->outstanding--;
        make_ready(call);
    }
    pthread_mutex_unlock(&connection->mutex);
}

static ipp_buffer_t *copy_buffers(const ipp_buffer_t *buffers, size_t count)
{
    ipp_buffer_t *copies = calloc(count ? count : 1, sizeof *copies);
    for (size_t i = 0; copies && i < count; i++) {
        void *data = malloc(buffers[i].size ? buffers[i].size : 1);
        if (data && buffers[i].size)
            memcpy(data, buffers[i].data, buffers[i].size);
        copies[i] = (ipp_buffer_t){ .data = data, .size = data ? buffers[i].size : 0 };
    }
    return copies;
}

static char *copy_text(const char *text)
{
    return strdup(text ? text : "{}");
}

void call_on_output(const ipp_output_t *seen, void *arg)
{
    struct call *call = arg;
    struct output *output = calloc(1, sizeof *output);
    if (!output)
        return;
    output->engine = seen->engine;
    output->lost = seen->lost;
    output->type = copy_text(seen->type);
    output->content = copy_text(seen->content);
    output->metadata = copy_text(seen->metadata);
    output->buffers = copy_buffers(seen->buffers, seen->buffer_count);
    output->count = output->buffers ? seen->buffer_count : 0;
    if (!output->type || !output->content || !output->metadata) {
        output_free(output);
        return;
    }
    pthread_mutex_lock(&call->connection->mutex);
    STAILQ_INSERT_TAIL(&call->outputs, output, link);
    make_ready(call);
    pthread_mutex_unlock(&call->connection->mutex);
}

void output_free(struct output *output)
{
    for (size_t i = 0; i < output->count; i++) {
        union {
            const void *lent;
            void *own;
        } data = { .lent = output->buffers[i].data };
        free(data.own);
    }
    free(output->buffers);
    free(output->type);
    free(output->content);
    free(output->metadata);
    free(output);
}

void call_free(struct call *call)
{
    ipp_future_destroy(call->future);
    while (!STAILQ_EMPTY(&call->outputs)) {
        struct output *output = STAILQ_FIRST(&call->outputs);
        STAILQ_REMOVE_HEAD(&call->outputs, link);
        output_free(output);
    }
    free(call->failure);
    free(call);
}

void call_drop(struct call *call)
{
    struct connection *connection = call->connection;
    pthread_mutex_lock(&connection->mutex);
    if (call->is_ready)
        TAILQ_REMOVE(&call->queue->ready, call, ready);
    if (!call->done)
        call->queue->outstanding--;
    call->queue = NULL;
    call->is_ready = false;
    TAILQ_REMOVE(&connection->calls, call, link);
    TAILQ_INSERT_TAIL(&connection->dropped, call, link);
    bool mine = turn_try(connection), closed = connection->closed;
    if (!mine && !closed && connection->steer)
        ipp_steer_wake(connection->steer); /* who drives sweeps */
    pthread_mutex_unlock(&connection->mutex);
    if (mine)
        turn_leave(connection);
    else if (closed)
        turn_sweep(connection);
}
