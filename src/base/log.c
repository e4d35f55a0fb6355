/* SPDX-License-Identifier: BSD-3-Clause
 * Log lines: who, level, text; one write() a line so that ranks sharing a terminal do not mix. */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };

static struct {
    int fd;
    char prefix[64];
    enum ipp_log_level level;
} sink = { .fd = STDERR_FILENO, .prefix = "ippmpi", .level = IPP_LOG_NOTICE };

int ipp_log_level_parse(const char *name)
{
    for (int i = 0; i <= IPP_LOG_DEBUG; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

void ipp_log_setup(int fd, const char *who, int rank, enum ipp_log_level level)
{
    sink.fd = fd;
    sink.level = level;
    if (rank >= 0)
        snprintf(sink.prefix, sizeof sink.prefix, "%s[%d]", who, rank);
    else
        snprintf(sink.prefix, sizeof sink.prefix, "%s", who);
}

enum ipp_log_level ipp_log_level(void)
{
    return sink.level;
}

void ipp_log(enum ipp_log_level level, const char *format, ...)
{
    if (level > sink.level)
        return;
    int saved_errno = errno;
    char line[2048];
    int used = snprintf(line, sizeof line - 1, "%s %s: ", sink.prefix, level_names[level]);
    va_list args;
    va_start(args, format);
    int text = vsnprintf(line + used, sizeof line - 1 - (size_t)used, format, args);
    va_end(args);
    size_t length = (size_t)used + (text > 0 ? (size_t)text : 0);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    for (size_t i = (size_t)used; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[length++] = '\n';
    ssize_t written = write(sink.fd, line, length);
    (void)written; /* nowhere is left to say that the log cannot be written */
    errno = saved_errno;
}

bool ipp_log_now_and_then(_Atomic int64_t *last_ms, int64_t interval_ms)
{
    int64_t now = ipp_now_ms(), last = atomic_load(last_ms);
    if (last != 0 && now - last < interval_ms)
        return false;
    return atomic_compare_exchange_strong(last_ms, &last, now);
}
