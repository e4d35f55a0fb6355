/* SPDX-License-Identifier: BSD-3-Clause
 * The receiving end of NOTIFY_SOCKET, see sd_notify(3): "READY=1", or "STATUS=text" with "ERRNO=n".
 */
#include "launch/launch.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DATAGRAM_MAX_BYTES 4096

/* Binding to no name makes the kernel choose a free abstract one: five digits after a NUL. */
static int bind_anywhere(int fd, char name[32])
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t length = offsetof(struct sockaddr_un, sun_path);
    const int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0)
        return -1;
    length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -1;
    int name_length = (int)(length - offsetof(struct sockaddr_un, sun_path)) - 1;
    snprintf(name, 32, "@%.*s", name_length, address.sun_path + 1);
    return 0;
}

int notify_open(char name[32], ipp_err_t *err)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind_anywhere(fd, name) == 0)
        return fd;
    int saved_errno = errno;
    if (fd >= 0)
        close(fd);
    return ipp_err(err, saved_errno, "cannot make a Unix socket: %s", strerror(saved_errno));
}

/* An abstract name has no permissions: any user of this host may send to it. */
static bool from_us(struct msghdr *message)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    struct ucred sender;
    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_CREDENTIALS)
        return false;
    memcpy(&sender, CMSG_DATA(control), sizeof sender);
    return sender.uid == geteuid() || sender.uid == 0;
}

/* Reads the lines of `text`, which it takes apart. */
static int parse(char *text, ipp_err_t *err)
{
    const char *status = "no reason given";
    int ready = 0, code = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strcmp(line, "READY=1") == 0)
            ready = 1;
        else if (strncmp(line, "STATUS=", 7) == 0)
            status = line + 7;
        else if (strncmp(line, "ERRNO=", 6) == 0)
            code = (int)strtol(line + 6, NULL, 10);
    }
    return code != 0 ? ipp_err(err, code, "%s", status) : ready;
}

int notify_read(int fd, ipp_err_t *err)
{
    char text[DATAGRAM_MAX_BYTES + 1];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = { .iov_base = text, .iov_len = DATAGRAM_MAX_BYTES };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 || !from_us(&message))
        return 0;
    text[got] = '\0';
    return parse(text, err);
}
