/* SPDX-License-Identifier: BSD-3-Clause
 * ipp-cluster: starts, stops and shows clusters of engines on this machine or in this batch job. */
#include "config.h"
#include "launch/launch.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 1000000
#define SECONDS_MAX 1000000

const char *argp_program_version = "ipp-cluster of " PACKAGE_STRING;

int fail(const ipp_err_t *err)
{
    fprintf(stderr, "ipp-cluster: %s\n", err->text);
    return 1;
}

/* ---- options ---- */

enum key {
    KEY_PROFILE = 256,
    KEY_CLUSTER_ID,
    KEY_JSON,
    KEY_ALL,
    KEY_TIMEOUT,
    KEY_GRACE,
    KEY_MPIRUN,
    KEY_MPIRUN_ARGS,
    KEY_ENGINE_PROGRAM,
    KEY_GROUP,
    KEY_ENGINE, /* first of those that are handed on to ipp-engine as they are */
};

#define WHICH                                                                                      \
    { "profile", KEY_PROFILE, "NAME", 0, "IPython profile (default)", 1 },                         \
    {                                                                                              \
        "cluster-id", KEY_CLUSTER_ID, "ID", 0, "one of several clusters of a profile", 1           \
    }
#define JSON_OPTION                                                                                \
    {                                                                                              \
        "json", KEY_JSON, NULL, 0, "print JSON", 0                                                 \
    }
#define GRACE_OPTION                                                                               \
    {                                                                                              \
        "grace", KEY_GRACE, "SECONDS", 0, "how long the engines may take to leave (10)", 0         \
    }
#define OPTIONS_END                                                                                \
    {                                                                                              \
        0                                                                                          \
    }

/* In the order of their keys, from KEY_ENGINE. */
static const char *const engine_options[] = { "ip",    "python",   "log-level", "idle-timeout",
                                              "bind",  "prefetch", "max-tasks", "session-timeout",
                                              "scheme" };
#define ENGINE_OPTION_COUNT ((int)(sizeof engine_options / sizeof *engine_options))

static const struct argp_option start_options[] = {
    { "engines", 'n', "N", 0, "how many engines (a bridge and a balancer come in addition)", 0 },
    { "group", KEY_GROUP, "NAME=N", 0, "have N of them be a group; may be given several times", 0 },
    { "timeout", KEY_TIMEOUT, "SECONDS", 0, "give up when they are not ready by then (60)", 0 },
    GRACE_OPTION,
    WHICH,
    { "ip", KEY_ENGINE, "ADDR", 0, "address the bridge listens on", 2 },
    { "python", KEY_ENGINE + 1, "PATH", 0, "python3 whose environment the engines have", 2 },
    { "log-level", KEY_ENGINE + 2, "LEVEL", 0, "error, warning, notice, info or debug", 2 },
    { "idle-timeout", KEY_ENGINE + 3, "SECONDS", 0,
      "end when nobody has asked for anything so long", 2 },
    { "bind", KEY_ENGINE + 4, "WHERE", 0, "bind each engine to a core, numa or none", 2 },
    { "prefetch", KEY_ENGINE + 5, "TASKS", 0, "tasks an engine may hold at once", 2 },
    { "max-tasks", KEY_ENGINE + 6, "TASKS", 0, "tasks that may wait for an engine at once", 2 },
    { "session-timeout", KEY_ENGINE + 7, "SECONDS", 0,
      "how long the session of a client that is gone is kept", 2 },
    { "scheme", KEY_ENGINE + 8, "NAME", 0, "how tasks choose among engines (leastload)", 2 },
    { "engine-program", KEY_ENGINE_PROGRAM, "PATH", 0,
      "ipp-engine (beside ipp-cluster, else in PATH)", 3 },
    { "mpirun", KEY_MPIRUN, "PATH", 0, "starter of this build's MPI (" IPP_MPIRUN ")", 3 },
    { "mpirun-args", KEY_MPIRUN_ARGS, "WORDS", 0,
      "more for its command line, quoted as for a shell", 3 },
    OPTIONS_END
};
static const struct argp_option stop_options[] = {
    { "all", KEY_ALL, NULL, 0, "all clusters of all profiles", 0 }, GRACE_OPTION, WHICH, OPTIONS_END
};
static const struct argp_option status_options[] = { JSON_OPTION, WHICH, OPTIONS_END };
static const struct argp_option list_options[] = { JSON_OPTION, OPTIONS_END };
static const struct argp_option logs_options[] = {
    { "follow", 'f', NULL, 0, "go on until the cluster ends", 0 },
    { "lines", 'n', "LINES", 0, "how many of the last lines (40)", 0 },
    WHICH,
    OPTIONS_END
};

static int number(struct argp_state *state, const char *option, const char *text, int most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 0 || value > most)
        argp_error(state, "%s %s: not a whole number from 0 to %d", option, text, most);
    return (int)value;
}

/* Appends "--option=value" to what ipp-engine is started with. */
static void hand_on(struct options *options, const char *option, const char *value)
{
    const size_t capacity = sizeof options->engine_args / sizeof *options->engine_args;
    char *word;
    if (options->engine_arg_count == capacity || asprintf(&word, "--%s=%s", option, value) < 0) {
        fprintf(stderr, "ipp-cluster: too many options for ipp-engine\n");
        exit(2);
    }
    options->engine_args[options->engine_arg_count++] = word;
}

static void add_group(struct options *options, struct argp_state *state, char *text)
{
    char *equals = strchr(text, '=');
    if (equals)
        *equals = '\0';
    if (!equals || !ipp_is_group(text))
        argp_error(state,
                   "--group %s: not NAME=N with a name of letters, digits, '_', '-' and '.' that "
                   "begins with a letter, and is not \"all\"",
                   text);
    for (size_t i = 0; i < options->group_count; i++)
        if (strcmp(options->groups[i].name, text) == 0)
            argp_error(state, "--group %s: it is there twice", text);
    int engines = number(state, "--group NAME=N, N", equals ? equals + 1 : "", COUNT_MAX);
    if (engines == 0)
        argp_error(state, "--group %s=0: a group has engines", text);
    struct group *groups =
        realloc(options->groups, (options->group_count + 1) * sizeof *options->groups);
    if (!groups) {
        argp_failure(state, 1, ENOMEM, "--group %s", text);
        return;
    }
    groups[options->group_count++] = (struct group){ text, engines };
    options->groups = groups;
}

/* Without -n there are no others than the groups'. */
static int count_engines(struct options *options)
{
    long grouped = 0;
    for (size_t i = 0; i < options->group_count; i++)
        grouped += options->groups[i].engines;
    if (options->group_count > 0 && options->count == 0)
        options->count = grouped < COUNT_MAX ? (int)grouped : COUNT_MAX;
    if (grouped <= options->count)
        return 0;
    fprintf(stderr, "ipp-cluster: -n %d: the groups are of %ld engines\n", options->count, grouped);
    return -1;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case KEY_PROFILE:
        options->profile = value;
        return 0;
    case KEY_CLUSTER_ID:
        options->cluster_id = value;
        return 0;
    case KEY_JSON:
        options->json = true;
        return 0;
    case KEY_ALL:
        options->all = true;
        return 0;
    case KEY_MPIRUN:
        options->mpirun = value;
        return 0;
    case KEY_MPIRUN_ARGS:
        options->mpirun_args = value;
        return 0;
    case KEY_ENGINE_PROGRAM:
        options->engine_program = value;
        return 0;
    case KEY_GROUP:
        add_group(options, state, value);
        return 0;
    case 'f':
        options->follow = true;
        return 0;
    case 'n':
        options->count = number(state, "-n", value, COUNT_MAX);
        return 0;
    case KEY_TIMEOUT:
        options->timeout_s = number(state, "--timeout", value, SECONDS_MAX);
        return 0;
    case KEY_GRACE:
        options->grace_s = number(state, "--grace", value, SECONDS_MAX);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "what is '%s'?", value);
        return 0;
    default:
        break;
    }
    if (key < KEY_ENGINE || key >= KEY_ENGINE + ENGINE_OPTION_COUNT)
        return ARGP_ERR_UNKNOWN;
    hand_on(options, engine_options[key - KEY_ENGINE], value);
    return 0;
}

/* ---- verbs ---- */

static const struct verb {
    const char *name;
    int (*run)(const struct options *options);
    const struct argp_option *options;
    int count; /* when -n is not given */
    const char *doc;
} verbs[] = {
    { "start", verb_start, start_options, 0,
      "start engines in the background and wait until they are ready" },
    { "stop", verb_stop, stop_options, 0, "end a cluster, in order if it can" },
    { "status", verb_status, status_options, 0,
      "say whether a cluster runs; exit code 0 when it does" },
    { "list", verb_list, list_options, 0, "show the clusters of all profiles" },
    { "logs", verb_logs, logs_options, 40, "print what a cluster has written" },
};
#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int usage(FILE *to, int code)
{
    fprintf(to, "Usage: ipp-cluster VERB [OPTION...]\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].doc);
    fprintf(to, "\nFirst steps:  ipp-cluster start -n 4\n"
                "              python3 -c 'import ipyparallel; print(ipyparallel.Client().ids)'\n"
                "              ipp-cluster stop\n"
                "Options of a verb:  ipp-cluster VERB --help\n");
    return code;
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    char name[32];
    static struct options options = {
        .profile = "default", .cluster_id = "", .timeout_s = 60, .grace_s = 10
    }; /* its strings are used until the end */
    const struct argp argp = { .options = verb->options, .parser = parse, .doc = verb->doc };
    snprintf(name, sizeof name, "ipp-cluster %s", verb->name);
    argv[0] = name;
    options.count = verb->count;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &options);
    if (count_engines(&options) < 0)
        return 2;
    hand_on(&options, "profile", options.profile);
    if (options.cluster_id[0])
        hand_on(&options, "cluster-id", options.cluster_id);
    return verb->run(&options);
}

int main(int argc, char **argv)
{
    argp_err_exit_status = 2;
    const char *word = argc > 1 ? argv[1] : "--help";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return usage(argc > 1 ? stdout : stderr, argc > 1 ? 0 : 2);
    if (strcmp(word, "--version") == 0) {
        puts(argp_program_version);
        return 0;
    }
    const struct verb *verb = find_verb(word);
    if (!verb) {
        fprintf(stderr, "ipp-cluster: no verb '%s'\n", word);
        return usage(stderr, 2);
    }
    return run_verb(verb, argc - 1, argv + 1);
}
