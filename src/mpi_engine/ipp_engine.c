/* SPDX-License-Identifier: BSD-3-Clause
 * ipp-engine: the command line, then libippmpi. */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "config.h"
#include "ippmpi.h"

/* Defined by libc too: hidden, it would not take its place. */
__attribute__((visibility("default"))) const char *argp_program_version =
    "ipp-engine (ippmpi) " PACKAGE_VERSION;

enum {
    OPT_CLUSTER_ID = 256,
    OPT_PROFILE,
    OPT_IP,
    OPT_CONNECTION_FILE,
    OPT_PYTHON,
    OPT_LOG_LEVEL,
    OPT_IDLE,
    OPT_PREFETCH,
    OPT_MAX_TASKS,
    OPT_SESSION,
    OPT_SCHEME,
    OPT_BIND,
    OPT_GROUP
};

static const struct argp_option option_table[] = {
    { "cluster-id", OPT_CLUSTER_ID, "ID", 0, "Name of the cluster, for several in one profile", 0 },
    { "profile", OPT_PROFILE, "NAME", 0,
      "IPython profile whose folder gets the connection file (default)", 0 },
    { "ip", OPT_IP, "ADDRESS", 0,
      "Address to listen on; without it only this host can connect (127.0.0.1)", 0 },
    { "connection-file", OPT_CONNECTION_FILE, "PATH", 0,
      "Where to write the connection file, instead of in the profile", 0 },
    { "python", OPT_PYTHON, "PATH", 0,
      "The python3 whose environment (prefix, venv, conda) engines use", 0 },
    { "log-level", OPT_LOG_LEVEL, "LEVEL", 0, "error, warning, notice, info or debug (notice)", 0 },
    { "idle-timeout", OPT_IDLE, "SECONDS", 0,
      "End the job after so many seconds without work (0: never)", 0 },
    { "prefetch", OPT_PREFETCH, "TASKS", 0,
      "Tasks an engine may hold at once, the running one included; 0: no limit (1)", 0 },
    { "max-tasks", OPT_MAX_TASKS, "TASKS", 0,
      "Tasks that may wait for an engine at once; more are refused (10000000)", 0 },
    { "session-timeout", OPT_SESSION, "SECONDS", 0,
      "How long the session of a steering client that is gone is kept (3600)", 0 },
    { "scheme", OPT_SCHEME, "NAME", 0,
      "How tasks choose among engines: leastload, lru, plainrandom, twobin, weighted or locality "
      "(leastload)",
      0 },
    { "bind", OPT_BIND, "core|numa|none", 0, "Bind each engine to a core or a NUMA node (none)",
      0 },
    { "group", OPT_GROUP, "NAME", 0,
      "Group of these engines; other ranks of the job may be of others (none)", 0 },
    { 0 }
};

static error_t read_count(struct argp_state *state, const char *option, const char *what,
                          const char *text, int *out)
{
    char *end;
    errno = 0;
    long count = strtol(text, &end, 10);
    if (errno || *end || end == text || count < 0 || count > 1000000000) {
        argp_error(state, "--%s=%s: not a number of %s", option, text, what);
        return EINVAL;
    }
    *out = (int)count;
    return 0;
}

static error_t read_bind(struct argp_state *state, ipp_options_t *options, const char *text)
{
    static const char *const names[] = {
        [IPP_BIND_NONE] = "none", [IPP_BIND_CORE] = "core", [IPP_BIND_NUMA] = "numa"
    };
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            options->bind = (enum ipp_bind)i;
            return 0;
        }
    argp_error(state, "--bind=%s: not core, numa or none", text);
    return EINVAL;
}

/* How long the others leave rank 0 to say what is wrong before they go. */
#define SPEAKER_MS 2000

/* Before MPI_Init launchers tell a rank by the environment: what is wrong is said once, not by each
 * rank. */
static bool speaks_for_the_job(void)
{
    static const char *const rank_names[] = { "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK",
                                              "SLURM_PROCID" };
    for (size_t i = 0; i < sizeof rank_names / sizeof *rank_names; i++) {
        const char *rank = getenv(rank_names[i]);
        if (rank)
            return strcmp(rank, "0") == 0;
    }
    return true;
}

static error_t read_option(int key, char *value, struct argp_state *state)
{
    ipp_options_t *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        if (!speaks_for_the_job())
            state->out_stream = state->err_stream = fopen("/dev/null", "w");
        return 0;
    case OPT_CLUSTER_ID:
        options->cluster_id = value;
        return 0;
    case OPT_PROFILE:
        options->profile = value;
        return 0;
    case OPT_IP:
        options->ip = value;
        return 0;
    case OPT_CONNECTION_FILE:
        options->connection_file = value;
        return 0;
    case OPT_PYTHON:
        options->python = value;
        return 0;
    case OPT_LOG_LEVEL:
        options->log_level = value;
        if (ipp_log_level_parse(value) >= 0)
            return 0;
        argp_error(state, "--log-level=%s: not error, warning, notice, info or debug", value);
        return EINVAL;
    case OPT_IDLE:
        return read_count(state, "idle-timeout", "seconds", value, &options->idle_timeout_s);
    case OPT_PREFETCH:
        return read_count(state, "prefetch", "tasks", value, &options->prefetch);
    case OPT_MAX_TASKS:
        return read_count(state, "max-tasks", "tasks", value, &options->max_tasks);
    case OPT_SESSION:
        return read_count(state, "session-timeout", "seconds", value, &options->session_timeout_s);
    case OPT_SCHEME:
        options->scheme = value;
        return 0;
    case OPT_BIND:
        return read_bind(state, options, value);
    case OPT_GROUP:
        options->group = value;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: ipp-engine takes options only", value);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp parser = { option_table,
                                        read_option,
                                        NULL,
                                        "Serves as bridge (rank 0), balancer (rank 1) or engine "
                                        "(all others) of an interactive cluster.\v"
                                        "Start it with MPI, two ranks more than engines: mpirun -n "
                                        "6 ipp-engine gives 4 engines. Clients connect with "
                                        "ipyparallel.Client(). SIGTERM ends the job in order.",
                                        NULL,
                                        NULL,
                                        NULL };
    ipp_options_t options = { .prefetch = 1 };
    argp_err_exit_status = 2;
    if (argp_parse(&parser, argc, argv, speaks_for_the_job() ? 0 : ARGP_NO_ERRS, NULL, &options)) {
        poll(NULL, 0, SPEAKER_MS); /* a launcher ends all ranks when one fails: let rank 0 be it */
        return argp_err_exit_status;
    }
    return ipp_serve(&argc, &argv, &options);
}
