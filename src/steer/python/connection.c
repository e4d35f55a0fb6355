/* SPDX-License-Identifier: BSD-3-Clause
 * The Python type Connection: opened, asked about, closed. */
#include "steer/python/steer_python.h"

#include <errno.h>

static PyObject *connection_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "where", "profile", "client", "timeout_ms", NULL };
    const char *where = NULL;
    ipp_steer_options_t options = { 0 };
    struct ipp_error err = { "" };
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zzzi:Connection", names, &where,
                                     &options.profile, &options.client, &options.timeout_ms))
        return NULL;
    ipp_steer_t *steer;
    Py_BEGIN_ALLOW_THREADS
    steer = ipp_steer_connect(where, &options, &err);
    Py_END_ALLOW_THREADS
    if (!steer)
        return PyErr_CheckSignals() < 0 ? NULL : raise_os_error(errno, err.text);
    struct connection *connection = PyObject_New(struct connection, type);
    if (!connection) {
        ipp_steer_close(steer);
        return NULL;
    }
    connection->steer = steer;
    connection->process = fork_count();
    connection->taken = connection->closed = false;
    connection->failure.text[0] = '\0';
    connection->failure_errno = 0;
    pthread_mutex_init(&connection->mutex, NULL);
    TAILQ_INIT(&connection->waiters);
    TAILQ_INIT(&connection->calls);
    TAILQ_INIT(&connection->dropped);
    return (PyObject *)connection;
}

/* By the holder of the turn, which nobody gets any more. */
static void end_waiting(struct connection *connection)
{
    struct waiter *waiter;
    pthread_mutex_lock(&connection->mutex);
    connection->closed = true;
    TAILQ_FOREACH(waiter, &connection->waiters, link)
    waiter_signal(waiter);
    pthread_mutex_unlock(&connection->mutex);
}

static PyObject *connection_close(PyObject *self, PyObject *unused)
{
    struct connection *connection = (struct connection *)self;
    (void)unused;
    if (!connection_is_ours(connection) || connection->closed)
        Py_RETURN_NONE;
    if (turn_take(connection) < 0)
        return NULL;
    pthread_mutex_lock(&connection->mutex);
    ipp_steer_t *steer = connection->steer;
    connection->steer = NULL; /* nobody wakes it any more */
    pthread_mutex_unlock(&connection->mutex);
    Py_BEGIN_ALLOW_THREADS
    ipp_steer_close(steer); /* all that is not answered gets done */
    end_waiting(connection);
    turn_sweep(connection);
    Py_END_ALLOW_THREADS
    lend_collect();
    Py_RETURN_NONE;
}

static void connection_dealloc(PyObject *self)
{
    struct connection *connection = (struct connection *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (connection_is_ours(connection)) {
        turn_sweep(connection);
        ipp_steer_close(connection->steer); /* no request is left: each has a reference */
        pthread_mutex_destroy(&connection->mutex);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *about(PyObject *self, PyObject *unused)
{
    struct connection *connection = (struct connection *)self;
    struct ipp_error err;
    (void)unused;
    if (turn_take(connection) < 0)
        return NULL;
    ipp_steer_progress(connection->steer, 0, &err); /* news that lie there; failures show later */
    const char *text = ipp_steer_about(connection->steer);
    PyObject *result = PyUnicode_FromString(text ? text : "{}");
    turn_leave(connection);
    return result;
}

static PyObject *engines(PyObject *self, PyObject *unused)
{
    struct connection *connection = (struct connection *)self;
    struct ipp_error err;
    size_t count;
    (void)unused;
    if (turn_take(connection) < 0)
        return NULL;
    ipp_steer_progress(connection->steer, 0, &err);
    const int *ids = ipp_steer_engines(connection->steer, &count);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *id = PyLong_FromLong(ids[i]);
        if (!id || PyList_Append(list, id) < 0)
            Py_CLEAR(list);
        Py_XDECREF(id);
    }
    turn_leave(connection);
    return list;
}

static PyObject *get_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct connection *)self)->closed);
}

static PyMethodDef methods[] = { { "about", about, METH_NOARGS,
                                   "the attach_reply's content, brought up to date: JSON" },
                                 { "engines", engines, METH_NOARGS, "ids of the living engines" },
                                 { "close", connection_close, METH_NOARGS,
                                   "end the session; what is not answered fails. Again: nothing" },
                                 { NULL, NULL, 0, NULL } };

static PyGetSetDef attributes[] = { { "closed", get_closed, NULL, "whether close() was called",
                                      NULL },
                                    { NULL, NULL, NULL, NULL, NULL } };

__extension__ static PyType_Slot slots[] = { { Py_tp_new, (void *)connection_new },
                                             { Py_tp_dealloc, (void *)connection_dealloc },
                                             { Py_tp_methods, methods },
                                             { Py_tp_getset, attributes },
                                             { 0, NULL } };
PyType_Spec connection_spec = { .name = "ippmpi._steer.Connection",
                                .basicsize = sizeof(struct connection),
                                .flags = Py_TPFLAGS_DEFAULT,
                                .slots = slots };
