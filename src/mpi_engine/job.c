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

/* One line, from one rank; then everybody leaves in order. */
static int refuse(int rank, const char *text)
{
    if (rank == 0) {
        fprintf(stderr, "ipp-engine: %s\n", text);
        bridge_notify_failure(text);
    }
    MPI_Finalize();
    return 2;
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

static int serve_role(link_t *link, const ipp_options_t *options)
{
    int rank = link_rank(link);
    int exit_code = 0;
    bool finalize, own_core = false;
    stop_signals_install(link, rank < IPP_SERVICE_RANKS);
    if (rank < IPP_SERVICE_RANKS)
        own_core = topology_bind(link, -1, options->bind);
    if (rank == 0)
        finalize = bridge_run(link, options, own_core, stop_signal_seen, &exit_code);
    else if (rank == 1)
        finalize = balancer_run(link, options, stop_signal_seen);
    else
        finalize = engine_run(link, options);
    link_leaving(link);
    stop_signals_ignore();
    if (!finalize) {
        fflush(NULL);
        _exit(exit_code); /* MPI_Finalize would wait for the dead */
    }
    link_destroy(link);
    world_free();
    finalize_in_time(exit_code);
    return exit_code;
}

/* UCX, below MPICH, aborts the process that copies from or to a dead neighbour's memory; through
 * shared memory it does not. Who sets UCX_TLS knows better. */
static void prefer_survival(void)
{
    if (strcmp(job_mpi_flavour(), "mpich") == 0)
        setenv("UCX_TLS", "^cma", 0);
}

int ipp_serve(int *argc, char ***argv, const ipp_options_t *options)
{
    int provided, rank, size;
    prefer_survival();
    MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    ipp_log_setup(STDERR_FILENO, "ipp-engine", rank,
                  (enum ipp_log_level)ipp_log_level_parse(options->log_level ? options->log_level
                                                                             : "notice"));
    if (size < IPP_MIN_RANKS) {
        char text[200];
        snprintf(text, sizeof text,
                 "%d rank%s given, at least %d needed (bridge, balancer and one engine): mpirun -n "
                 "%d ipp-engine",
                 size, size == 1 ? "" : "s", IPP_MIN_RANKS, IPP_MIN_RANKS);
        return refuse(rank, text);
    }
    if (provided < MPI_THREAD_MULTIPLE)
        return refuse(rank, "this MPI library offers no MPI_THREAD_MULTIPLE, which engines need");
    if (!groups_are_fine(rank, size, options->group)) {
        MPI_Finalize();
        return 2;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    world_create(rank >= IPP_SERVICE_RANKS);
    ipp_err_t err = { "" };
    link_t *link = link_create(&err);
    if (!link) {
        ipp_log(IPP_LOG_ERROR, "%s", err.text);
        MPI_Abort(MPI_COMM_WORLD, 1); /* the others may be waiting in a collective */
    }
    return serve_role(link, options);
}
