/* SPDX-License-Identifier: BSD-3-Clause
 * The embedded interpreter, in the environment of the python3 that the user chose. */
#include "mpi_engine/python_buffers.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "mpi_engine/engine.h"

/* Where ippmpi.engine lies, from the folder of the program: installed, or in a build tree inside or
 * beside the source. */
static const char *const beside_program[] = { "../" IPP_PYTHON_FROM_BIN, "../python",
                                              "../../python", "../../../python" };

static bool holds_package(const char *folder)
{
    char file[PATH_MAX];
    int length = snprintf(file, sizeof file, "%s/ippmpi/engine/__init__.py", folder);
    return length < (int)sizeof file && access(file, R_OK) == 0;
}

static int find_package(char out[PATH_MAX], ipp_err_t *err)
{
    const char *chosen = getenv("IPPMPI_PYTHON");
    if (chosen) {
        snprintf(out, PATH_MAX, "%s", chosen);
        return holds_package(out)
                   ? 0
                   : ipp_err(err, ENOENT, "IPPMPI_PYTHON=%s holds no ippmpi/engine/__init__.py",
                             chosen);
    }
    char program[PATH_MAX / 2] = "", candidate[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    const char *folder = length > 0 ? dirname(program) : ".";
    for (size_t i = 0; i < sizeof beside_program / sizeof *beside_program; i++) {
        snprintf(candidate, sizeof candidate, "%s/%s", folder, beside_program[i]);
        if (holds_package(candidate) && realpath(candidate, out))
            return 0;
    }
    snprintf(out, PATH_MAX, "%s", IPP_PYTHON_DIR);
    return holds_package(out)
               ? 0
               : ipp_err(
                     err, ENOENT,
                     "the Python files of ippmpi are not in %s: install ippmpi completely, or name "
                     "their folder in IPPMPI_PYTHON",
                     IPP_PYTHON_DIR);
}

static int refuse(ipp_err_t *err, const char *python, const char *why)
{
    return ipp_err(
        err, ENOEXEC,
        "cannot start the Python environment of %s: %s; choose a python%d.%d with --python=PATH",
        python, why, PY_MAJOR_VERSION, PY_MINOR_VERSION);
}

/* An environment of another minor version would be found and half work: ask the interpreter itself.
 */
static int check_version(const char *python, ipp_err_t *err)
{
    char command[PATH_MAX + 128], answer[32] = "";
    if (access(python, X_OK) < 0)
        return refuse(err, python, strerror(errno));
    if (strchr(python, '\''))
        return refuse(err, python, "its path has a quote in it");
    snprintf(command, sizeof command,
             "'%s' -c 'import sys; print(\"%%d.%%d\" %% sys.version_info[:2])' 2>/dev/null",
             python);
    FILE *pipe = popen(command, "r");
    bool answered = pipe && fgets(answer, sizeof answer, pipe);
    if (pipe)
        pclose(pipe);
    answer[strcspn(answer, "\n")] = '\0';
    char own[32];
    snprintf(own, sizeof own, "%d.%d", PY_MAJOR_VERSION, PY_MINOR_VERSION);
    if (!answered)
        return refuse(err, python, "it does not run as a python3");
    if (strcmp(answer, own) != 0) {
        char why[96];
        snprintf(why, sizeof why, "it is Python %.16s, and this ipp-engine embeds %s", answer, own);
        return refuse(err, python, why);
    }
    return 0;
}

static int start_interpreter(const char *python, ipp_err_t *err)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, python);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        return refuse(err, python, status.err_msg ? status.err_msg : "it gave no reason");
    return 0;
}

static int append_path(const char *folder)
{
    PyObject *path = PySys_GetObject("path"); /* borrowed */
    PyObject *entry = PyUnicode_DecodeFSDefault(folder);
    int result = path && entry ? PyList_Append(path, entry) : -1;
    Py_XDECREF(entry);
    return result;
}

/* The last exception as one line, for those who read the job's log. */
static int python_failure(ipp_err_t *err)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    const char *words = text ? PyUnicode_AsUTF8(text) : NULL;
    ipp_err(err, ECHILD, "the engine's Python ended with %s: %s",
            type ? ((PyTypeObject *)type)->tp_name : "an error", words ? words : "");
    PyErr_Restore(type, value, traceback);
    PyErr_Print();
    Py_XDECREF(text);
    return -1;
}

int python_serve(struct engine *engine, ipp_err_t *err)
{
    char package[PATH_MAX];
    const char *chosen = engine->options->python, *python = chosen ? chosen : IPP_PYTHON3;
    if (find_package(package, err) < 0 || (chosen && check_version(python, err) < 0))
        return -1;
    if (python_module_register(engine) < 0)
        return ipp_err(err, ENOMEM, "no memory for Python's built-in module");
    if (start_interpreter(python, err) < 0)
        return -1;
    int result = 0;
    PyObject *module = append_path(package) == 0 ? PyImport_ImportModule("ippmpi.engine") : NULL;
    PyObject *none = module ? PyObject_CallMethod(module, "main", NULL) : NULL;
    if (!none)
        result = python_failure(err);
    Py_XDECREF(none);
    Py_XDECREF(module);
    Py_FinalizeEx();
    buffers_teardown();
    return result;
}
