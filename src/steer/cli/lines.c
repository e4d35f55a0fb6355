/* SPDX-License-Identifier: BSD-3-Clause
 * Lines of a file descriptor, without waiting for them. */
#include "steer/cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 65536

/* False: nothing is there now. */
static bool read_more(struct lines *lines)
{
    char part[READ_BYTES];
    struct pollfd ready = { .fd = lines->fd, .events = POLLIN };
    if (poll(&ready, 1, 0) <= 0)
        return false;
    ssize_t size = read(lines->fd, part, sizeof part);
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (size > 0)
        text_add(&lines->text, part, (size_t)size);
    else
        lines->ended = true;
    return true;
}

static bool cut(struct lines *lines, const char **line)
{
    size_t left = lines->text.size - lines->at;
    if (left == 0)
        return false;
    char *begin = lines->text.at + lines->at, *end = memchr(begin, '\n', left);
    if (!end && !lines->ended)
        return false;
    lines->at += end ? (size_t)(end - begin) + 1 : left;
    if (end)
        *end = '\0';
    *line = begin;
    return true;
}

enum lines_state lines_next(struct lines *lines, const char **line)
{
    while (!cut(lines, line)) {
        if (lines->ended)
            return LINES_END;
        text_drop(&lines->text, lines->at);
        lines->at = 0;
        if (!read_more(lines))
            return LINES_NOT_YET;
    }
    return LINES_ONE;
}

void lines_clear(struct lines *lines)
{
    text_clear(&lines->text);
}
