/* SPDX-License-Identifier: BSD-3-Clause
 * The job: MPI, the role of each rank, and the end. */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "mpi_engine/engine.h"
#include "mpi_engine/topology.h"
#include "mpi_engine/world.h"
#include "sched/balancer.h"
#include "sched/sched.h"
#include "steer/bridge/bridge.h"

/* MPI_Finalize takes milliseconds where all ranks are there. */
#define FINALIZE_SECONDS 5

const char *ipp_version(void)
{
    return PACKAGE_VERSION;
}

const char *job_mpi_flavour(void)
{
#if defined OPEN_MPI
    return "openmpi";
#elif defined MPICH_VERSION
    return "mpich";
#else
    return "other";
#endif
}

/* One line, from one rank. */
static int refuse(int rank, const char *text)
{
    if (rank == 0) {
        fprintf(stderr, "ipp-engine: %s\n", text);
        bridge_notify_failure(text);
    }
    return -1;
}

/* Ranks may name different groups, so all of them look, and the first that is wrong says so. */
static bool groups_are_fine(int rank, int size, const char *group)
{
    bool fine = !group || !*group || ipp_is_group(group);
    int wrong = fine ? size : rank, first;
    MPI_Allreduce(&wrong, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (rank == first)
        fprintf(stderr,
                "ipp-engine: --group=%s: not a name of letters, digits, '_', '-' and '.' that "
                "begins with a letter, or it is \"all\"\n",
                group);
    return first == size;
}

static int code_at_alarm;

static void give_up_on_mpi(int sig)
{
    (void)sig;
    _exit(code_at_alarm);
}

/* When a launcher kills some of the ranks while they leave, the others would wait in MPI_Finalize
 * for ever. */
static void finalize_in_time(int exit_code)
{
    code_at_alarm = exit_code;
    struct sigaction action = { .sa_handler = give_up_on_mpi };
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    alarm(FINALIZE_SECONDS);
    MPI_Finalize();
    alarm(0);
}

/* UCX, below MPICH, aborts the process that copies from or to a dead neighbour's memory; through
 * shared memory it does not. Who sets UCX_TLS knows better. */
static void prefer_survival(void)
{
    if (strcmp(job_mpi_flavour(), "mpich") == 0)
        setenv("UCX_TLS", "^cma", 0);
}

/* By this signal MPICH's launcher tells the others of a death, which they hear of by the bridge. */
static void survive_the_news(void)
{
    struct sigaction now;
    if (strcmp(job_mpi_flavour(), "mpich") == 0 && sigaction(SIGUSR1, NULL, &now) == 0 &&
        now.sa_handler == SIG_DFL)
        signal(SIGUSR1, SIG_IGN);
}

/* Thread level that MPI offers. */
static int start_mpi(struct job *job, int *argc, char ***argv)
{
    int provided;
    MPI_Initialized(&job->mpi_is_callers);
    if (job->mpi_is_callers) {
        MPI_Query_thread(&provided);
        return provided;
    }
    prefer_survival();
    MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided);
    return provided;
}

/* What engines are is the job's: collectives over their communicator need all of them. */
static bool kinds_agree(struct job *job, bool application)
{
    bool engine = job->rank >= IPP_SERVICE_RANKS;
    int kinds[2] = { engine && !application, engine && application };
    MPI_Allreduce(MPI_IN_PLACE, kinds, 2, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    job->application = kinds[1];
    return !(kinds[0] && kinds[1]);
}

static int check(struct job *job, int thread_level, const ipp_options_t *options, bool application)
{
    if (job->size < IPP_MIN_RANKS) {
        char text[200];
        snprintf(text, sizeof text,
                 "%d rank%s given, at least %d needed (bridge, balancer and one engine): mpirun -n "
                 "%d ipp-engine",
                 job->size, job->size == 1 ? "" : "s", IPP_MIN_RANKS, IPP_MIN_RANKS);
        return refuse(job->rank, text);
    }
    if (thread_level < MPI_THREAD_MULTIPLE)
        return refuse(job->rank,
                      job->mpi_is_callers
                          ? "MPI was initialised with less than MPI_THREAD_MULTIPLE, which engines "
                            "need"
                          : "this MPI library offers no MPI_THREAD_MULTIPLE, which engines need");
    if (options->scheme && !sched_policy_find(options->scheme)) {
        char text[200];
        snprintf(text, sizeof text,
                 "--scheme=%.64s: not leastload, lru, plainrandom, twobin, weighted or locality",
                 options->scheme);
        return refuse(job->rank, text);
    }
    if (!groups_are_fine(job->rank, job->size, options->group))
        return -1;
    if (!kinds_agree(job, application))
        return refuse(job->rank, "engines of ipp-engine and ranks of an application cannot be "
                                 "engines of one job");
    return 0;
}

int job_join(struct job *job, int *argc, char ***argv, const ipp_options_t *options,
             bool application)
{
    survive_the_news();
    int thread_level = start_mpi(job, argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &job->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &job->size);
    ipp_log_setup(STDERR_FILENO, "ipp-engine", job->rank,
                  (enum ipp_log_level)ipp_log_level_parse(options->log_level ? options->log_level
                                                                             : "notice"));
    if (check(job, thread_level, options, application) < 0) {
        if (!job->mpi_is_callers)
            MPI_Finalize();
        return -1;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    world_create(job->rank >= IPP_SERVICE_RANKS);
    ipp_err_t err = { "" };
    job->link = link_create(&err);
    if (!job->link) {
        ipp_log(IPP_LOG_ERROR, "%s", err.text);
        MPI_Abort(MPI_COMM_WORLD, 1); /* the others may be waiting in a collective */
    }
    stop_signals_install(job->link, job->rank < IPP_SERVICE_RANKS);
    return 0;
}

void job_serve(struct job *job, const ipp_options_t *options)
{
    bool own_core = topology_bind(job->link, -1, options->bind);
    job->finalize =
        job->rank == 0 ? bridge_run(job->link, options, own_core, stop_signal_seen, &job->exit_code)
                       : balancer_run(job->link, options, job->application, stop_signal_seen);
}

int job_leave(struct job *job)
{
    link_leaving(job->link);
    stop_signals_ignore();
    if (!job->finalize) {
        fflush(NULL);
        _exit(job->exit_code); /* MPI_Finalize would wait for the dead */
    }
    link_destroy(job->link);
    world_free();
    if (!job->mpi_is_callers)
        finalize_in_time(job->exit_code);
    return job->exit_code;
}

int ipp_serve(int *argc, char ***argv, const ipp_options_t *options)
{
    struct job job = { 0 };
    if (job_join(&job, argc, argv, options, false) < 0)
        return 2;
    if (job.rank < IPP_SERVICE_RANKS)
        job_serve(&job, options);
    else
        job.finalize = engine_run(job.link, options);
    return job_leave(&job);
}
