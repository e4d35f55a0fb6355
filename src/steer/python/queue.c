/* SPDX-License-Identifier: BSD-3-Clause
 * The Python type Queue: where requests become ready, and where whoever waits for them drives. */
#include "steer/python/steer_python.h"

#include <errno.h>
#include <time.h>

#define LOOK_MS 1000 /* a signal that comes just before poll is not lost for longer */

enum found { FOUND_READY, FOUND_NUDGE, FOUND_NOTHING, FOUND_CLOSED, MAY_DRIVE, MUST_SLEEP };

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Microseconds until the deadline (-1: there is none), at least 0. */
static int64_t left_us(int64_t deadline)
{
    int64_t left = deadline < 0 ? -1 : deadline - now_us();
    return deadline >= 0 && left < 0 ? 0 : left;
}

/* ---- driving, without the GIL ---- */

/* Whether the driver goes on. */
static bool goes_on(struct queue *queue)
{
    struct connection *connection = queue->connection;
    pthread_mutex_lock(&connection->mutex);
    bool on = TAILQ_EMPTY(&queue->ready) && !queue->nudged && queue->outstanding > 0 &&
              !turn_wanted(connection, queue->waiter.urgency);
    bool sweep = !TAILQ_EMPTY(&connection->dropped);
    pthread_mutex_unlock(&connection->mutex);
    if (sweep)
        turn_sweep(connection);
    return on;
}

static int wait_ms(struct connection *connection, int64_t deadline)
{
    int ms = ipp_steer_timeout(connection->steer);
    int64_t left = left_us(deadline);
    if (ms < 0 || ms > LOOK_MS)
        ms = LOOK_MS;
    if (left >= 0 && left / 1000 < ms)
        ms = (int)((left + 999) / 1000);
    return ms;
}

/* Until the queue has something, somebody more urgent wants the turn, the deadline is there or a
 * signal may have come. -1: the connection is of no more use. */
static int drive(struct queue *queue, int64_t deadline)
{
    struct connection *connection = queue->connection;
    int arrived;
    do {
        arrived = ipp_steer_progress(connection->steer, wait_ms(connection, deadline),
                                     &connection->failure);
        if (arrived < 0)
            connection->failure_errno = errno;
    } while (arrived == 1 && goes_on(queue));
    return arrived;
}

/* ---- waiting ---- */

/* Under the mutex: what to do next. A request that is ready is taken off. */
static enum found find(struct queue *queue, struct call **call)
{
    struct connection *connection = queue->connection;
    *call = TAILQ_FIRST(&queue->ready);
    if (*call) {
        TAILQ_REMOVE(&queue->ready, *call, ready);
        (*call)->is_ready = false;
        return FOUND_READY;
    }
    if (queue->nudged) {
        queue->nudged = false;
        return FOUND_NUDGE;
    }
    if (connection->closed)
        return FOUND_CLOSED;
    if (queue->outstanding == 0)
        return queue->waiter.urgency == BACKGROUND ? MUST_SLEEP : FOUND_NOTHING;
    if (queue->waiter.granted || turn_try(connection))
        return MAY_DRIVE;
    turn_want(connection, &queue->waiter);
    return MUST_SLEEP;
}

static enum found look(struct queue *queue, struct call **call)
{
    struct connection *connection = queue->connection;
    bool pass_on = false;
    pthread_mutex_lock(&connection->mutex);
    enum found found = find(queue, call);
    if (found != MUST_SLEEP || queue->outstanding == 0)
        pass_on = turn_forget(connection, &queue->waiter) && found != MAY_DRIVE;
    pthread_mutex_unlock(&connection->mutex);
    if (pass_on)
        turn_leave(connection);
    return found;
}

static PyObject *taken(struct call *call)
{
    PyObject *object = call->object;
    if (call->held && call->done)
        call->held = false; /* the reference that was ours is the caller's now */
    else
        Py_INCREF(object);
    return object;
}

/* -1 with an exception. */
static int drive_a_while(struct queue *queue, int64_t deadline)
{
    struct connection *connection = queue->connection;
    int result;
    Py_BEGIN_ALLOW_THREADS
    result = drive(queue, deadline);
    turn_leave(connection);
    Py_END_ALLOW_THREADS
    if (result < 0 && queue->outstanding > 0 && TAILQ_EMPTY(&queue->ready)) {
        raise_os_error(connection->failure_errno, connection->failure.text);
        return -1;
    }
    return PyErr_CheckSignals();
}

/* NULL: go on waiting, or an exception. */
static PyObject *get_once(struct queue *queue, int64_t deadline, bool *finished)
{
    struct call *call;
    enum found found = look(queue, &call);
    *finished = true;
    if (found == FOUND_READY)
        return taken(call);
    if (found == FOUND_CLOSED) {
        connection_check(queue->connection);
        return NULL;
    }
    if (found == FOUND_NUDGE || found == FOUND_NOTHING)
        Py_RETURN_NONE;
    *finished = false;
    if (found == MAY_DRIVE)
        return drive_a_while(queue, deadline) < 0 ? (*finished = true, NULL) : NULL;
    if (!waiter_sleep(queue->connection, &queue->waiter, left_us(deadline)))
        *finished = PyErr_CheckSignals() < 0;
    return NULL;
}

/* No longer waits; passes on a turn that came too late. */
static void stop_waiting(struct queue *queue)
{
    pthread_mutex_lock(&queue->connection->mutex);
    bool granted = turn_forget(queue->connection, &queue->waiter);
    pthread_mutex_unlock(&queue->connection->mutex);
    if (granted)
        turn_leave(queue->connection);
    queue->busy = false;
}

static bool too_late(struct queue *queue, int64_t deadline)
{
    if (left_us(deadline) != 0)
        return false;
    pthread_mutex_lock(&queue->connection->mutex);
    bool late = TAILQ_EMPTY(&queue->ready);
    pthread_mutex_unlock(&queue->connection->mutex);
    return late;
}

static PyObject *queue_get(PyObject *self, PyObject *timeout)
{
    struct queue *queue = (struct queue *)self;
    double seconds = timeout == Py_None ? -1 : PyFloat_AsDouble(timeout);
    if (PyErr_Occurred())
        return NULL;
    if (!connection_is_ours(queue->connection)) {
        connection_check(queue->connection);
        return NULL;
    }
    if (queue->busy)
        return PyErr_Format(PyExc_RuntimeError, "another thread waits in this queue");
    int64_t deadline = seconds < 0 ? -1 : now_us() + (int64_t)(seconds * 1e6);
    bool finished = false;
    PyObject *result = NULL;
    queue->busy = true;
    while (!finished) {
        result = get_once(queue, deadline, &finished);
        if (!finished && too_late(queue, deadline)) {
            finished = true;
            Py_INCREF(Py_None);
            result = Py_None;
        }
    }
    stop_waiting(queue);
    lend_collect();
    return result;
}

static PyObject *queue_nudge(PyObject *self, PyObject *unused)
{
    struct queue *queue = (struct queue *)self;
    struct connection *connection = queue->connection;
    (void)unused;
    if (!connection_is_ours(connection))
        Py_RETURN_NONE;
    pthread_mutex_lock(&connection->mutex);
    queue->nudged = true;
    waiter_signal(&queue->waiter);
    if (!connection->closed && connection->steer)
        ipp_steer_wake(connection->steer);
    pthread_mutex_unlock(&connection->mutex);
    Py_RETURN_NONE;
}

static PyObject *get_outstanding(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((struct queue *)self)->outstanding);
}

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "connection", "background", NULL };
    PyObject *connection;
    int background = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|p:Queue", names, connection_type,
                                     &connection, &background))
        return NULL;
    struct queue *queue = PyObject_New(struct queue, type);
    if (!queue)
        return NULL;
    queue->outstanding = 0;
    queue->busy = queue->nudged = false;
    TAILQ_INIT(&queue->ready);
    Py_INCREF(connection);
    queue->connection = (struct connection *)connection;
    if (waiter_init(&queue->waiter, background ? BACKGROUND : CALLER) < 0)
        Py_CLEAR(queue);
    return (PyObject *)queue;
}

static void queue_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    waiter_free(&((struct queue *)self)->waiter);
    Py_XDECREF((PyObject *)((struct queue *)self)->connection);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    { "send", queue_send, METH_VARARGS,
      "send(type, channel, targets, content, metadata=None, buffers=None, output=False, tag=None): "
      "a Request, which gets ready here" },
    { "get", queue_get, METH_O,
      "get(timeout in seconds or None): the next request that is done or has output; None when "
      "there is none, or after nudge()" },
    { "nudge", queue_nudge, METH_NOARGS, "let get() return None; for any thread" },
    { NULL, NULL, 0, NULL }
};

static PyGetSetDef attributes[] = { { "outstanding", get_outstanding, NULL,
                                      "requests that are not done", NULL },
                                    { NULL, NULL, NULL, NULL, NULL } };

__extension__ static PyType_Slot slots[] = { { Py_tp_new, (void *)queue_new },
                                             { Py_tp_dealloc, (void *)queue_dealloc },
                                             { Py_tp_methods, methods },
                                             { Py_tp_getset, attributes },
                                             { 0, NULL } };
PyType_Spec queue_spec = { .name = "ippmpi._steer.Queue",
                           .basicsize = sizeof(struct queue),
                           .flags = Py_TPFLAGS_DEFAULT,
                           .slots = slots };
