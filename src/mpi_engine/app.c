/* SPDX-License-Identifier: BSD-3-Clause
 * An application's way into the job and out of it. */
#include "mpi_engine/app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "mpi_engine/world.h"

/* Two messages and no answers: what each has sent before is taken first. */
static void retire(struct engine *engine)
{
    struct link_envelope retired = { .kind = LINK_RETIRED, .engine = engine->id, .value = 1 };
    link_send(engine->link, 0, LINK_DATA, &retired, NULL);
    link_send(engine->link, 1, LINK_DATA, &retired, NULL);
    atomic_store(&engine->retired, true);
}

static bool not_ready(void *arg)
{
    const struct engine *engine = arg;
    return !atomic_load(&engine->ready) && !atomic_load(&engine->stopping);
}

static int open_application(ipp_t *ipp)
{
    ipp_err_t err = { "" };
    ipp->engine = engine_open(ipp->job.link, &ipp->options, &err);
    ipp->tasks = ipp->engine ? tasks_create(ipp) : NULL;
    if (!ipp->tasks) {
        ipp_log(IPP_LOG_ERROR, "%s", ipp->engine ? "no memory for tasks" : err.text);
        exit(1); /* the bridge sees this rank die */
    }
    engine_hello(ipp->engine, NULL);
    drive_while(ipp->engine->drive, not_ready, ipp->engine, -1);
    return 0;
}

int ipp_init(ipp_t **out, int *argc, char ***argv, const ipp_options_t *options)
{
    ipp_t *ipp = calloc(1, sizeof *ipp);
    *out = NULL;
    if (!ipp) {
        errno = ENOMEM;
        return -1;
    }
    if (options)
        ipp->options = *options;
    if (job_join(&ipp->job, argc, argv, &ipp->options, true) < 0) {
        free(ipp);
        errno = EINVAL;
        return -1;
    }
    *out = ipp;
    if (ipp->job.rank >= IPP_SERVICE_RANKS)
        return open_application(ipp);
    job_serve(&ipp->job, &ipp->options);
    return 0;
}

bool ipp_is_service(const ipp_t *ipp)
{
    return !ipp->engine;
}

MPI_Comm ipp_comm(const ipp_t *ipp)
{
    MPI_Comm comm = MPI_COMM_NULL;
    if (ipp->engine)
        world_store(&comm);
    return comm;
}

int ipp_finalize(ipp_t *ipp)
{
    if (!ipp)
        return 0;
    if (ipp->engine) {
        tasks_close(ipp->tasks);
        retire(ipp->engine);
        ipp->job.finalize = engine_close(ipp->engine);
        tasks_destroy(ipp->tasks, ipp->job.finalize);
    }
    int exit_code = job_leave(&ipp->job);
    free(ipp);
    return exit_code;
}
