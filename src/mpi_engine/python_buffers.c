/* SPDX-License-Identifier: BSD-3-Clause
 * Frames as Python buffers and the other way round. */
#include "mpi_engine/python_buffers.h"

#include <pthread.h>

/* Below this a copy is cheaper than keeping an object alive across threads. */
#define BORROW_BYTES 16384

struct frame_object {
    PyObject_HEAD ipp_frame_t *frame;
};

struct borrowed {
    struct borrowed *next;
    bool may_change;
    Py_buffer view;
};

static struct {
    pthread_mutex_t mutex;
    struct borrowed *sent; /* to be released with the GIL */
    size_t may_change;     /* how many of those that are not sent yet */
    void (*nudge)(void *arg);
    void *arg;
} graveyard = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void frame_object_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ipp_frame_unref(((struct frame_object *)self)->frame);
    type->tp_free(self);
    Py_DECREF(type);
}

static int frame_object_buffer(PyObject *self, Py_buffer *view, int flags)
{
    ipp_frame_t *frame = ((struct frame_object *)self)->frame;
    return PyBuffer_FillInfo(view, self, ipp_frame_data(frame), (Py_ssize_t)ipp_frame_size(frame),
                             1, flags);
}

/* ISO C has no way from a function to a void *; POSIX and CPython need one. */
__extension__ static PyType_Slot frame_slots[] = { { Py_tp_dealloc, (void *)frame_object_free },
                                                   { Py_bf_getbuffer, (void *)frame_object_buffer },
                                                   { 0, NULL } };
static PyType_Spec frame_spec = { .name = "_ippmpi_engine.Frame",
                                  .basicsize = sizeof(struct frame_object),
                                  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  .slots = frame_slots };
static PyObject *frame_type;

int buffers_setup(void (*nudge)(void *arg), void *arg)
{
    graveyard.nudge = nudge;
    graveyard.arg = arg;
    frame_type = PyType_FromSpec(&frame_spec);
    return frame_type ? 0 : -1;
}

PyObject *buffers_view(ipp_frame_t *frame)
{
    struct frame_object *object = PyObject_New(struct frame_object, (PyTypeObject *)frame_type);
    if (!object)
        return NULL;
    object->frame = ipp_frame_ref(frame);
    PyObject *view = PyMemoryView_FromObject((PyObject *)object);
    Py_DECREF(object);
    return view;
}

static void bury(void *data, void *arg)
{
    struct borrowed *borrowed = arg;
    (void)data;
    pthread_mutex_lock(&graveyard.mutex);
    borrowed->next = graveyard.sent;
    graveyard.sent = borrowed;
    graveyard.may_change -= borrowed->may_change;
    if (graveyard.nudge)
        graveyard.nudge(graveyard.arg);
    pthread_mutex_unlock(&graveyard.mutex);
}

void buffers_teardown(void)
{
    pthread_mutex_lock(&graveyard.mutex);
    graveyard.nudge = NULL;
    pthread_mutex_unlock(&graveyard.mutex);
}

void buffers_collect(void)
{
    pthread_mutex_lock(&graveyard.mutex);
    struct borrowed *list = graveyard.sent;
    graveyard.sent = NULL;
    pthread_mutex_unlock(&graveyard.mutex);
    for (struct borrowed *next; list; list = next) {
        next = list->next;
        PyBuffer_Release(&list->view);
        PyMem_RawFree(list);
    }
}

/* Bytes, and what was received, also by way of a memoryview. A read-only view says nothing: others
 * may write. */
static bool never_changes(PyObject *object)
{
    if (PyMemoryView_Check(object))
        object = PyMemoryView_GET_BASE(object);
    return object && (PyBytes_Check(object) || Py_TYPE(object) == (PyTypeObject *)frame_type);
}

static ipp_frame_t *borrow(struct borrowed *borrowed, bool may_change)
{
    ipp_frame_t *frame =
        ipp_frame_adopt(borrowed->view.buf, (size_t)borrowed->view.len, bury, borrowed);
    if (!frame)
        return NULL;
    borrowed->may_change = may_change;
    pthread_mutex_lock(&graveyard.mutex);
    graveyard.may_change += may_change;
    pthread_mutex_unlock(&graveyard.mutex);
    return frame;
}

bool buffers_lent(void)
{
    pthread_mutex_lock(&graveyard.mutex);
    bool lent = graveyard.may_change > 0;
    pthread_mutex_unlock(&graveyard.mutex);
    return lent;
}

ipp_frame_t *buffers_frame(PyObject *object, enum buffers_when when)
{
    struct borrowed *borrowed = PyMem_RawCalloc(1, sizeof *borrowed);
    if (!borrowed || PyObject_GetBuffer(object, &borrowed->view, PyBUF_C_CONTIGUOUS) < 0) {
        PyMem_RawFree(borrowed);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return NULL;
    }
    size_t size = (size_t)borrowed->view.len;
    ipp_frame_t *frame;
    bool may_change = !never_changes(object);
    if (size >= BORROW_BYTES && (when == BUFFERS_AFTER_USER_CODE || !may_change)) {
        frame = borrow(borrowed, may_change);
        if (frame)
            return frame;
    } else {
        frame = ipp_frame_copy(borrowed->view.buf, size);
    }
    PyBuffer_Release(&borrowed->view);
    PyMem_RawFree(borrowed);
    if (!frame)
        PyErr_NoMemory();
    return frame;
}

int buffers_frames(ipp_frames_t *frames, PyObject *sequence, enum buffers_when when)
{
    PyObject *fast = PySequence_Fast(sequence, "buffers must be a sequence of bytes-like objects");
    if (!fast)
        return -1;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(fast); i++) {
        ipp_frame_t *frame = buffers_frame(PySequence_Fast_GET_ITEM(fast, i), when);
        result = frame ? ipp_frames_push(frames, frame) : -1;
        if (frame && result < 0)
            PyErr_NoMemory();
    }
    Py_DECREF(fast);
    return result;
}
