/* SPDX-License-Identifier: BSD-3-Clause
 * Queue.send: a request from Python to the library. */
#include "steer/python/steer_python.h"

#include <errno.h>

/* Sending less than this takes less time than getting the GIL back from a busy thread. */
#define BRIEF_BYTES 65536

static ipp_future_t *send_now(struct connection *connection, const ipp_request_t *request,
                              size_t bytes, struct ipp_error *err)
{
    ipp_future_t *future;
    if (bytes < BRIEF_BYTES)
        return ipp_steer_send(connection->steer, request, err);
    Py_BEGIN_ALLOW_THREADS
    future = ipp_steer_send(connection->steer, request, err);
    Py_END_ALLOW_THREADS
    return future;
}

static int parse(PyObject *args, ipp_request_t *request, PyObject **buffers, PyObject **tag)
{
    int output = 0;
    *request = (ipp_request_t){ 0 };
    *buffers = *tag = Py_None;
    if (!PyArg_ParseTuple(args, "szzz|zOpO:send", &request->type, &request->channel,
                          &request->targets, &request->content, &request->metadata, buffers,
                          &output, tag))
        return -1;
    request->on_output = output ? call_on_output : NULL;
    return 0;
}

/* The call that was made for it has no future: undo it. */
static PyObject *refused(PyObject *request, struct ipp_error *err)
{
    int error = errno;
    Py_DECREF(request);
    lend_collect();
    if (error == ENOMEM)
        return PyErr_NoMemory();
    if (error == EINVAL)
        return PyErr_Format(PyExc_ValueError, "%s", err->text);
    return raise_os_error(error, err->text);
}

static PyObject *with_turn(struct queue *queue, ipp_request_t *request, size_t bytes, PyObject *tag)
{
    struct ipp_error err = { "" };
    struct call *call = call_create(queue);
    PyObject *object = call ? request_create(queue, call, tag) : NULL;
    request->output_arg = call;
    ipp_future_t *future = object ? send_now(queue->connection, request, bytes, &err) : NULL;
    int error = errno;
    if (future) {
        call->future = future;
        ipp_future_on_done(future, call_on_done, call);
    }
    turn_leave(queue->connection);
    if (call && !object)
        call_drop(call);
    if (future || !object)
        return object;
    errno = error;
    return refused(object, &err);
}

/* A queue of the background holds its requests: nobody else need to. */
static void hold(struct queue *queue, PyObject *object)
{
    struct call *call = ((struct request *)object)->call;
    Py_INCREF(object);
    pthread_mutex_lock(&queue->connection->mutex);
    call->held = true;
    waiter_signal(&queue->waiter);
    pthread_mutex_unlock(&queue->connection->mutex);
}

PyObject *queue_send(PyObject *self, PyObject *args)
{
    struct queue *queue = (struct queue *)self;
    ipp_request_t request;
    PyObject *buffers, *tag;
    struct lent lent;
    lend_collect();
    if (parse(args, &request, &buffers, &tag) < 0 || turn_take(queue->connection) < 0)
        return NULL;
    if (lend_buffers(&lent, buffers) < 0) {
        turn_leave(queue->connection);
        return NULL;
    }
    request.buffers = lent.at;
    request.buffer_count = lent.count;
    PyObject *object = with_turn(queue, &request, lend_bytes(&lent), tag);
    lend_forget(&lent);
    if (object && queue->waiter.urgency == BACKGROUND)
        hold(queue, object);
    return object;
}
