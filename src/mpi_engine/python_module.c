/* SPDX-License-Identifier: BSD-3-Clause
 * The built-in module `_ippmpi_engine`: what C offers to ippmpi.engine (see
 * python/ippmpi/engine/BUILTIN.md). No lock of C's is ever waited for with the GIL held. */
#include "mpi_engine/python_buffers.h"

#include <string.h>

#include "mpi_engine/engine.h"
#include "mpi_engine/python_reduction.h"
#include "mpi_engine/together.h"
#include "mpi_engine/world.h"

static struct engine *the_engine;

struct request_object {
    PyObject_HEAD struct request *request; /* NULL once answered */
};

/* Takes content and buffers. */
static void end_request(struct request *request, enum link_status status, ipp_frame_t *content,
                        ipp_frames_t *buffers)
{
    if (request->gang)
        together_reply(the_engine, request, status, content, buffers);
    else
        request_reply(the_engine, request, status, content, buffers);
}

/* ---- Request ---- */

static struct request *alive(PyObject *self)
{
    struct request *request = ((struct request_object *)self)->request;
    if (!request)
        PyErr_SetString(PyExc_ValueError, "this request has been answered");
    return request;
}

static PyObject *get_msg_type(PyObject *self, void *unused)
{
    (void)unused;
    struct request *r = alive(self);
    return r ? PyUnicode_FromString(r->op->request) : NULL;
}

static PyObject *get_frame(PyObject *self, void *index)
{
    struct request *r = alive(self);
    if (!r)
        return NULL;
    ipp_frame_t *frame = r->frames.at[(intptr_t)index];
    return PyBytes_FromStringAndSize(ipp_frame_data(frame), (Py_ssize_t)ipp_frame_size(frame));
}

static PyObject *get_buffers(PyObject *self, void *unused)
{
    (void)unused;
    struct request *r = alive(self);
    PyObject *list = r ? PyList_New(0) : NULL;
    for (size_t i = FRAME_BUFFERS; list && i < r->frames.count; i++) {
        PyObject *view = buffers_view(r->frames.at[i]);
        if (!view || PyList_Append(list, view) < 0)
            Py_CLEAR(list);
        Py_XDECREF(view);
    }
    return list;
}

static PyObject *take_buffers(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct request *r = alive(self);
    return r ? buffers_take(&r->frames, FRAME_BUFFERS) : NULL;
}

static PyObject *get_tree(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct request *r = alive(self);
    return r ? python_reduction_tree(r) : NULL;
}

static PyObject *send_partial(PyObject *self, PyObject *args)
{
    const char *status;
    PyObject *content, *buffers;
    struct request *r = alive(self);
    if (!r || !PyArg_ParseTuple(args, "sSO:send_partial", &status, &content, &buffers))
        return NULL;
    return python_reduction_send(r, status, content, buffers);
}

static PyObject *await_partial(PyObject *self, PyObject *child)
{
    struct request *r = alive(self);
    long engine = r ? PyLong_AsLong(child) : -1;
    if (PyErr_Occurred())
        return NULL;
    return python_reduction_await(the_engine, r, (int)engine);
}

static PyMethodDef request_methods[] = {
    { "reduction_tree", get_tree, METH_NOARGS,
      "(parent or None, [children]): this engine's place among those that take part" },
    { "send_partial", send_partial, METH_VARARGS,
      "send_partial(status, content, buffers): tell the parent" },
    { "await_partial", await_partial, METH_O,
      "(status, content, buffers) of a child; None: it died" },
    { "take_buffers", take_buffers, METH_NOARGS,
      "the buffers as memoryviews that may be written to; the request has them no more" },
    { NULL, NULL, 0, NULL }
};

static PyGetSetDef request_attributes[] = {
    { "msg_type", get_msg_type, NULL, "type of the request", NULL },
    { "header", get_frame, NULL, "bytes of a JSON object", (void *)FRAME_HEADER },
    { "metadata", get_frame, NULL, "bytes of a JSON object", (void *)FRAME_METADATA },
    { "content", get_frame, NULL, "bytes of a JSON object", (void *)FRAME_CONTENT },
    { "buffers", get_buffers, NULL, "the received bytes, read-only", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};

static void request_object_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    struct request *r = ((struct request_object *)self)->request;
    if (r) { /* dropped without an answer: it still gets one */
        json_t *error = request_error(the_engine, r, "EngineError", "the engine gave no answer");
        Py_BEGIN_ALLOW_THREADS
        end_request(r, LINK_ERROR, wire_json_frame_new(error), &(ipp_frames_t){ 0 });
        request_free(r);
        Py_END_ALLOW_THREADS
    }
    type->tp_free(self);
    Py_DECREF(type);
}

/* ISO C has no way from a function to a void *; POSIX and CPython need one. */
__extension__ static PyType_Slot request_slots[] = { { Py_tp_dealloc, (void *)request_object_free },
                                                     { Py_tp_getset, request_attributes },
                                                     { Py_tp_methods, request_methods },
                                                     { 0, NULL } };
static PyType_Spec request_spec = { .name = "_ippmpi_engine.Request",
                                    .basicsize = sizeof(struct request_object),
                                    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                    .slots = request_slots };
static PyObject *request_type;

/* ---- functions ---- */

/* Where user code's world communicator lies; NULL until somebody imported mpi4py. */
static void *world_handle;

/* Whether a package could be imported; without importing it. */
static bool has_package(const char *name)
{
    PyObject *util = PyImport_ImportModule("importlib.util");
    PyObject *spec = util ? PyObject_CallMethod(util, "find_spec", "s", name) : NULL;
    bool found = spec && spec != Py_None;
    Py_XDECREF(spec);
    Py_XDECREF(util);
    PyErr_Clear();
    return found;
}

static void say_hello(void)
{
    struct engine_python about = { .has_ipyparallel = has_package("ipyparallel") };
    PyObject *executable = PySys_GetObject("executable"); /* borrowed */
    const char *path =
        executable && PyUnicode_Check(executable) ? PyUnicode_AsUTF8(executable) : NULL;
    snprintf(about.version, sizeof about.version, "%.*s", (int)strcspn(Py_GetVersion(), " "),
             Py_GetVersion());
    snprintf(about.executable, sizeof about.executable, "%s", path ? path : "");
    Py_BEGIN_ALLOW_THREADS
    engine_hello(the_engine, &about);
    Py_END_ALLOW_THREADS
}

/* Where several engines run it, all of them get together first; false: that has failed, which is
 * its answer. */
static bool begin(struct request *request)
{
    if (!request->gang)
        return true;
    size_t count = ipp_frame_size(request->gang) / sizeof(int32_t);
    if (together_begin(the_engine, request->reduction, request->envelope.request,
                       ipp_frame_data(request->gang), count))
        return true;
    request_reply_error(the_engine, request, "EngineError", TOGETHER_LOST_TEXT);
    request_free(request);
    return false;
}

static enum run_queue_event await_request(struct request **request)
{
    enum run_queue_event event;
    do {
        /* The next request may change what the last one's answer shows. */
        drive_while(the_engine->drive, buffers_lent, NULL, -1);
        event = drive_to_next_request(the_engine->drive, request);
    } while (event == QUEUE_REQUEST && !begin(*request));
    return event;
}

static PyObject *next_request(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    struct request *request;
    enum run_queue_event event;
    if (!the_engine->hello_sent)
        say_hello();
    do {
        Py_BEGIN_ALLOW_THREADS
        event = await_request(&request);
        Py_END_ALLOW_THREADS
        buffers_collect();
    } while (event == QUEUE_NUDGED);
    if (event == QUEUE_CLOSED)
        Py_RETURN_NONE;
    struct request_object *object =
        PyObject_New(struct request_object, (PyTypeObject *)request_type);
    if (!object)
        return NULL;
    object->request = request;
    if (world_handle && world_changed()) /* between requests: no user code uses it now */
        world_store(world_handle);
    ipp_date(request->started);
    Py_BEGIN_ALLOW_THREADS
    output_attribute(the_engine->output, request);
    engine_set_running(the_engine, request->envelope.request);
    Py_END_ALLOW_THREADS
    return (PyObject *)object;
}

static int parse_status(const char *name)
{
    return strcmp(name, "ok") == 0        ? LINK_OK
           : strcmp(name, "error") == 0   ? LINK_ERROR
           : strcmp(name, "aborted") == 0 ? LINK_ABORTED
                                          : -1;
}

static PyObject *reply(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *content, *buffers;
    const char *status_name;
    if (!PyArg_ParseTuple(args, "O!sSO:reply", request_type, &object, &status_name, &content,
                          &buffers))
        return NULL;
    int status = parse_status(status_name);
    struct request *request = alive(object);
    if (!request || status < 0)
        return request ? PyErr_Format(PyExc_ValueError, "no such status: %s", status_name) : NULL;
    ipp_frames_t frames = { 0 };
    ipp_frame_t *content_frame = buffers_frame(content, BUFFERS_AFTER_USER_CODE);
    if (!content_frame || buffers_frames(&frames, buffers, BUFFERS_AFTER_USER_CODE) < 0) {
        ipp_frame_unref(content_frame);
        ipp_frames_clear(&frames);
        return NULL;
    }
    ((struct request_object *)object)->request = NULL;
    Py_BEGIN_ALLOW_THREADS
    engine_set_running(the_engine, 0);
    output_flush(the_engine->output);
    end_request(request, (enum link_status)status, content_frame, &frames);
    request_free(request);
    Py_END_ALLOW_THREADS
    buffers_collect();
    Py_RETURN_NONE;
}

static PyObject *publish(PyObject *module, PyObject *args)
{
    (void)module;
    const char *msg_type;
    PyObject *content, *metadata, *buffers;
    if (!PyArg_ParseTuple(args, "sSSO:publish", &msg_type, &content, &metadata, &buffers))
        return NULL;
    ipp_frames_t frames = { 0 };
    ipp_frame_t *content_frame = buffers_frame(content, BUFFERS_AMID_USER_CODE);
    ipp_frame_t *metadata_frame = buffers_frame(metadata, BUFFERS_AMID_USER_CODE);
    char *type = strdup(msg_type);
    if (!content_frame || !metadata_frame || !type ||
        buffers_frames(&frames, buffers, BUFFERS_AMID_USER_CODE) < 0) {
        ipp_frame_unref(content_frame);
        ipp_frame_unref(metadata_frame);
        ipp_frames_clear(&frames);
        free(type);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    output_publish(the_engine->output, type, content_frame, metadata_frame, &frames);
    Py_END_ALLOW_THREADS
    free(type);
    buffers_collect(); /* a request may publish for days */
    Py_RETURN_NONE;
}

static PyObject *write_text(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name, *text;
    Py_ssize_t size;
    PyObject *string;
    if (!PyArg_ParseTuple(args, "sU:write", &name, &string))
        return NULL;
    PyObject *bytes =
        PyUnicode_AsEncodedString(string, "utf-8", "replace"); /* lone surrogates have no UTF-8 */
    if (!bytes)
        return NULL;
    text = PyBytes_AS_STRING(bytes);
    size = PyBytes_GET_SIZE(bytes);
    int which = strcmp(name, "stderr") == 0 ? 2 : 1;
    Py_BEGIN_ALLOW_THREADS
    output_write(the_engine->output, which, text, (size_t)size);
    Py_END_ALLOW_THREADS
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyObject *flush(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    output_flush(the_engine->output);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *was_interrupted(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyBool_FromLong(engine_was_interrupted(the_engine));
}

static PyObject *adopt_world(PyObject *module, PyObject *address)
{
    (void)module;
    void *handle = PyLong_AsVoidPtr(address);
    if (!handle)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no MPI_Comm at address 0");
    world_handle = handle;
    world_store(handle);
    Py_RETURN_NONE;
}

static PyObject *store_task_comm(PyObject *module, PyObject *address)
{
    (void)module;
    MPI_Comm *handle = PyLong_AsVoidPtr(address);
    if (!handle)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no MPI_Comm at address 0");
    MPI_Comm comm;
    Py_BEGIN_ALLOW_THREADS
    comm = together_comm(the_engine);
    Py_END_ALLOW_THREADS
    if (comm == MPI_COMM_NULL)
        return PyErr_Format(PyExc_RuntimeError, "MPI cannot make a communicator of the engines");
    *handle = comm;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    { "was_interrupted", was_interrupted, METH_NOARGS,
      "whether the request that runs has been interrupted" },
    { "next_request", next_request, METH_NOARGS,
      "wait for the next request; None: the engine ends" },
    { "reply", reply, METH_VARARGS,
      "reply(request, status, content, buffers): the one final answer" },
    { "publish", publish, METH_VARARGS,
      "publish(msg_type, content, metadata, buffers): an iopub message" },
    { "write", write_text, METH_VARARGS,
      "write(name, text): to stdout or stderr of the current request" },
    { "flush", flush, METH_NOARGS, "send what was written" },
    { "adopt_world", adopt_world, METH_O,
      "store the engines' communicator at the MPI_Comm at this address" },
    { "store_task_comm", store_task_comm, METH_O,
      "store the communicator of the engines that run this task at the MPI_Comm at this address" },
    { NULL, NULL, 0, NULL }
};

static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, .m_name = "_ippmpi_engine",
                                         .m_doc = "the C half of an ippmpi engine", .m_size = -1,
                                         .m_methods = functions };

/* The main thread waits in the queue or, driving, in the link. */
static void nudge(void *unused)
{
    (void)unused;
    run_queue_nudge(the_engine->queue);
    if (!pthread_equal(pthread_self(), the_engine->main_thread))
        link_wake(the_engine->link);
}

static PyObject *module_create(void)
{
    PyObject *module = PyModule_Create(&definition);
    request_type = PyType_FromSpec(&request_spec);
    if (!module || !request_type || buffers_setup(nudge, NULL) < 0 ||
        PyModule_AddIntConstant(module, "engine_id", the_engine->id) < 0 ||
        PyModule_AddIntConstant(module, "engines", the_engine->engines) < 0 ||
        PyModule_AddStringConstant(module, "uuid", the_engine->uuid) < 0 ||
        PyModule_AddStringConstant(module, "mpi", job_mpi_flavour()) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    Py_INCREF(request_type);
    if (PyModule_AddObject(module, "Request", request_type) < 0)
        Py_DECREF(request_type);
    return module;
}

int python_module_register(struct engine *engine)
{
    the_engine = engine;
    return PyImport_AppendInittab("_ippmpi_engine", module_create);
}
