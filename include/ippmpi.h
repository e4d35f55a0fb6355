/* SPDX-License-Identifier: BSD-3-Clause
 * libippmpi: interactive engines on MPI.
 *
 * One MPI job is one cluster: rank 0 is the bridge (sockets to clients), rank 1 the balancer, and
 * each further rank an engine whose id is its rank minus 2. */
#ifndef IPPMPI_H
#define IPPMPI_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IPP_API __attribute__((visibility("default")))

#define IPP_SERVICE_RANKS 2 /* bridge and balancer */
#define IPP_MIN_RANKS 3     /* and at least one engine */

/* Where an engine's threads may run. */
enum ipp_bind {
    IPP_BIND_NONE, /* leave it to the MPI launcher and the kernel */
    IPP_BIND_CORE, /* one core for each engine */
    IPP_BIND_NUMA, /* the cores of one NUMA node for each engine */
};

/* All strings are borrowed for the duration of the call; NULL means the default. Every rank must
 * pass the same, but for `group`. */
typedef struct ipp_options {
    const char *cluster_id; /* several clusters of one profile; default "" */
    const char *profile;    /* IPython profile; default "default" */
    const char *ip;         /* address the sockets listen on; default 127.0.0.1 */
    const char
        *connection_file;  /* default:
                              $IPYTHONDIR/profile_PROFILE/security/ipcontroller[-ID]-client.json */
    const char *python;    /* python3 whose environment engines use; default: as configured */
    const char *log_level; /* "error", "warning", "notice", "info" or "debug"; default "notice" */
    int idle_timeout_s;    /* end the job after so many seconds without work; 0: never */
    int prefetch;  /* tasks an engine may hold at once, the running one included; 0: no limit, or,
                      for  tasks of an application's, as many as suits how long they take */
    int max_tasks; /* that may wait for an engine at once; 0: 10,000,000 */
    int session_timeout_s; /* how long the session of a steering client that is gone is kept; 0: an
                              hour */
    const char *scheme;    /* how tasks choose among engines, as in ipp-engine(1); default
                              "leastload" */
    enum ipp_bind bind;
    const char *group; /* name by which clients address the engines that pass it: letters, digits,
                          '_', '-' and '.', a letter first, not "all"; default "": no group */
} ipp_options_t;

/* Joins the job and serves in the role of the own rank until the job ends: initialises MPI with
 * MPI_THREAD_MULTIPLE and finalises it. Collective over MPI_COMM_WORLD. Returns the process's exit
 * code: 0 after an orderly end, 1 when the cluster could not start or broke, 2 for options or a
 * number of ranks that make no sense; a line on stderr says why. */
IPP_API int ipp_serve(int *argc, char ***argv, const ipp_options_t *options);

/* ---- an application of its own ----
 *
 * Instead of ipp-engine's Python, the ranks from 2 on run the caller's program. Functions that
 * return int give 0, or -1 with errno; a rank's calls come from one thread, the one that called
 * ipp_init. */

typedef struct ipp ipp_t;

/* Joins the job, and waits until all ranks have: initialises MPI with MPI_THREAD_MULTIPLE where the
 * caller has not. Collective over MPI_COMM_WORLD. `options` are borrowed until ipp_finalize; NULL:
 * the defaults. Ranks 0 and 1 serve, and return from here only when the job ends: see
 * ipp_is_service. -1 after a line on stderr: EINVAL options or too few ranks, ENOTSUP this MPI was
 * initialised with less than MPI_THREAD_MULTIPLE, EIO the job cannot start. */
IPP_API int ipp_init(ipp_t **ipp, int *argc, char ***argv, const ipp_options_t *options);
/* True on ranks 0 and 1, when the job is over: all that is left to them is ipp_finalize. */
IPP_API bool ipp_is_service(const ipp_t *ipp);
/* The application's world: the ranks from 2 on, the survivors of them if one has died. It belongs
 * to the library. MPI_COMM_NULL on services. */
IPP_API MPI_Comm ipp_comm(const ipp_t *ipp);
/* Leaves the job, which ends when the last rank of the application has left. Finalises MPI where
 * ipp_init has initialised it. NULL is fine. Returns the process's exit code. */
IPP_API int ipp_finalize(ipp_t *ipp);

/* ---- tasks ----
 *
 * Any rank submits, ranks in ipp_task_serve run, and the balancer (rank 1) says where. Payload and
 * result are bytes. */

/* A type of task: what runs it, and the name by which clients ask for it. */
typedef struct ipp_task_type ipp_task_type_t;
/* A task that was submitted here; the handle is valid until ipp_task_free. */
typedef struct ipp_task ipp_task_t;
/* Where the function of a task puts what comes back. */
typedef struct ipp_task_output ipp_task_output_t;

/* Runs one task. `payload`: `size` bytes, aligned as malloc's, the library's, valid during the
 * call. May submit tasks, and wait for them. Returns 0, or what the submitter finds as `code` of a
 * task that has failed. */
typedef int (*ipp_task_fn)(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output,
                           void *arg);

/* Collective over ipp_comm: all ranks register the same names in the same order, and return when
 * all have. `fn` gets `arg`. NULL: EINVAL the name is empty, longer than 63 bytes, not UTF-8, known
 * already or not the same everywhere; ENOMEM; ECANCELED the job ends. */
IPP_API ipp_task_type_t *ipp_task_register(ipp_t *ipp, const char *name, ipp_task_fn fn, void *arg);

/* Which ends of other tasks count: bits. */
#define IPP_TASK_ANY 1     /* one of them is enough; else each is needed */
#define IPP_TASK_FAILURE 2 /* they have failed, were aborted, lost or refused */
#define IPP_TASK_SUCCESS 4 /* or IPP_TASK_OK; 0 means this alone */

/* Tasks of this rank's, not freed yet, that must have ended before. */
typedef struct ipp_task_needs {
    ipp_task_t *const *tasks; /* read during the call */
    size_t count;             /* 0: none */
    unsigned ends;            /* IPP_TASK_... */
} ipp_task_needs_t;

/* Ranks of ipp_comm as it was at the start. */
typedef struct ipp_task_ranks {
    const int *ranks; /* read during the call */
    size_t count;     /* 0: none are named */
} ipp_task_ranks_t;

/* Begin with IPP_TASK_OPTIONS: later versions add members. */
typedef struct ipp_task_options {
    int retries;              /* times the task is run again where it fails or its rank dies */
    int engine;               /* the only one to run it, a rank as in ipp_task_ranks_t; -1: any */
    int priority;             /* -1000 to 1000; the greater goes first */
    int width;                /* engines that run it at once, see ipp_task_comm; 0 and 1: one */
    int timeout_ms;           /* how long it may wait in the queue; 0: for ever */
    ipp_task_needs_t after;   /* runs after these */
    ipp_task_needs_t follow;  /* and these, on a rank where one of them ran */
    ipp_task_ranks_t targets; /* those that may run it, where `engine` names none; no count: any */
    ipp_task_ranks_t preferred; /* where it had better run: it does if one of them is free */
    const char *scheme; /* how it chooses among ranks, as ipp_options_t has it; NULL: as all do */
} ipp_task_options_t;
#define IPP_TASK_OPTIONS                                                                           \
    {                                                                                              \
        0, -1, 0, 1, 0, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0 }, { 0, 0 }, 0                            \
    }

/* Copies `payload` and queues the task. Tasks travel in batches: what was submitted leaves this
 * rank when enough of it is there, or with ipp_task_flush, _wait, _next or _serve. `options` NULL:
 * IPP_TASK_OPTIONS. `task` NULL: nobody waits for it, its result is dropped, and ipp_task_serve
 * tells whether it has failed. EINVAL negative retries, width or timeout, a priority out of range,
 * an engine that was never there, an unknown scheme, a NULL type; EMSGSIZE 2 GiB of payload or
 * more; ENOMEM; ECANCELED the job ends. */
IPP_API int ipp_task_submit(ipp_t *ipp, const ipp_task_type_t *type, const void *payload,
                            size_t size, const ipp_task_options_t *options, ipp_task_t **task);
IPP_API int ipp_task_flush(ipp_t *ipp);

enum ipp_task_status {
    IPP_TASK_OK,
    IPP_TASK_FAILED,  /* its function returned `code` */
    IPP_TASK_ABORTED, /* by ipp_task_cancel (`code`: what its function returned, 0 where it was not
                         called), or the job ended */
    IPP_TASK_LOST,    /* its rank died */
    IPP_TASK_REFUSED, /* `code` says why: ENOBUFS the queue is full, EHOSTUNREACH no rank is left
                         that may run it, ERANGE it is wider than there are, ETIMEDOUT, ECANCELED a
                         task that it needs has ended otherwise or elsewhere, ESRCH one is not
                         remembered any more */
};

typedef struct ipp_task_result {
    enum ipp_task_status status;
    int code;
    const void *data; /* aligned as malloc's; the task's, until ipp_task_free */
    size_t size;      /* bytes */
} ipp_task_result_t;

/* Waits until the task is done: 0 with *result (may be NULL). Inside a task's function the rank
 * runs other tasks meanwhile, which may wait too: the stack has to have room for them. Elsewhere it
 * sleeps. timeout_ms -1: for ever. ETIMEDOUT; ECANCELED
 * the job ends. */
IPP_API int ipp_task_wait(ipp_t *ipp, ipp_task_t *task, int timeout_ms, ipp_task_result_t *result);
/* The next task of this rank's that is done and was given neither by this nor by ipp_task_wait, in
 * the order in which they ended. NULL: ENOENT none is left, ETIMEDOUT, ECANCELED. */
IPP_API ipp_task_t *ipp_task_next(ipp_t *ipp, int timeout_ms, ipp_task_result_t *result);
/* It is not called where it has not been; where it runs, ipp_task_cancelled says so to it, and it
 * is not run again. It still ends, and has to be freed. */
IPP_API int ipp_task_cancel(ipp_t *ipp, ipp_task_t *task);
/* Forgets the task, whose result is dropped if it has none yet. NULL is fine. */
IPP_API void ipp_task_free(ipp_t *ipp, ipp_task_t *task);

/* Runs tasks. Collective over ipp_comm: returns on all ranks when all are here and no task is left
 * anywhere. Returns how many tasks that nobody waits for have failed in the whole job meanwhile;
 * -1: ECANCELED the job ends, EDEADLK it was called inside a task, ENOMEM. */
IPP_API long ipp_task_serve(ipp_t *ipp);

/* The same for the tasks of clients, which may come at any time: until the job ends (0). -1: as
 * above. Clients' tasks run in ipp_task_serve too. */
IPP_API int ipp_task_serve_clients(ipp_t *ipp);

/* Inside a task: the communicator of the ranks that run it together, in order of their ranks in
 * ipp_comm; with width 1 MPI_COMM_SELF. Collective: they make it the first time that they call
 * this, which all of them have to do. The library's, until the task's function returns. All of them
 * run the function with the same payload; the result is what rank 0 of it puts, and the task has
 * failed when it did on one of them. Where one of them dies, the task is lost, ipp_task_cancelled
 * tells the others, and what they call of MPI on it may not return. MPI_COMM_NULL outside of tasks,
 * and where MPI has failed. */
IPP_API MPI_Comm ipp_task_comm(const ipp_t *ipp);

/* Inside a task: whether it is not wanted any more, for ipp_task_cancel or a client has said so, or
 * the job ends. A function that takes long looks now and then, and returns early, with anything but
 * 0. */
IPP_API bool ipp_task_cancelled(const ipp_t *ipp);

/* Copies `size` bytes to be the result, in place of what was put before. */
IPP_API int ipp_task_put(ipp_task_output_t *output, const void *data, size_t size);
/* Room for a result of `size` bytes, to be filled in by the caller before its function returns.
 * NULL: ENOMEM. */
IPP_API void *ipp_task_room(ipp_task_output_t *output, size_t size);

/* Version as "MAJOR.MINOR.PATCH". */
IPP_API const char *ipp_version(void);

#ifdef __cplusplus
}
#endif

#endif
