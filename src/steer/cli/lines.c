/* SPDX-License-Identifier: BSD-3-Clause
 * Lines of a file descriptor, without waiting for them. */
#include "steer/cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 65536

void lines_start(struct lines *lines, int fd)
{
    struct stat stat;
    off_t at = lseek(fd, 0, SEEK_CUR);
    *lines = (struct lines){ .fd = fd, .size = -1 };
    if (at >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size >= at)
        lines->size = stat.st_size - at;
}

size_t lines_waiting(const struct lines *lines)
{
    return lines->text.size - lines->at;
}

static void count(struct lines *lines, const char *part, size_t size)
{
    const char *end = part + size;
    lines->bytes += (int64_t)size;
    while ((part = memchr(part, '\n', (size_t)(end - part)))) {
        lines->seen++;
        part++;
    }
}

/* What follows the last newline is a line too. */
static void end(struct lines *lines, int error)
{
    lines->ended = true;
    lines->error = error;
    if (lines_waiting(lines) > 0 && lines->text.at[lines->text.size - 1] != '\n')
        lines->seen++;
}

/* False: nothing is there now. */
static bool read_more(struct lines *lines)
{
    char part[READ_BYTES];
    struct pollfd ready = { .fd = lines->fd, .events = POLLIN };
    if (lines->ended || poll(&ready, 1, 0) <= 0)
        return false;
    ssize_t size = read(lines->fd, part, sizeof part);
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (size <= 0) {
        end(lines, size < 0 ? errno : 0);
        return true;
    }
    if (lines->at > lines->text.size / 2) { /* seldom: it moves the rest */
        text_drop(&lines->text, lines->at);
        lines->at = 0;
    }
    text_add(&lines->text, part, (size_t)size);
    count(lines, part, (size_t)size);
    return true;
}

void lines_fill(struct lines *lines, size_t bound)
{
    while (lines_waiting(lines) < bound && read_more(lines))
        continue;
}

static bool cut(struct lines *lines, const char **line)
{
    size_t left = lines_waiting(lines);
    if (left == 0)
        return false;
    char *begin = lines->text.at + lines->at, *newline = memchr(begin, '\n', left);
    if (!newline && !lines->ended)
        return false;
    lines->at += newline ? (size_t)(newline - begin) + 1 : left;
    if (newline)
        *newline = '\0';
    *line = begin;
    return true;
}

enum lines_state lines_next(struct lines *lines, const char **line)
{
    while (!cut(lines, line)) {
        if (lines->ended)
            return LINES_END;
        if (!read_more(lines))
            return LINES_NOT_YET;
    }
    return LINES_ONE;
}

double lines_total(const struct lines *lines, bool *about)
{
    *about = !lines->ended;
    if (lines->ended)
        return (double)lines->seen;
    if (lines->size <= 0 || lines->bytes <= 0 || lines->bytes > lines->size)
        return 0;
    return (double)lines->seen * ((double)lines->size / (double)lines->bytes);
}

void lines_clear(struct lines *lines)
{
    text_clear(&lines->text);
}
