/* SPDX-License-Identifier: BSD-3-Clause
 * Frames as Python buffers and the other way round. */
#include "mpi_engine/python_buffers.h"

#include <pthread.h>

/* Below this a copy is cheaper than keeping an object alive across threads. */
#define BORROW_BYTES 16384

struct frame_object {
    PyObject_HEAD ipp_frame_t *frame;
    bool writable;
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
    struct frame_object *object = (struct frame_object *)self;
    return PyBuffer_FillInfo(view, self, ipp_frame_data(object->frame),
                             (Py_ssize_t)ipp_frame_size(object->frame), !object->writable, flags);
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

/* Takes the reference `frame`. */
static PyObject *view_of(ipp_frame_t *frame, bool writable)
{
    struct frame_object *object = PyObject_New(struct frame_object, (PyTypeObject *)frame_type);
    if (!object) {
        ipp_frame_unref(frame);
        return NULL;
    }
    object->frame = frame;
    object->writable = writable;
    PyObject *view = PyMemoryView_FromObject((PyObject *)object);
    Py_DECREF(object);
    return view;
}

PyObject *buffers_view(ipp_frame_t *frame)
{
    size_t size = ipp_frame_size(frame);
    if (size < BORROW_BYTES)
        return PyBytes_FromStringAndSize(ipp_frame_data(frame), (Py_ssize_t)size);
    return view_of(ipp_frame_ref(frame), false);
}

/* Takes the reference `frame`. The link still has one while it passes the bytes on to other ranks.
 */
static PyObject *view_writable(ipp_frame_t *frame)
{
    if (ipp_frame_shared(frame)) {
        ipp_frame_t *copy = ipp_frame_copy(ipp_frame_data(frame), ipp_frame_size(frame));
        ipp_frame_unref(frame);
        if (!copy)
            return PyErr_NoMemory();
        frame = copy;
    }
    return view_of(frame, true);
}

PyObject *buffers_take(ipp_frames_t *frames, size_t first)
{
    size_t count = frames->count > first ? frames->count - first : 0;
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        ipp_frame_t *frame = frames->at[first + i];
        frames->at[first + i] = NULL;
        PyObject *view = view_writable(frame);
        if (view)
            PyList_SET_ITEM(list, (Py_ssize_t)i, view);
        else
            Py_CLEAR(list);
    }
    for (size_t i = 0; i < count; i++)
        ipp_frame_unref(frames->at[first + i]);
    frames->count -= count;
    return list;
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

/* Bytes, and what was received to be read, also by way of a memoryview. A read-only view says
 * nothing: others may write. */
static bool never_changes(PyObject *object)
{
    if (PyMemoryView_Check(object))
        object = PyMemoryView_GET_BASE(object);
    if (!object || PyBytes_Check(object))
        return object != NULL;
    return Py_TYPE(object) == (PyTypeObject *)frame_type &&
           !((struct frame_object *)object)->writable;
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

bool buffers_lent(void *unused)
{
    (void)unused;
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
