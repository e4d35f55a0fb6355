/* SPDX-License-Identifier: BSD-3-Clause
 * The verbs that only look: status, list, logs. */
#include "launch/launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static json_t *report(const struct state *state, enum condition condition)
{
    json_t *report = json_copy(state->record);
    json_object_del(report, "mark");
    json_object_set_new(report, "condition", json_string(life_condition_name(condition)));
    return report;
}

static void print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
}

static void print_line(const struct state *state, enum condition condition)
{
    char title[256];
    cluster_title(title, state->profile, state->cluster_id);
    printf("%s: %s, %d engines, started %.19sZ on %s, mpirun is process %ld\n", title,
           life_condition_name(condition), state->engines, state->started, state->host,
           (long)state->pid);
}

static void print_details(const struct state *state, enum condition condition)
{
    print_line(state, condition);
    printf("  connection file  %s\n  log              %s\n", state->connection_file,
           state->log_file);
    if (condition == CONDITION_GONE || condition == CONDITION_BROKEN)
        printf(
            "  it ended without being stopped: see ipp-cluster logs; ipp-cluster stop cleans up\n");
}

static int not_started(const struct options *options)
{
    char title[256];
    cluster_title(title, options->profile, options->cluster_id);
    if (options->json)
        print_json(json_pack("{s:s,s:s,s:s}", "profile", options->profile, "cluster_id",
                             options->cluster_id, "condition", "none"));
    else
        printf("%s: not started\n", title);
    return 1;
}

int verb_status(const struct options *options)
{
    ipp_err_t err;
    struct paths paths;
    struct state state;
    if (paths_find(&paths, options->profile, options->cluster_id, &err) < 0)
        return fail(&err);
    int result = state_read(&state, paths.state, &err), saved_errno = errno;
    paths_clear(&paths);
    if (result < 0)
        return saved_errno == ENOENT ? not_started(options) : fail(&err);
    enum condition condition = life_condition(&state);
    if (options->json)
        print_json(report(&state, condition));
    else
        print_details(&state, condition);
    state_clear(&state);
    return condition == CONDITION_RUNNING ? 0 : 1;
}

int verb_list(const struct options *options)
{
    ipp_err_t err;
    struct paths paths;
    struct state *states;
    if (paths_find(&paths, options->profile, options->cluster_id, &err) < 0)
        return fail(&err);
    size_t count = states_list(paths.root, &states);
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        enum condition condition = life_condition(&states[i]);
        if (options->json)
            json_array_append_new(all, report(&states[i], condition));
        else
            print_line(&states[i], condition);
    }
    if (options->json)
        print_json(json_incref(all));
    else if (count == 0)
        printf("no clusters below %s\n", paths.root);
    json_decref(all);
    states_free(states, count);
    paths_clear(&paths);
    return 0;
}

/* tail(1) does it; with --pid it ends when the cluster does. */
static void exec_tail(const char *log, int lines, bool follow, pid_t pid)
{
    char count[32], until[32];
    snprintf(count, sizeof count, "--lines=%d", lines);
    snprintf(until, sizeof until, "--pid=%ld", (long)pid);
    if (follow && pid > 0)
        execlp("tail", "tail", count, "--follow", until, "--", log, (char *)NULL);
    else
        execlp("tail", "tail", count, "--", log, (char *)NULL);
}

int verb_logs(const struct options *options)
{
    ipp_err_t err;
    struct paths paths;
    struct state state = { 0 };
    pid_t pid = 0;
    if (paths_find(&paths, options->profile, options->cluster_id, &err) < 0)
        return fail(&err);
    if (access(paths.log, R_OK) < 0) {
        ipp_err(&err, errno, "no log %s: %s", paths.log, strerror(errno));
    } else {
        if (state_read(&state, paths.state, NULL) == 0 && state_is_local(&state) &&
            proc_lives(state.pid, state.mark))
            pid = state.pid;
        exec_tail(paths.log, options->count, options->follow, pid);
        ipp_err(&err, errno, "cannot run tail(1): %s", strerror(errno));
    }
    state_clear(&state);
    paths_clear(&paths);
    return fail(&err);
}
