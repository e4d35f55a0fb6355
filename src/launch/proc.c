/* SPDX-License-Identifier: BSD-3-Clause
 * Processes of a cluster, held by pidfd and known by an inherited mark: a pid alone may be somebody
 * else's by now, and MPI starters put ranks into sessions of their own. */
#include "launch/launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KILL_ROUNDS 10       /* a process may fork while the others are being killed */
#define KILL_TIMEOUT_MS 2000 /* how long the kernel may take to end what got SIGKILL */

static int pidfd_for(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* closes on exec by itself */
}

/* The whole of /proc/PID/NAME with a NUL after it; NULL when it cannot be read. */
static char *read_proc(pid_t pid, const char *name, size_t *size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t capacity = 0;
    ssize_t got = file ? getdelim(&text, &capacity, EOF, file) : -1;
    if (file)
        fclose(file);
    if (got < 0) {
        free(text);
        return NULL;
    }
    *size = (size_t)got;
    return text;
}

static bool has_mark(pid_t pid, const char *mark)
{
    char entry[128];
    size_t size = 0;
    int length = snprintf(entry, sizeof entry, "%s=%s", MARK_VARIABLE, mark);
    char *text = read_proc(pid, "environ", &size);
    bool found = text && memmem(text, size, entry, (size_t)length) != NULL;
    free(text);
    return found;
}

int proc_open(pid_t pid, const char *mark)
{
    int pidfd = pidfd_for(pid);
    if (pidfd >= 0 &&
        has_mark(pid, mark)) /* looked at in this order: what the pidfd holds is what was read */
        return pidfd;
    if (pidfd >= 0)
        close(pidfd);
    errno = ESRCH;
    return -1;
}

/* Between posix_spawn's return and the end of exec the kernel shows an empty environment. */
int proc_open_child(pid_t pid, const char *mark)
{
    int pidfd = pidfd_for(pid);
    while (pidfd >= 0 && !has_mark(pid, mark) && !proc_wait(pidfd, 1))
        ;
    return pidfd;
}

bool proc_lives(pid_t pid, const char *mark)
{
    int pidfd = proc_open(pid, mark);
    if (pidfd >= 0)
        close(pidfd);
    return pidfd >= 0;
}

bool proc_is_program(pid_t pid, const char *name)
{
    size_t size = 0;
    char *text = read_proc(pid, "cmdline", &size);
    bool found = text && memmem(text, size, name, strlen(name)) != NULL;
    free(text);
    return found;
}

bool proc_wait(int pidfd, int timeout_ms)
{
    int64_t deadline = ipp_now_ms() + timeout_ms;
    struct pollfd end = { .fd = pidfd, .events = POLLIN };
    for (;;) {
        int64_t left = deadline - ipp_now_ms();
        int result = poll(&end, 1, left > 0 ? (int)left : 0);
        if (result > 0)
            return true;
        if (left <= 0)
            return false;
    }
}

void proc_signal(int pidfd, int signal_number)
{
    syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0); /* ESRCH: it has just ended */
}

/* Calls fn for a pidfd of each marked process; returns how many times. */
static size_t each_marked(const char *mark, void (*fn)(void *arg, int pidfd), void *arg)
{
    size_t count = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid())
            continue;
        int pidfd = proc_open(pid, mark);
        if (pidfd < 0)
            continue;
        count++;
        fn(arg, pidfd);
        close(pidfd);
    }
    if (dir)
        closedir(dir);
    return count;
}

static void ignore(void *arg, int pidfd)
{
    (void)arg;
    (void)pidfd;
}

size_t proc_count_marked(const char *mark)
{
    return each_marked(mark, ignore, NULL);
}

static void wait_until(void *arg, int pidfd)
{
    int64_t left = *(int64_t *)arg - ipp_now_ms();
    proc_wait(pidfd, left > 0 ? (int)left : 0);
}

static void end_now(void *arg, int pidfd)
{
    (void)arg;
    proc_signal(pidfd, SIGKILL);
    proc_wait(pidfd, KILL_TIMEOUT_MS);
}

size_t proc_kill_marked(const char *mark, int timeout_ms)
{
    int64_t deadline = ipp_now_ms() + timeout_ms;
    size_t killed = 0, now;
    each_marked(mark, wait_until, &deadline);
    for (int round = 0; round < KILL_ROUNDS && (now = each_marked(mark, end_now, NULL)) > 0;
         round++)
        killed += now;
    return killed;
}
