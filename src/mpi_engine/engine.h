/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of an engine share. The main thread runs user code; the comm thread does
 * everything else. */
#ifndef IPP_ENGINE_H
#define IPP_ENGINE_H

#include <pthread.h>

#include "link/link.h"
#include "mpi_engine/mpi_engine.h"
#include "mpi_engine/partials.h"
#include "mpi_engine/transfers.h"
#include "wire/wire.h"

/* A request on its way through the engine. */
struct request {
    struct request *next;
    struct link_envelope envelope;
    ipp_frames_t frames;           /* header parent metadata content buffers... */
    const struct wire_op_info *op; /* NULL: a batch of C tasks, LINK_RUN's frame */
    size_t id_end;                 /* of a broadcast's copy: see wire_copies_id */
    char started[IPP_DATE_LEN];    /* "" until it runs */
    struct reduction *reduction;   /* of a reduce_request, or where several engines run it
                                      together; else NULL */
    ipp_frame_t *gang;             /* ids (int32_t) of the engines that run it together; NULL: this
                                      one alone */
    bool answers;                  /* not where another engine does */
};

/* An engine's part in what several do and one of them answers: a reduction, or a wide task. */
struct reduction {
    const struct engine *engine;
    const char *method; /* in errors */
    struct partials_tree tree;
    uint32_t taken; /* a bit for each child that was heard */
    bool sent;      /* the parent has heard from here */
    bool met;       /* of a wide task: all have come, or one will not */
    bool over;      /* and so there is no end to tell of */
};

/* The engines that run the task at hand together. */
struct gang {
    uint64_t number; /* of the task */
    const int32_t *engines;
    size_t count;  /* 0: this one alone runs it */
    MPI_Comm comm; /* MPI_COMM_NULL: not asked for yet */
};

enum { FRAME_HEADER, FRAME_PARENT, FRAME_METADATA, FRAME_CONTENT, FRAME_BUFFERS };

struct engine {
    link_t *link;
    const ipp_options_t *options;
    int id, engines;
    char uuid[37];
    wire_headers_t *headers;
    struct metadata_forms *metadata;
    pthread_t main_thread;
    struct drive *drive;
    struct run_queue *queue;
    struct output *output;
    struct tasks *tasks; /* of an application; else NULL */
    struct gang gang;    /* main thread only */
    partials_t *partials;
    transfers_t *transfers; /* for who drives */
    pthread_mutex_t running_mutex;
    _Atomic uint64_t running; /* the request that is being run, whom an interrupt hits; 0: none */
    _Atomic uint64_t struck;  /* the last one that was interrupted */
    uint64_t doomed;          /* one that is to be interrupted as soon as it runs */
    _Atomic uint64_t taken_back; /* the last one that the balancer answers or has run elsewhere */
    _Atomic uint64_t unwanted;   /* the last one that its client has had interrupted */
    atomic_bool interrupted;     /* since the main thread last looked at its signals */
    atomic_bool ready;           /* so are all engines */
    atomic_bool main_done, stopping, retired;
    bool hello_sent; /* main thread only */
    bool finalize;   /* set before drive_join returns */
    char failure[256];
};

/* ---- run_queue.c: first in, first out, from who drives the link to the main thread ---- */
struct run_queue *run_queue_create(void);
void run_queue_destroy(struct run_queue *queue);
/* Wakes nobody: see run_queue_wake. */
void run_queue_push(struct run_queue *queue, struct request *request, bool in_front);
enum run_queue_event { QUEUE_REQUEST, QUEUE_CLOSED, QUEUE_NUDGED, QUEUE_EMPTY };
/* The next request (*request, the caller's from then on), the end, or a nudge, if there is one. */
enum run_queue_event run_queue_pop(struct run_queue *queue, struct request **request);
/* Waits for one of them. */
enum run_queue_event run_queue_await(struct run_queue *queue, struct request **request);
/* True when run_queue_pop would give something. */
bool run_queue_pending(struct run_queue *queue);
/* True when the main thread waits in run_queue_await for what is there. */
bool run_queue_awaited(struct run_queue *queue);
void run_queue_wake(struct run_queue *queue);
/* Has the main thread look up, wherever it waits. */
void run_queue_nudge(struct run_queue *queue);
/* Takes request number `id` off the queue, any when 0; NULL when there is none. What other engines
 * may have begun stays, and so do batches of tasks. */
struct request *run_queue_take(struct run_queue *queue, uint64_t id);
/* Takes whatever is left, batches too; NULL: nothing is. */
struct request *run_queue_take_any(struct run_queue *queue);
/* Whether request number `id` waits there, or was given by pop or await last, and not forgotten. */
bool run_queue_knows(struct run_queue *queue, uint64_t id);
void run_queue_forget_last(struct run_queue *queue);
void run_queue_close(struct run_queue *queue);

/* ---- request.c: messages made of requests ---- */
/* Moves the frames out of msg; NULL with errno EBADMSG when they are no request. */
struct request *request_new(const struct engine *engine, struct link_message *msg);
/* The same of a LINK_RUN. */
struct request *request_new_batch(struct link_message *msg);
void request_free(struct request *request);
/* Takes frame 0 off the message if it has this flag; else NULL. */
ipp_frame_t *request_frame_before(struct link_message *msg, uint16_t flag);
/* The one final answer; takes its references of `content` and `buffers`. Does not free the request.
 */
void request_reply(struct engine *engine, struct request *request, enum link_status status,
                   ipp_frame_t *content, ipp_frames_t *buffers);
void request_reply_error(struct engine *engine, struct request *request, const char *ename,
                         const char *text);
/* The content of such an answer; NULL: no memory. */
json_t *request_error(const struct engine *engine, const struct request *request, const char *ename,
                      const char *text);
/* {engine_uuid, engine_id, method}, as ipyparallel has it in errors. */
json_t *request_engine_info(const struct engine *engine, const struct request *request);
/* An iopub message whose parent is `parent`; takes content, metadata (NULL: {}) and buffers (may be
 * NULL). */
void request_publish(struct engine *engine, uint64_t number, ipp_frame_t *parent,
                     const char *msg_type, ipp_frame_t *content, ipp_frame_t *metadata,
                     ipp_frames_t *buffers);

/* ---- metadata.c: the metadata of replies ---- */
struct metadata_forms *metadata_forms_create(const char *uuid);
void metadata_forms_destroy(struct metadata_forms *forms); /* NULL is fine; keeps errno */
/* `content` (may be NULL) is read when `status` is LINK_ERROR. NULL: no memory. */
ipp_frame_t *metadata_of_reply(const struct engine *engine, const struct request *request,
                               enum link_status status, ipp_frame_t *content);

/* ---- reduction.c: the way to an engine's neighbours in the tree ---- */
/* `engines` ascend. NULL: no memory, or this engine is none of them. */
struct reduction *reduction_new(const struct engine *engine, const char *method, const int *engines,
                                size_t count);
/* The same, of a reduce_request's metadata. */
struct reduction *reduction_of_request(const struct engine *engine, ipp_frame_t *metadata);
/* Tells the parent, once; moves `frames` (content, buffers). -1: it is dead. */
int reduction_send(struct reduction *reduction, uint64_t number, int status, ipp_frames_t *frames);
/* Main thread: drives until the neighbour has spoken or died, *enough is true, there is something
 * to run (`or_work`), or ipp_now_ms gets to `deadline_ms` (-1: never). */
void reduction_wait(const struct reduction *reduction, uint64_t number, int neighbour,
                    const atomic_bool *enough, bool or_work, int64_t deadline_ms);
/* Nothing will come from this neighbour but what is here. */
bool reduction_lost(const struct reduction *reduction, int neighbour);
/* Moves out what a neighbour said; false while it has said nothing. */
bool reduction_take(struct reduction *reduction, uint64_t number, int neighbour, int *status,
                    ipp_frames_t *frames);
/* A parent that has heard nothing is told of an error. NULL is fine. */
void reduction_free(struct reduction *reduction, uint64_t number);

/* ---- output.c: what user code prints, by sys.stdout or by file descriptors 1 and 2 ---- */
struct output *output_create(struct engine *engine, ipp_err_t *err);
void output_destroy(struct output *output);
/* From now on output belongs to `request` (NULL: none runs; late output still belongs to the last
 * one). */
void output_attribute(struct output *output, const struct request *request);
void output_write(struct output *output, int which /* 1 stdout, 2 stderr */, const char *text,
                  size_t size);
/* Sends all that was written, by whatever way, up to now. */
void output_flush(struct output *output);
/* Who drives: sends what is due; returns ms until something will be, -1: nothing waits. `look`:
 * the pipes may have something, which costs system calls; without it they are read now and
 * then. */
int output_tick(struct output *output, bool look);
/* Sends one iopub message of the current request, after all output that precedes it. */
void output_publish(struct output *output, const char *msg_type, ipp_frame_t *content,
                    ipp_frame_t *metadata, ipp_frames_t *buffers);

/* From now on the main thread runs this request (the bridge's number; 0: none). */
void engine_set_running(struct engine *engine, uint64_t request);
/* Interrupts the request, now or, if it has just been taken off the queue, when it begins. 0:
 * whichever runs; does nothing when none does. */
void engine_interrupt(struct engine *engine, uint64_t request);
/* The request comes to be run: what was said of an earlier time that it was here is past. */
void engine_renew(struct engine *engine, uint64_t request);
/* Whether that has happened to the request that runs. */
bool engine_was_interrupted(struct engine *engine);

/* ---- tasks.c: C tasks of an application; see app.h ---- */
/* What LINK_RESULTS and LINK_QUIET bring; for who drives. */
void tasks_results(struct tasks *tasks, ipp_frame_t *frame);
void tasks_quiet(struct tasks *tasks, int failed);
/* This task, or those of this batch (LINK_RUN's frame), come to be run: what was said of an earlier
 * time that they were here is past. */
void tasks_renew(struct tasks *tasks, uint64_t number);
void tasks_renew_batch(struct tasks *tasks, ipp_frame_t *batch);
/* Those of the batch from `at` on will not be run here: who would run them together with this
 * engine is told. */
void tasks_abandon(struct tasks *tasks, ipp_frame_t *batch, size_t at);
/* The task is not wanted any more, or (`taken_back`) the balancer answers for it or has it run
 * elsewhere; 0: whichever runs. Any thread. */
void tasks_abort(struct tasks *tasks, uint64_t number, bool taken_back);

/* ---- drive.c: who drives the link. The main thread while it waits for a request, so that a
 * request costs no switch of threads; the comm thread while the main thread runs one for longer
 * than TAKE_OVER_NS ---- */
struct drive;
struct drive *drive_start(struct engine *engine, ipp_err_t *err);
/* Waits until the bridge has told this engine to leave. */
void drive_join(struct drive *drive);
/* Main thread: drives the link while busy(arg) is true, until the engine leaves or ipp_now_ms gets
 * to `deadline_ms` (-1: never). */
void drive_while(struct drive *drive, bool (*busy)(void *arg), void *arg, int64_t deadline_ms);
/* Main thread: waits for the next request as run_queue_await does, and drives the link meanwhile.
 */
enum run_queue_event drive_to_next_request(struct drive *drive, struct request **request);

/* ---- comm.c: what an engine does with messages ---- */
struct comm *comm_create(struct engine *engine);
void comm_destroy(struct comm *comm);
/* Moves messages, output and the end along; sleeps, at most so long, until there is something to
 * do. Only for who drives. */
void comm_step(struct comm *comm, int most_ms);
/* True when the bridge has told this engine to leave. */
bool comm_left(const struct comm *comm);

/* ---- python_embed.c ---- */
/* Runs user code until the queue closes. -1 with a text when Python cannot start. */
int python_serve(struct engine *engine, ipp_err_t *err);

/* ---- python_module.c ---- */
/* Makes `_ippmpi_engine` importable; before Py_Initialize. */
int python_module_register(struct engine *engine);

/* ---- job.c ---- */
/* "openmpi", "mpich" or "other". */
const char *job_mpi_flavour(void);

struct job {
    link_t *link;
    int rank, size;
    int mpi_is_callers;
    bool application; /* the engines are ranks of an application, not of ipp-engine */
    bool finalize;    /* at the end; without, somebody is dead or left behind */
    int exit_code;
};

/* Collective: all that comes before a rank's own role. `application`: this rank, as an engine,
 * would be one's. -1 when the job cannot start, said. */
int job_join(struct job *job, int *argc, char ***argv, const ipp_options_t *options,
             bool application);
/* Ranks 0 and 1: until the job ends. */
void job_serve(struct job *job, const ipp_options_t *options);
/* Returns the exit code, or ends the process where others cannot leave. */
int job_leave(struct job *job);

/* ---- engine.c ---- */
/* NULL with a text. The calling thread is the one that runs user code. */
struct engine *engine_open(link_t *link, const ipp_options_t *options, ipp_err_t *err);
/* Waits until the bridge says LINK_LEAVE; true to finalise MPI. */
bool engine_close(struct engine *engine);

struct engine_python {
    char version[32];
    char executable[1024];
    bool has_ipyparallel;
};

/* Tells the bridge that this engine can work; `python` NULL: as a rank of an application. */
void engine_hello(struct engine *engine, const struct engine_python *python);

#endif
