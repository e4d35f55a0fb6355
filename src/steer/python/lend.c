/* SPDX-License-Identifier: BSD-3-Clause
 * Memory across the fence: Python's buffers lent to the library, and received bytes as buffers. */
#include "steer/python/steer_python.h"

#include <stdlib.h>

/* A view that the library works with; released by whatever thread, given back with the GIL. */
struct loan {
    SLIST_ENTRY(loan) link;
    Py_buffer view;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static SLIST_HEAD(loans, loan) returned = SLIST_HEAD_INITIALIZER(returned);

static void on_release(void *data, void *arg)
{
    struct loan *loan = arg;
    (void)data;
    pthread_mutex_lock(&mutex);
    SLIST_INSERT_HEAD(&returned, loan, link);
    pthread_mutex_unlock(&mutex);
}

void lend_collect(void)
{
    pthread_mutex_lock(&mutex);
    struct loan *first = SLIST_FIRST(&returned);
    SLIST_INIT(&returned);
    pthread_mutex_unlock(&mutex);
    while (first) {
        struct loan *loan = first;
        first = SLIST_NEXT(loan, link);
        PyBuffer_Release(&loan->view);
        free(loan);
    }
}

static int lend_one(ipp_buffer_t *buffer, PyObject *object)
{
    struct loan *loan = calloc(1, sizeof *loan);
    if (!loan) {
        PyErr_NoMemory();
        return -1;
    }
    if (!object || PyObject_GetBuffer(object, &loan->view, PyBUF_C_CONTIGUOUS) < 0) {
        free(loan);
        return -1;
    }
    *buffer = (ipp_buffer_t){
        .data = loan->view.buf, .size = (size_t)loan->view.len, .release = on_release, .arg = loan
    };
    return 0;
}

int lend_buffers(struct lent *lent, PyObject *sequence)
{
    *lent = (struct lent){ 0 };
    Py_ssize_t count = sequence == Py_None ? 0 : PySequence_Size(sequence);
    if (count <= 0)
        return count < 0 ? -1 : 0;
    lent->at = calloc((size_t)count, sizeof *lent->at);
    if (!lent->at) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        int lost = lend_one(&lent->at[i], item);
        Py_XDECREF(item);
        if (lost) {
            for (size_t j = 0; j < lent->count; j++)
                on_release(NULL, lent->at[j].arg);
            lend_forget(lent);
            lend_collect();
            return -1;
        }
        lent->count++;
    }
    return 0;
}

void lend_forget(struct lent *lent)
{
    free(lent->at);
    *lent = (struct lent){ 0 };
}

size_t lend_bytes(const struct lent *lent)
{
    size_t bytes = 0;
    for (size_t i = 0; i < lent->count; i++)
        bytes += lent->at[i].size;
    return bytes;
}

/* ---- received bytes ---- */

struct buffer {
    PyObject_HEAD PyObject *owner;
    ipp_buffer_t bytes;
};

static void buffer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((struct buffer *)self)->owner);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int buffer_get(PyObject *self, Py_buffer *view, int flags)
{
    ipp_buffer_t *bytes = &((struct buffer *)self)->bytes;
    union {
        const void *lent;
        void *own;
    } data = { .lent = bytes->data }; /* the answer's and nobody else's: it may be written to */
    return PyBuffer_FillInfo(view, self, data.own, (Py_ssize_t)bytes->size, 0, flags);
}

/* ISO C has no way from a function to a void *; POSIX and CPython need one. */
__extension__ static PyType_Slot slots[] = { { Py_tp_dealloc, (void *)buffer_dealloc },
                                             { Py_bf_getbuffer, (void *)buffer_get },
                                             { 0, NULL } };
PyType_Spec buffer_spec = { .name = "ippmpi._steer.Buffer",
                            .basicsize = sizeof(struct buffer),
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                            .slots = slots };

PyObject *lend_view(PyObject *owner, const ipp_buffer_t *bytes)
{
    struct buffer *buffer = PyObject_New(struct buffer, buffer_type);
    if (!buffer)
        return NULL;
    Py_INCREF(owner);
    buffer->owner = owner;
    buffer->bytes = *bytes;
    PyObject *view = PyMemoryView_FromObject((PyObject *)buffer);
    Py_DECREF(buffer);
    return view;
}
