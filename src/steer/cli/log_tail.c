/* SPDX-License-Identifier: BSD-3-Clause
 * The log of a cluster, read by tail(1). Both here and behind ssh a shell finds the file, as
 * IPython would find the profile; when its standard input ends, so does the tail. */
#include "steer/cli/log_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steer/cli/text.h"

static const char script[] =
    "d=${IPYTHONDIR:-$HOME/.ipython}; case $d in \"~\"|\"~/\"*) d=$HOME${d#\"~\"};; esac; "
    "f=$d/profile_$1/log/ipp-cluster${2:+-$2}.log; "
    "[ -r \"$f\" ] || { echo \"ipp-steer: there is no log $f on $(hostname): a batch job's is its "
    "output\" >&2; exit 1; }; "
    "[ \"$3\" = follow ] || exec tail -n 100 -- \"$f\"; "
    "tail -n 100 -f -- \"$f\" & cat >/dev/null; kill $!";

extern char **environ;

/* In single quotes, as any shell takes it. */
static void add_quoted(struct text *out, const char *word)
{
    text_add_string(out, " '");
    for (; *word; word++)
        text_print(out, *word == '\'' ? "'\\''" : "%c", *word);
    text_add_string(out, "'");
}

/* Runs `words` with pipes as its standard input and output. */
static int spawn(struct log_tail *tail, const char *const *words)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, code;
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        code = posix_spawnp(&tail->pid, words[0], &actions, NULL, (char *const *)words, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(out[1]);
    } else {
        code = errno;
    }
    close(in[0]);
    tail->in_fd = in[1];
    lines_start(&tail->lines, out[0]);
    return code;
}

int log_tail_start(struct log_tail *tail, const struct cli_options *options, ipp_err_t *err)
{
    const char *words[] = { "sh",
                            "-c",
                            script,
                            "sh",
                            options->profile ? options->profile : "default",
                            options->cluster_id ? options->cluster_id : "",
                            options->follow ? "follow" : "",
                            NULL };
    *tail = (struct log_tail){ 0 };
    struct text remote = { 0 };
    char *login = options->ssh ? cli_format("ssh://%s", options->ssh) : NULL;
    text_add_string(&remote, "exec sh -c");
    add_quoted(&remote, script);
    for (size_t i = 3; words[i]; i++)
        add_quoted(&remote, words[i]);
    const char *far[] = { "ssh", "-T", "--", login, remote.at, NULL };
    int code = spawn(tail, login ? far : words);
    free(login);
    text_clear(&remote);
    if (code == 0)
        return 0;
    tail->pid = 0;
    log_tail_stop(tail);
    return ipp_err(err, code, "cannot run %s: %s", options->ssh ? "ssh" : "sh", strerror(code));
}

bool log_tail_stop(struct log_tail *tail)
{
    int status = 0;
    bool ended = tail->lines.ended;
    if (tail->in_fd >= 0)
        close(tail->in_fd);
    if (tail->lines.fd >= 0)
        close(tail->lines.fd);
    if (tail->pid > 0 && !ended)
        kill(tail->pid, SIGTERM); /* ssh may be waiting for a host that is gone */
    while (tail->pid > 0 && waitpid(tail->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    lines_clear(&tail->lines);
    *tail = (struct log_tail){ .in_fd = -1, .lines = { .fd = -1 } };
    return !ended || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
