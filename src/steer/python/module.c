/* SPDX-License-Identifier: BSD-3-Clause
 * The extension module `ippmpi._steer`; python/ippmpi/_steer.pyi is its contract. */
#include "steer/python/steer_python.h"

PyTypeObject *connection_type, *queue_type, *request_type, *buffer_type;

static int add_type(PyObject *module, PyTypeObject **type, PyType_Spec *spec, const char *name)
{
    if (!*type)
        *type = (PyTypeObject *)PyType_FromSpec(spec);
    return *type ? PyModule_AddObjectRef(module, name, (PyObject *)*type) : -1;
}

static PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "ippmpi._steer",
                                  .m_doc = "libippsteer for Python threads", .m_size = -1 };

PyMODINIT_FUNC PyInit__steer(void);

__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__steer(void)
{
    static bool watching;
    if (!watching && fork_watch() != 0)
        return PyErr_NoMemory();
    watching = true;
    PyObject *module = PyModule_Create(&definition);
    if (module && (add_type(module, &connection_type, &connection_spec, "Connection") < 0 ||
                   add_type(module, &queue_type, &queue_spec, "Queue") < 0 ||
                   add_type(module, &request_type, &request_spec, "Request") < 0 ||
                   add_type(module, &buffer_type, &buffer_spec, "Buffer") < 0 ||
                   PyModule_AddIntConstant(module, "OK", IPP_OK) < 0 ||
                   PyModule_AddIntConstant(module, "ERROR", IPP_ERROR) < 0 ||
                   PyModule_AddIntConstant(module, "ABORTED", IPP_ABORTED) < 0))
        Py_CLEAR(module);
    return module;
}
