/* SPDX-License-Identifier: BSD-3-Clause
 * The Python type Request: answers and output of one request. */
#include "steer/python/steer_python.h"

#include <errno.h>
#include <string.h>

PyObject *request_create(struct queue *queue, struct call *call, PyObject *tag)
{
    struct request *request = PyObject_New(struct request, request_type);
    if (!request)
        return NULL;
    Py_INCREF((PyObject *)queue);
    Py_INCREF((PyObject *)queue->connection);
    Py_INCREF(tag);
    request->queue = queue;
    request->connection = queue->connection;
    request->tag = tag;
    request->call = call;
    call->object = (PyObject *)request;
    return (PyObject *)request;
}

static void request_dealloc(PyObject *self)
{
    struct request *request = (struct request *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (request->call && connection_is_ours(request->connection))
        call_drop(request->call);
    Py_XDECREF(request->tag);
    Py_XDECREF((PyObject *)request->queue);
    Py_XDECREF((PyObject *)request->connection);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *get_done(PyObject *self, void *unused)
{
    struct call *call = ((struct request *)self)->call;
    (void)unused;
    pthread_mutex_lock(&call->connection->mutex);
    bool done = call->done;
    pthread_mutex_unlock(&call->connection->mutex);
    return PyBool_FromLong(done);
}

static PyObject *get_tag(PyObject *self, void *unused)
{
    PyObject *tag = ((struct request *)self)->tag;
    (void)unused;
    Py_INCREF(tag);
    return tag;
}

static PyObject *get_failure(PyObject *self, void *unused)
{
    struct call *call = ((struct request *)self)->call;
    (void)unused;
    if (!call->done || !call->failure)
        Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(call->failure, (Py_ssize_t)strlen(call->failure), "replace");
}

/* Memoryviews of `count` buffers that belong to `owner`. */
static PyObject *views(PyObject *owner, const ipp_buffer_t *buffers, size_t count)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *view = lend_view(owner, &buffers[i]);
        if (!view || PyList_Append(list, view) < 0)
            Py_CLEAR(list);
        Py_XDECREF(view);
    }
    return list;
}

static PyObject *text(const char *utf8)
{
    return PyUnicode_DecodeUTF8(utf8, (Py_ssize_t)strlen(utf8), "replace");
}

static PyObject *answer_tuple(PyObject *self, const ipp_answer_t *answer)
{
    return Py_BuildValue("(iiNN)", answer->engine, (int)answer->status,
                         text(answer->content ? answer->content : "{}"),
                         views(self, answer->buffers, answer->buffer_count));
}

static PyObject *answers(PyObject *self, PyObject *unused)
{
    struct call *call = ((struct request *)self)->call;
    (void)unused;
    if (!call->done)
        return PyErr_Format(PyExc_RuntimeError, "not all answers are there");
    size_t count = call->future ? ipp_future_count(call->future) : 0;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *answer = answer_tuple(self, ipp_future_answer(call->future, i));
        if (!answer || PyList_Append(list, answer) < 0)
            Py_CLEAR(list);
        Py_XDECREF(answer);
    }
    return list;
}

static PyObject *count(PyObject *self, PyObject *unused)
{
    struct request *request = (struct request *)self;
    (void)unused;
    if (turn_take(request->connection) < 0)
        return NULL;
    size_t number = request->call->future ? ipp_future_count(request->call->future) : 0;
    turn_leave(request->connection);
    return PyLong_FromSize_t(number);
}

static PyObject *output_tuple(const struct output *output)
{
    PyObject *buffers = PyList_New(0);
    for (size_t i = 0; buffers && i < output->count; i++) {
        const ipp_buffer_t *from = &output->buffers[i];
        PyObject *bytes = PyBytes_FromStringAndSize(from->data, (Py_ssize_t)from->size);
        if (!bytes || PyList_Append(buffers, bytes) < 0)
            Py_CLEAR(buffers);
        Py_XDECREF(bytes);
    }
    return Py_BuildValue("(iNNNNK)", output->engine, text(output->type), text(output->content),
                         text(output->metadata), buffers, (unsigned long long)output->lost);
}

static PyObject *take_outputs(PyObject *self, PyObject *unused)
{
    struct call *call = ((struct request *)self)->call;
    PyObject *list = PyList_New(0);
    (void)unused;
    while (list) {
        pthread_mutex_lock(&call->connection->mutex);
        struct output *output = STAILQ_FIRST(&call->outputs);
        if (output)
            STAILQ_REMOVE_HEAD(&call->outputs, link);
        pthread_mutex_unlock(&call->connection->mutex);
        if (!output)
            break;
        PyObject *tuple = output_tuple(output);
        output_free(output);
        if (!tuple || PyList_Append(list, tuple) < 0)
            Py_CLEAR(list);
        Py_XDECREF(tuple);
    }
    return list;
}

static PyObject *take_back(PyObject *self, int (*how)(ipp_future_t *, ipp_error_t *))
{
    struct request *request = (struct request *)self;
    struct ipp_error err = { "" };
    if (turn_take(request->connection) < 0)
        return NULL;
    bool done = request->call->done || !request->call->future;
    int failed = done ? 0 : how(request->call->future, &err);
    turn_leave(request->connection);
    if (failed)
        return raise_os_error(ECONNRESET, err.text);
    return PyBool_FromLong(!done);
}

static PyObject *cancel(PyObject *self, PyObject *unused)
{
    (void)unused;
    return take_back(self, ipp_future_cancel);
}

static PyObject *interrupt(PyObject *self, PyObject *unused)
{
    (void)unused;
    return take_back(self, ipp_future_interrupt);
}

static PyMethodDef methods[] = {
    { "answers", answers, METH_NOARGS,
      "[(engine, status, content, [memoryview, ...]), ...] by engine id; writable views" },
    { "count", count, METH_NOARGS, "how many engines have answered so far" },
    { "take_outputs", take_outputs, METH_NOARGS,
      "[(engine, type, content, metadata, [bytes, ...], lost), ...] since the last call" },
    { "cancel", cancel, METH_NOARGS, "ask to take it off the queues; False: it is done" },
    { "interrupt", interrupt, METH_NOARGS,
      "the same, and raise KeyboardInterrupt in it where it runs; False: it is done" },
    { NULL, NULL, 0, NULL }
};

static PyGetSetDef attributes[] = {
    { "done", get_done, NULL, "whether the last answer is there, or none will come", NULL },
    { "failure", get_failure, NULL, "why there is no last answer, or None", NULL },
    { "tag", get_tag, NULL, "what was given to Connection.send", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};

__extension__ static PyType_Slot slots[] = { { Py_tp_dealloc, (void *)request_dealloc },
                                             { Py_tp_methods, methods },
                                             { Py_tp_getset, attributes },
                                             { 0, NULL } };
PyType_Spec request_spec = { .name = "ippmpi._steer.Request",
                             .basicsize = sizeof(struct request),
                             .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             .slots = slots };
