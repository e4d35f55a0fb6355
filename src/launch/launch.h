/* SPDX-License-Identifier: BSD-3-Clause
 * Private to launch: which cluster is meant, its record on disk, its processes, and the verbs. */
#ifndef IPP_LAUNCH_H
#define IPP_LAUNCH_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

/* ---- a verb's options, all set by argp (main.c); strings are borrowed from argv ---- */

struct options {
    const char *profile, *cluster_id; /* "default" and "" when not given */
    bool json, all, follow;
    int count; /* -n: engines to start, lines to print */
    int timeout_s, grace_s;
    const char *mpirun, *mpirun_args, *engine_program; /* NULL: look for them */
    const char *engine_args[16];                       /* passed on, "--ip=..." */
    size_t engine_arg_count;
    struct group *groups;
    size_t group_count;
};

/* Some of the engines, which clients address by a name: they come last. */
struct group {
    const char *name;
    int engines;
};

/* Each returns the exit code of ipp-cluster. */
int verb_start(const struct options *options);
int verb_stop(const struct options *options);
int verb_status(const struct options *options);
int verb_list(const struct options *options);
int verb_logs(const struct options *options);

/* Prints "ipp-cluster: text" on stderr; returns 1, the exit code of failure. */
int fail(const ipp_err_t *err);

/* ---- paths.c ---- */

struct paths {
    char *root, *connection, *state, *log; /* root is $IPYTHONDIR */
};

int paths_find(struct paths *paths, const char *profile, const char *cluster_id, ipp_err_t *err);
void paths_clear(struct paths *paths);
/* The name for humans, "cluster 'x' of profile 'y'"; returns `out`. */
const char *cluster_title(char out[256], const char *profile, const char *cluster_id);

/* ---- state.c: what is remembered of a cluster that was started ---- */

struct state {
    json_t *record; /* owns the strings below */
    const char *profile, *cluster_id, *host, *mark, *started, *connection_file, *log_file;
    int engines;
    pid_t pid; /* of mpirun, on `host` */
};

/* Takes the reference. errno EBADMSG and a text that begins with `path` when a key is missing. */
int state_take(struct state *state, json_t *record, const char *path, ipp_err_t *err);
/* errno ENOENT when nothing is remembered. */
int state_read(struct state *state, const char *path, ipp_err_t *err);
int state_write(const struct state *state, const char *path, ipp_err_t *err);
void state_clear(struct state *state);
/* Whether this host started it: only then its pids mean anything here. */
bool state_is_local(const struct state *state);
/* How many there are below `root`, sorted by profile and id in *states (freed with states_free).
 * One that cannot be read is reported on stderr and left out. */
size_t states_list(const char *root, struct state **states);
void states_free(struct state *states, size_t count);

/* ---- proc.c: processes, never mistaken for later ones with the same pid ---- */

/* Every process of a cluster inherits this variable, whose value (state.mark) is unique. */
#define MARK_VARIABLE "IPPMPI_CLUSTER_MARK"

/* A pidfd for `pid` if it carries the mark, else -1 with errno ESRCH: it has ended, or is another
 * process by now. */
int proc_open(pid_t pid, const char *mark);
/* A pidfd for a child just spawned, once others can see its mark or it has ended. */
int proc_open_child(pid_t pid, const char *mark);
bool proc_lives(pid_t pid, const char *mark);
/* Whether the command line of a living process holds `name`. */
bool proc_is_program(pid_t pid, const char *name);
/* Waits for its end; false when it is still there after `timeout_ms`. */
bool proc_wait(int pidfd, int timeout_ms);
void proc_signal(int pidfd, int signal_number);
/* How many processes carry the mark (this one not counted). */
size_t proc_count_marked(const char *mark);
/* Waits up to `timeout_ms` for each to end by itself, kills what is left then; returns how many it
 * killed. */
size_t proc_kill_marked(const char *mark, int timeout_ms);

/* ---- mpirun.c: the command line ---- */

/* A new JSON array of strings: how mpirun starts ipp-engine here. NULL with a text that says what
 * is missing. */
json_t *mpirun_command(const struct options *options, ipp_err_t *err);
/* Sets what mpirun is to inherit; says so on stderr where that lifts Open MPI's refusal to run as
 * root. */
int mpirun_environment(const char *mark, const char *notify, ipp_err_t *err);

/* ---- notify.c: the sd_notify protocol, receiving end ---- */

/* An abstract datagram socket; `name` gets what NOTIFY_SOCKET has to say. -1 with a text. */
int notify_open(char name[32], ipp_err_t *err);
/* Reads one waiting datagram of our own user: 1 ready, 0 nothing new, -1 the start has failed, with
 * its text. */
int notify_read(int fd, ipp_err_t *err);

/* ---- life.c: what a record means now, and ending it ---- */

enum condition {
    CONDITION_RUNNING,
    CONDITION_STARTING,  /* mpirun lives, no connection file yet */
    CONDITION_BROKEN,    /* mpirun is gone, other processes of the cluster are not */
    CONDITION_GONE,      /* nothing lives; the record is stale */
    CONDITION_ELSEWHERE, /* another host's: unknown */
};
enum condition life_condition(const struct state *state);
const char *life_condition_name(enum condition condition);

struct ending {
    bool orderly;  /* it left by itself when asked */
    size_t killed; /* processes that had to be killed */
    double seconds;
};
/* Asks the bridge to leave, then mpirun, then kills; nothing of the cluster lives when it returns.
 */
void life_end(const struct state *state, int grace_ms, struct ending *ending);
/* Removes its record and connection file. */
void life_forget(const struct state *state, const struct paths *paths);

#endif
