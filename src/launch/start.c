/* SPDX-License-Identifier: BSD-3-Clause
 * The verb start: mpirun in the background, in a session of its own, watched until the engines are
 * ready. */
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/wire.h"

#define LOG_TAIL_BYTES 4096
#define LOG_TAIL_LINES 15
#define LOOK_MS 500 /* how often to look for the connection file, see wait_ready */

extern char **environ;

struct start {
    const struct options *options;
    struct paths paths;
    char title[256];
    struct state state; /* {0} until mpirun runs */
    int lock, notify, mpirun, signals;
    int64_t begin_ms;
};

/* ---- before: folders, one start at a time, what runs already ---- */

static int make_folders(const struct paths *paths, ipp_err_t *err)
{
    const char *const files[] = { paths->state, paths->log, paths->connection };
    ipp_err_t why;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (ipp_private_folders(files[i], &why) < 0)
            return ipp_err(err, errno, "%s (IPYTHONDIR can name another)", why.text);
    return 0;
}

/* Held until this process ends: two starts of one profile must not both find nothing running. */
static void lock_profile(struct start *start)
{
    char *folder = strdup(start->paths.state);
    if (!folder)
        return;
    *strrchr(folder, '/') = '\0';
    start->lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (start->lock >= 0)
        flock(start->lock, LOCK_EX); /* some network file systems have no locks: then without */
    free(folder);
}

static int refuse(const struct start *start, const struct state *old, enum condition condition,
                  ipp_err_t *err)
{
    if (condition == CONDITION_ELSEWHERE)
        return ipp_err(err, EEXIST, "%s was started on %s: stop it there, or give --cluster-id",
                       start->title, old->host);
    return ipp_err(err, EEXIST,
                   "%s runs already (%d engines, process %ld): stop it, or give --cluster-id",
                   start->title, old->engines, (long)old->pid);
}

/* Refuses when the cluster runs; cleans up after one that has ended by itself. */
static int clear_the_way(struct start *start, ipp_err_t *err)
{
    struct state old;
    struct ending ending;
    int result = 0;
    if (state_read(&old, start->paths.state, err) < 0)
        return errno == ENOENT ? 0 : -1;
    enum condition condition = life_condition(&old);
    if (condition == CONDITION_GONE || condition == CONDITION_BROKEN) {
        life_end(&old, 0, &ending);
        life_forget(&old, &start->paths);
        if (ending.killed > 0)
            fprintf(stderr, "ipp-cluster: killed %zu processes that an earlier %s had left\n",
                    ending.killed, start->title);
    } else {
        result = refuse(start, &old, condition, err);
    }
    state_clear(&old);
    return result;
}

/* The file of a cluster that mpirun was started for by hand is not ours to overwrite while its
 * bridge lives. */
static int check_connection_file(struct start *start, ipp_err_t *err)
{
    wire_connection_t old = { 0 };
    if (wire_connection_read(start->paths.connection, &old, NULL) < 0)
        return 0;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    long pid = old.pid;
    bool lives = strcmp(old.location, host) == 0 && proc_is_program((pid_t)pid, "ipp-engine");
    wire_connection_clear(&old);
    if (lives)
        return ipp_err(err, EEXIST,
                       "%s: process %ld, not started by ipp-cluster, uses %s: give --cluster-id",
                       start->title, pid, start->paths.connection);
    wire_connection_remove(start->paths.connection);
    return 0;
}

static int prepare(struct start *start, ipp_err_t *err)
{
    const struct options *options = start->options;
    if (paths_find(&start->paths, options->profile, options->cluster_id, err) < 0 ||
        make_folders(&start->paths, err) < 0)
        return -1;
    lock_profile(start);
    if (clear_the_way(start, err) < 0)
        return -1;
    return check_connection_file(start, err);
}

/* ---- mpirun ---- */

/* Interrupts come as readable descriptors from here on; mpirun gets the old signal mask. */
static int block_signals(struct start *start, sigset_t *before, ipp_err_t *err)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, before);
    start->signals = signalfd(-1, &mask, SFD_CLOEXEC);
    if (start->signals < 0)
        return ipp_err(err, errno, "cannot make a signalfd: %s", strerror(errno));
    return 0;
}

/* Its standard streams are the log, its session is its own: it outlives this process and the
 * terminal. */
static int spawn(const char *const *argv, const char *log, const sigset_t *mask, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log,
                                     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, mask);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    int result = posix_spawn(pid, argv[0], &files, &attributes, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return result;
}

static const char **words(const json_t *array)
{
    size_t count = json_array_size(array);
    const char **argv = calloc(count + 1, sizeof *argv);
    for (size_t i = 0; argv && i < count; i++)
        argv[i] = json_string_value(json_array_get(array, i));
    return argv;
}

static int run(json_t *command, const char *log, const sigset_t *mask, pid_t *pid, ipp_err_t *err)
{
    const char **argv = words(command);
    if (!argv || !argv[0]) {
        free(argv);
        return ipp_err(err, ENOMEM, "out of memory");
    }
    int result = spawn(argv, log, mask, pid);
    if (result != 0)
        ipp_err(err, result, "cannot run %s with the log %s: %s", argv[0], log, strerror(result));
    free(argv);
    return result == 0 ? 0 : -1;
}

static int remember(struct start *start, json_t *command, const char *mark, pid_t pid,
                    ipp_err_t *err)
{
    char host[256] = "", date[IPP_DATE_LEN];
    const struct options *options = start->options;
    gethostname(host, sizeof host - 1);
    json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:I,s:O}", "profile",
                               options->profile, "cluster_id", options->cluster_id, "host", host,
                               "mark", mark, "started", ipp_date(date), "connection_file",
                               start->paths.connection, "log_file", start->paths.log, "engines",
                               options->count, "pid", (json_int_t)pid, "command", command);
    if (state_take(&start->state, record, start->paths.state, err) < 0)
        return -1;
    return state_write(&start->state, start->paths.state, err);
}

static int launch(struct start *start, json_t *command, ipp_err_t *err)
{
    char mark[37], notify_name[32];
    sigset_t mask;
    pid_t pid = 0;
    wire_uuid(mark);
    start->notify = notify_open(notify_name, err);
    if (start->notify < 0 || mpirun_environment(mark, notify_name, err) < 0 ||
        block_signals(start, &mask, err) < 0 ||
        run(command, start->paths.log, &mask, &pid, err) < 0)
        return -1;
    start->mpirun = proc_open_child(pid, mark);
    int result = remember(start, command, mark, pid, err);
    if (result < 0)
        proc_kill_marked(mark, 0);
    return result;
}

/* ---- until it is ready ---- */

enum outcome { READY, FAILED, ENDED, TIMED_OUT, INTERRUPTED };

static bool file_written(const struct start *start)
{
    wire_connection_t connection = { 0 };
    bool written = wire_connection_read(start->paths.connection, &connection, NULL) == 0;
    wire_connection_clear(&connection);
    return written;
}

/* The bridge's datagram tells; when it runs on another host, its connection file on the shared file
 * system does, and that has to be looked for, as no notification crosses NFS. */
static enum outcome wait_ready(const struct start *start, ipp_err_t *err)
{
    struct pollfd fds[] = { { .fd = start->notify, .events = POLLIN },
                            { .fd = start->mpirun, .events = POLLIN },
                            { .fd = start->signals, .events = POLLIN } };
    int64_t deadline = start->begin_ms + (int64_t)start->options->timeout_s * 1000;
    for (;;) {
        int64_t left = deadline - ipp_now_ms();
        if (poll(fds, 3, left < LOOK_MS ? (int)(left > 0 ? left : 0) : LOOK_MS) < 0 &&
            errno != EINTR)
            return ENDED;
        if (fds[2].revents)
            return INTERRUPTED;
        int news = fds[0].revents ? notify_read(start->notify, err) : 0;
        if (news < 0)
            return FAILED;
        if (news > 0 || file_written(start))
            return READY;
        if (fds[1].revents || start->mpirun < 0)
            return ENDED;
        if (left <= 0)
            return TIMED_OUT;
    }
}

static void print_log_tail(const char *path)
{
    char text[LOG_TAIL_BYTES + 1];
    FILE *log = fopen(path, "re");
    if (!log)
        return;
    if (fseek(log, -LOG_TAIL_BYTES, SEEK_END) < 0)
        rewind(log);
    size_t size = fread(text, 1, LOG_TAIL_BYTES, log);
    fclose(log);
    while (size > 0 && text[size - 1] == '\n')
        size--;
    text[size] = '\0';
    const char *from = text + size;
    for (int lines = 0; from > text && (from[-1] != '\n' || ++lines < LOG_TAIL_LINES); from--)
        ;
    if (size > 0)
        fprintf(stderr, "The last lines of %s:\n%s\n", path, from);
}

static void explain(const struct start *start, enum outcome outcome, const ipp_err_t *why)
{
    const char *title = start->title;
    if (outcome == FAILED)
        fprintf(stderr, "ipp-cluster: %s could not start: %s\n", title, why->text);
    else if (outcome == ENDED)
        fprintf(stderr, "ipp-cluster: %s ended before its engines were ready\n", title);
    else if (outcome == TIMED_OUT)
        fprintf(stderr,
                "ipp-cluster: %s was not ready after %d s and has been stopped; --timeout=SECONDS "
                "waits longer\n",
                title, start->options->timeout_s);
    else
        fprintf(stderr, "ipp-cluster: interrupted; %s has been stopped\n", title);
    if (outcome != INTERRUPTED)
        print_log_tail(start->paths.log);
}

static int give_up(struct start *start, enum outcome outcome, const ipp_err_t *why)
{
    struct ending ending;
    life_end(&start->state, start->options->grace_s * 1000, &ending);
    life_forget(&start->state, &start->paths);
    explain(start, outcome, why);
    return 1;
}

static void announce(const struct start *start)
{
    const char *profile = start->options->profile, *id = start->options->cluster_id;
    bool other_profile = strcmp(profile, "default") != 0;
    printf("%s: %d engines ready in %.1f s; ipyparallel.Client(", start->title,
           start->options->count, (double)(ipp_now_ms() - start->begin_ms) / 1000);
    if (other_profile)
        printf("profile='%s'%s", profile, id[0] ? ", " : "");
    if (id[0])
        printf("cluster_id='%s'", id);
    printf(") connects\n");
}

static int start_and_wait(struct start *start, ipp_err_t *err)
{
    if (start->options->count < 1) {
        ipp_err(err, EINVAL, "how many engines? At least one, for example: ipp-cluster start -n 4");
        return fail(err);
    }
    json_t *command = mpirun_command(start->options, err);
    int result = command && prepare(start, err) == 0 ? launch(start, command, err) : -1;
    json_decref(command);
    if (result < 0)
        return fail(err);
    if (start->lock >= 0) {
        close(start->lock);
        start->lock = -1;
    }
    enum outcome outcome = wait_ready(start, err);
    if (outcome != READY)
        return give_up(start, outcome, err);
    announce(start);
    return 0;
}

int verb_start(const struct options *options)
{
    ipp_err_t err = { "" };
    struct start start = { .options = options,
                           .lock = -1,
                           .notify = -1,
                           .mpirun = -1,
                           .signals = -1,
                           .begin_ms = ipp_now_ms() };
    cluster_title(start.title, options->profile, options->cluster_id);
    int result = start_and_wait(&start, &err);
    const int fds[] = { start.lock, start.notify, start.mpirun, start.signals };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    state_clear(&start.state);
    paths_clear(&start.paths);
    return result;
}
