/* SPDX-License-Identifier: BSD-3-Clause
 * Bytes between frames and Python objects, without copies where they are large. */
#ifndef IPP_PYTHON_BUFFERS_H
#define IPP_PYTHON_BUFFERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/base.h"

/* Makes the types ready; -1 with a Python exception. */
int buffers_setup(void (*nudge)(void *arg), void *arg);

/* After the interpreter's end: nobody is nudged any more, and what is still borrowed is left alone.
 */
void buffers_teardown(void);

/* Bytes of a small frame, a read-only memoryview of a large one, which lives as long as any view of
 * it. New reference. */
PyObject *buffers_view(ipp_frame_t *frame);

/* Takes the references of frames[first..], which end there, for a list of memoryviews that may be
 * written to: of the bytes themselves where nobody else has them, else of a copy. New reference;
 * NULL with a Python exception. */
PyObject *buffers_take(ipp_frames_t *frames, size_t first);

/* Whether user code goes on while the bytes are sent, and may change them. */
enum buffers_when { BUFFERS_AFTER_USER_CODE, BUFFERS_AMID_USER_CODE };

/* A frame with the bytes of a bytes-like object: large ones are borrowed, and the object is
 * released later by buffers_collect; amid user code only what cannot change is borrowed. NULL with
 * a Python exception. */
ipp_frame_t *buffers_frame(PyObject *object, enum buffers_when when);
/* The same for each object of a sequence. */
int buffers_frames(ipp_frames_t *frames, PyObject *sequence, enum buffers_when when);

/* True while something that can change is borrowed. Any thread, without the GIL. */
bool buffers_lent(void *unused);

/* Releases objects whose bytes have been sent; needs the GIL. Frames are dropped by threads that
 * must never wait for the GIL, so they only leave their objects here and nudge. */
void buffers_collect(void);

#endif
