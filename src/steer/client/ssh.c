/* SPDX-License-Identifier: BSD-3-Clause
 * Tunnels of OpenSSH: one login fetches the connection file and stays as the tunnel, whose near end
 * is a local socket in a folder of ours. It ends with its standard input, so with us. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_MS 2000
#define FILE_MARK "IPPMPI-FILE\n"
#define END_MARK "\nIPPMPI-END\n"
#define MISSING_MARK "IPPMPI-MISSING "
#define UP_MARK "IPPMPI-UP\n"
#define MOST_OUTPUT ((size_t)2 << 20)
#define MOST_WORDS 40

struct tunnel {
    struct ssh_url url;
    char *folder, *socket, *control, *target; /* target: HOST:PORT as the far side calls it */
    pid_t pid;                                /* 0: none */
    int in_fd, out_fd, err_fd;
    char *output; /* what it has printed, and ends with a NUL */
    size_t output_size;
};

extern char **environ;

/* ---- words of a command ---- */

struct words {
    char *at[MOST_WORDS];
    size_t count;
    bool bad;
};

static void add(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct words *words, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (words->count + 1 >= MOST_WORDS || vasprintf(&words->at[words->count], format, args) < 0)
        words->bad = true;
    else
        words->at[++words->count] = NULL;
    va_end(args);
}

static void free_words(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->at[i]);
}

/* Ctrl-C on the terminal is for the caller: the tunnel has to survive it. */
static void start_words(struct words *words, const struct tunnel *t)
{
    *words = (struct words){ .count = 0 };
    add(words, "sh");
    add(words, "-c");
    add(words, "trap '' INT QUIT; exec ssh \"$@\"");
    add(words, "ssh");
    if (t->url.port) {
        add(words, "-p");
        add(words, "%d", t->url.port);
    }
}

static void add_options(struct words *words)
{
    static const char *const options[] = { "ServerAliveInterval=5",     "ServerAliveCountMax=3",
                                           "ExitOnForwardFailure=yes",  "ControlPersist=no",
                                           "StreamLocalBindUnlink=yes", "StreamLocalBindMask=0177",
                                           "ForwardAgent=no",           "ForwardX11=no" };
    add(words, "-T");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        add(words, "-o");
        add(words, "%s", options[i]);
    }
}

/* ---- processes ---- */

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Starts it with in, out and err; -1 with errno. */
static int spawn(struct words *words, int in, int out, int err_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    if (words->bad) {
        errno = ENOMEM;
        return -1;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
    int code = posix_spawnp(pid, words->at[0], &actions, NULL, words->at, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = code;
    return code == 0 ? 0 : -1;
}

static void stop(struct tunnel *t)
{
    if (t->pid > 0) {
        struct pollfd ended = { .fd = t->out_fd };
        shut(&t->in_fd);
        kill(t->pid, SIGTERM);
        while (poll(&ended, 1, END_MS) < 0 && errno == EINTR)
            ;
        if (!(ended.revents & POLLHUP))
            kill(t->pid, SIGKILL);
        while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    t->pid = 0;
    shut(&t->in_fd);
    shut(&t->out_fd);
    shut(&t->err_fd);
    free(t->output);
    t->output = NULL;
    t->output_size = 0;
}

/* Runs the command as the tunnel's process. */
static int start(struct tunnel *t, struct words *words, ipp_err_t *err)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, result = -1;
    stop(t);
    t->err_fd = memfd_create("ippsteer-ssh", MFD_CLOEXEC);
    if (t->err_fd >= 0 && pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0)
        result = spawn(words, in[0], out[1], t->err_fd, &t->pid);
    int code = errno;
    shut(&in[0]);
    shut(&out[1]);
    t->in_fd = in[1];
    t->out_fd = out[0];
    if (result < 0) {
        t->pid = 0;
        stop(t);
        return ipp_err(err, EHOSTUNREACH, "cannot run ssh: %s", strerror(code));
    }
    fcntl(t->out_fd, F_SETFL, O_NONBLOCK);
    return 0;
}

/* The last line that ssh said, which tells most. */
static int failed(const struct tunnel *t, const char *what, ipp_err_t *err)
{
    char said[1024] = "";
    off_t end = lseek(t->err_fd, 0, SEEK_END);
    off_t from = end > (off_t)sizeof said - 1 ? end - (off_t)sizeof said + 1 : 0;
    ssize_t size = pread(t->err_fd, said, sizeof said - 1, from);
    while (size > 0 && strchr("\r\n ", said[size - 1]))
        said[--size] = '\0';
    char *line = strrchr(said, '\n');
    line = line ? line + 1 : said;
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = '?';
    return ipp_err(err, EHOSTUNREACH, "ssh %s: %s", t->url.login, *line ? line : what);
}

/* ---- what the far side prints ---- */

/* 1: more came, 0: nothing yet, -1: it has ended. */
static int read_more(struct tunnel *t)
{
    char buffer[16384];
    ssize_t size = read(t->out_fd, buffer, sizeof buffer);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (size == 0 || t->output_size + (size_t)size > MOST_OUTPUT)
        return -1;
    char *output = realloc(t->output, t->output_size + (size_t)size + 1);
    if (!output)
        return -1;
    memcpy(output + t->output_size, buffer, (size_t)size);
    t->output = output;
    t->output_size += (size_t)size;
    output[t->output_size] = '\0';
    return 1;
}

static int wait_more(struct tunnel *t, int64_t deadline_ms, ipp_err_t *err)
{
    for (;;) {
        int64_t left = deadline_ms - ipp_now_ms();
        struct pollfd fd = { .fd = t->out_fd, .events = POLLIN };
        if (left <= 0)
            return failed(t, "no answer in time", err);
        if (poll(&fd, 1, (int)left) <= 0)
            continue;
        int more = read_more(t);
        if (more != 0)
            return more > 0 ? 0 : failed(t, "the login ended", err);
    }
}

static const char *find(const struct tunnel *t, const char *mark)
{
    return t->output ? strstr(t->output, mark) : NULL;
}

static int missing(struct tunnel *t, const char *at, int64_t deadline_ms, ipp_err_t *err)
{
    size_t offset = (size_t)(at - t->output) + strlen(MISSING_MARK);
    while (!strchr(t->output + offset, '\n'))
        if (wait_more(t, deadline_ms, err) < 0)
            return -1;
    const char *path = t->output + offset;
    return ipp_err(err, ENOENT, "%s:%.*s: no such file", t->url.login, (int)strcspn(path, "\r\n"),
                   path);
}

/* The connection file's text; the login may have printed what it likes before. */
static char *wait_file(struct tunnel *t, int64_t deadline_ms, ipp_err_t *err)
{
    const char *begin = NULL, *end = NULL, *none;
    while (!begin || !end) {
        if (wait_more(t, deadline_ms, err) < 0)
            return NULL;
        if ((none = find(t, MISSING_MARK))) {
            missing(t, none, deadline_ms, err);
            return NULL;
        }
        begin = find(t, FILE_MARK);
        end = begin ? strstr(begin, END_MARK) : NULL;
    }
    begin += strlen(FILE_MARK);
    char *text = strndup(begin, (size_t)(end - begin));
    if (!text)
        ipp_err(err, ENOMEM, "no memory");
    return text;
}

/* ---- the login ---- */

/* In single quotes, as any shell there takes it. */
static char *quoted(const char *text)
{
    char *out = malloc(4 * strlen(text) + 3), *at = out;
    if (!out)
        return NULL;
    *at++ = '\'';
    for (; *text; text++)
        if (*text == '\'') {
            memcpy(at, "'\\''", 4);
            at += 4;
        } else {
            *at++ = *text;
        }
    *at++ = '\'';
    *at = '\0';
    return out;
}

/* The folder is looked up there, as IPython would. */
static int add_fetch(struct words *words, const char *profile, const char *cluster_id)
{
    char *name = quoted(profile && *profile ? profile : "default"), *id = quoted(cluster_id);
    int result = name && id ? 0 : -1;
    if (result == 0)
        add(words,
            "exec sh -c 'd=${IPYTHONDIR:-$HOME/.ipython}; "
            "case $d in \"~\"|\"~/\"*) d=$HOME${d#\"~\"};; esac; "
            "f=$d/profile_$1/security/ipcontroller${2:+-$2}-client.json; "
            "if [ -r \"$f\" ]; then echo IPPMPI-FILE; cat \"$f\"; echo; echo IPPMPI-END; "
            "exec cat >/dev/null; else echo \"IPPMPI-MISSING $f\"; fi' sh %s %s",
            name, id);
    free(name);
    free(id);
    return result;
}

static int log_in(struct tunnel *t, const char *profile, ipp_err_t *err)
{
    struct words words;
    start_words(&words, t);
    add_options(&words);
    add(&words, "-M");
    add(&words, "-S");
    add(&words, "%s", t->control);
    add(&words, "--");
    add(&words, "%s", t->url.login);
    int result = add_fetch(&words, profile, t->url.cluster_id);
    result = result < 0 ? ipp_err(err, ENOMEM, "no memory") : start(t, &words, err);
    free_words(&words);
    return result;
}

/* Asks the login that is there to listen. */
static int forward(struct tunnel *t, ipp_err_t *err)
{
    struct words words;
    pid_t pid;
    int status = -1, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    start_words(&words, t);
    add(&words, "-S");
    add(&words, "%s", t->control);
    add(&words, "-O");
    add(&words, "forward");
    add(&words, "-L");
    add(&words, "%s:%s", t->socket, t->target);
    add(&words, "--");
    add(&words, "%s", t->url.login);
    if (null >= 0 && spawn(&words, null, null, t->err_fd, &pid) == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    free_words(&words);
    shut(&null);
    /* Who reaps all children for themselves leaves us no status: the socket tells as well. */
    return status == 0 || access(t->socket, F_OK) == 0 ? 0 : failed(t, "no forwarding", err);
}

/* ---- the tunnel ---- */

/* What ssh puts behind our name of its socket, while it makes it, is to fit into its address, too.
 */
#define MOST_FOLDER (sizeof((struct sockaddr_un *)0)->sun_path - sizeof "/c.0123456789abcdef")

static int make_folder(struct tunnel *t, ipp_err_t *err)
{
    const char *given = getenv("TMPDIR");
    bool fits = given && *given && strlen(given) + strlen("/ippsteer-XXXXXX") <= MOST_FOLDER;
    if (asprintf(&t->folder, "%s/ippsteer-XXXXXX", fits ? given : "/tmp") < 0) {
        t->folder = NULL;
        return ipp_err(err, ENOMEM, "no memory");
    }
    if (!mkdtemp(t->folder)) {
        int code = errno;
        ipp_err(err, code, "%s: %s", t->folder, strerror(code));
        free(t->folder);
        t->folder = NULL;
        errno = code;
        return -1;
    }
    if (asprintf(&t->socket, "%s/s", t->folder) < 0 || asprintf(&t->control, "%s/c", t->folder) < 0)
        return ipp_err(err, ENOMEM, "no memory");
    return 0;
}

/* As if the file had been here all the time. */
static int read_connection(const struct tunnel *t, const char *text, wire_connection_t *connection,
                           ipp_err_t *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/connection.json", t->folder) < 0)
        return ipp_err(err, ENOMEM, "no memory");
    int result = ipp_private_write(path, text, err);
    if (result == 0)
        result = wire_connection_read(path, connection, err);
    int saved_errno = errno;
    unlink(path);
    free(path);
    errno = saved_errno;
    return result;
}

static int fetch(struct tunnel *t, const char *profile, int64_t deadline_ms,
                 wire_connection_t *connection, ipp_err_t *err)
{
    if (log_in(t, profile, err) < 0)
        return -1;
    char *text = wait_file(t, deadline_ms, err);
    if (!text)
        return -1;
    int result = read_connection(t, text, connection, err);
    int saved_errno = errno;
    free(text);
    errno = saved_errno;
    return result;
}

static int set_target(struct tunnel *t, const wire_connection_t *connection, ipp_err_t *err)
{
    char *host = where_tcp_host(connection, false);
    if (!host || asprintf(&t->target, "%s:%d", host, connection->steering.port) < 0) {
        free(host);
        return ipp_err(err, ENOMEM, "no memory");
    }
    free(host);
    return 0;
}

static struct tunnel *create(struct ssh_url *url, ipp_err_t *err)
{
    struct tunnel *t = calloc(1, sizeof *t);
    if (!t) {
        ipp_err(err, ENOMEM, "no memory");
        return NULL;
    }
    t->in_fd = t->out_fd = t->err_fd = -1;
    t->url = *url;
    *url = (struct ssh_url){ 0 };
    if (make_folder(t, err) < 0) {
        tunnel_close(t);
        return NULL;
    }
    return t;
}

struct tunnel *tunnel_open(struct ssh_url *url, const char *profile, int64_t deadline_ms,
                           wire_connection_t *connection, ipp_err_t *err)
{
    struct tunnel *t = create(url, err);
    if (t && (fetch(t, profile, deadline_ms, connection, err) < 0 ||
              set_target(t, connection, err) < 0 || forward(t, err) < 0)) {
        tunnel_close(t);
        return NULL;
    }
    return t;
}

const char *tunnel_socket(const struct tunnel *t)
{
    return t->socket;
}

int tunnel_fd(const struct tunnel *t)
{
    return t->out_fd;
}

bool tunnel_stands(const struct tunnel *t)
{
    struct pollfd fd = { .fd = t->out_fd };
    return t->pid > 0 && poll(&fd, 1, 0) >= 0 && !(fd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* A login that listens from the beginning; UP_MARK says when it does. */
static int dial(struct tunnel *t, bool may_ask, ipp_err_t *err)
{
    struct words words;
    start_words(&words, t);
    add_options(&words);
    add(&words, "-o");
    add(&words, "BatchMode=%s", may_ask ? "no" : "yes");
    add(&words, "-S");
    add(&words, "none");
    add(&words, "-L");
    add(&words, "%s:%s", t->socket, t->target);
    add(&words, "--");
    add(&words, "%s", t->url.login);
    add(&words, "echo IPPMPI-UP; exec cat >/dev/null");
    int result = start(t, &words, err);
    free_words(&words);
    return result;
}

struct tunnel *tunnel_open_known(struct ssh_url *url, int64_t deadline_ms,
                                 const wire_connection_t *connection, ipp_err_t *err)
{
    struct tunnel *t = create(url, err);
    int result = t ? set_target(t, connection, err) : -1;
    if (result == 0)
        result = dial(t, true, err);
    while (result == 0 && !find(t, UP_MARK))
        result = wait_more(t, deadline_ms, err);
    if (result == 0)
        return t;
    tunnel_close(t);
    return NULL;
}

/* Nobody is there to be asked for a password. */
int tunnel_restart(struct tunnel *t, ipp_err_t *err)
{
    return dial(t, false, err);
}

int tunnel_progress(struct tunnel *t, ipp_err_t *err)
{
    int more = read_more(t);
    if (find(t, UP_MARK))
        return 1;
    return more < 0 ? failed(t, "the login ended", err) : 0;
}

void tunnel_close(struct tunnel *t)
{
    if (!t)
        return;
    int saved_errno = errno;
    stop(t);
    if (t->socket)
        unlink(t->socket);
    if (t->control)
        unlink(t->control);
    if (t->folder)
        rmdir(t->folder);
    ssh_url_clear(&t->url);
    free(t->folder);
    free(t->socket);
    free(t->control);
    free(t->target);
    free(t);
    errno = saved_errno;
}
