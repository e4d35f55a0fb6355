/* SPDX-License-Identifier: BSD-3-Clause
 * A reduction's part of the built-in module: all return a new reference, or NULL with a Python
 * exception. */
#ifndef IPP_PYTHON_REDUCTION_H
#define IPP_PYTHON_REDUCTION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

struct engine;
struct request;

/* (parent or None, [children]). */
PyObject *python_reduction_tree(struct request *request);
/* Sends a partial value, or an error, to the parent. */
PyObject *python_reduction_send(struct request *request, const char *status, PyObject *content,
                                PyObject *buffers);
/* Waits for what `child` says: (status, content, buffers), None when it died without a word. */
PyObject *python_reduction_await(struct engine *engine, struct request *request, int child);

#endif
