/* SPDX-License-Identifier: BSD-3-Clause
 * Word to whoever started the job, by systemd's NOTIFY_SOCKET protocol. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "steer/bridge/bridge_private.h"

static void notify(const char *text)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (!name || (name[0] != '@' && name[0] != '/') || strlen(name) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (fd < 0 ||
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
        ipp_log(IPP_LOG_WARNING, "NOTIFY_SOCKET=%s cannot be told: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void notify_ready(const char *status)
{
    char text[1024];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%s\n", status);
    notify(text);
}

void bridge_notify_failure(const char *why)
{
    char text[1024];
    snprintf(text, sizeof text, "STATUS=%s\nERRNO=1\n", why);
    notify(text);
}
