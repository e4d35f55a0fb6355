/* SPDX-License-Identifier: BSD-3-Clause
 * What Python sees of a reduction. */
#include "mpi_engine/python_buffers.h"

#include <string.h>

#include "mpi_engine/engine.h"
#include "mpi_engine/python_reduction.h"

/* How long at most the main thread waits without a look at Python's signals: those that come by
 * way of the bridge wake it at once. */
#define LOOK_MS 500

static struct reduction *part_of(struct request *request)
{
    if (!request->reduction)
        PyErr_SetString(PyExc_ValueError, "the request does not say which engines take part");
    return request->reduction;
}

PyObject *python_reduction_tree(struct request *request)
{
    const struct reduction *reduction = part_of(request);
    if (!reduction)
        return NULL;
    const struct partials_tree *tree = &reduction->tree;
    PyObject *children = PyList_New(tree->child_count);
    for (int i = 0; children && i < tree->child_count; i++) {
        PyObject *child = PyLong_FromLong(tree->children[i]);
        if (child)
            PyList_SET_ITEM(children, i, child);
        else
            Py_CLEAR(children);
    }
    if (!children)
        return NULL;
    return tree->parent < 0 ? Py_BuildValue("ON", Py_None, children)
                            : Py_BuildValue("iN", tree->parent, children);
}

PyObject *python_reduction_send(struct request *request, const char *status, PyObject *content,
                                PyObject *buffers)
{
    struct reduction *reduction = part_of(request);
    if (!reduction)
        return NULL;
    if (reduction->tree.parent < 0 || reduction->sent)
        return PyErr_Format(PyExc_ValueError, "there is nobody to send this to");
    enum link_status value = strcmp(status, "ok") == 0 ? LINK_OK : LINK_ERROR;
    ipp_frames_t frames = { 0 };
    ipp_frame_t *first = buffers_frame(content, BUFFERS_AFTER_USER_CODE);
    if (!first)
        return NULL;
    if (ipp_frames_push(&frames, first) < 0 ||
        buffers_frames(&frames, buffers, BUFFERS_AFTER_USER_CODE) < 0) {
        ipp_frames_clear(&frames);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    reduction_send(reduction, request->envelope.request, value, &frames); /* or it is dead */
    Py_END_ALLOW_THREADS
    Py_INCREF(Py_None);
    return Py_None;
}

/* ---- waiting ---- */

/* Takes the frames. */
static PyObject *told(int status, ipp_frames_t *frames)
{
    PyObject *result = NULL, *content = NULL, *buffers = NULL;
    if (frames->count > 0) {
        ipp_frame_t *first = frames->at[0];
        content =
            PyBytes_FromStringAndSize(ipp_frame_data(first), (Py_ssize_t)ipp_frame_size(first));
        buffers = content ? buffers_take(frames, 1) : NULL;
    } else {
        PyErr_SetString(PyExc_ValueError, "an engine sent a value of no frames");
    }
    if (buffers)
        result = Py_BuildValue("sOO", status == LINK_OK ? "ok" : "error", content, buffers);
    Py_XDECREF(content);
    Py_XDECREF(buffers);
    ipp_frames_clear(frames);
    return result;
}

PyObject *python_reduction_await(struct engine *engine, struct request *request, int child)
{
    struct reduction *reduction = part_of(request);
    if (!reduction)
        return NULL;
    uint64_t number = request->envelope.request;
    for (;;) {
        atomic_store(&engine->interrupted, false);
        if (PyErr_CheckSignals() < 0)
            return NULL;
        int status;
        ipp_frames_t frames;
        bool lost = reduction_lost(reduction, child); /* first: it may have spoken before */
        if (reduction_take(reduction, number, child, &status, &frames))
            return told(status, &frames);
        if (lost)
            Py_RETURN_NONE;
        Py_BEGIN_ALLOW_THREADS
        reduction_wait(reduction, number, child, &engine->interrupted, false,
                       ipp_now_ms() + LOOK_MS);
        Py_END_ALLOW_THREADS
    }
}
