/* SPDX-License-Identifier: BSD-3-Clause
 * Monotonic time, and dates as Jupyter writes them. */
#include "base/base.h"

#include <stdio.h>
#include <time.h>

int64_t ipp_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t ipp_now_ms(void)
{
    return ipp_now_ns() / 1000000;
}

/* The second that was written last is kept: most dates are of the same. */
char *ipp_date(char out[IPP_DATE_LEN])
{
    static _Thread_local time_t second = -1;
    static _Thread_local char text[sizeof "2026-01-31T12:00:00"];
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    if (t.tv_sec != second) {
        gmtime_r(&t.tv_sec, &utc);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
        second = t.tv_sec;
    }
    snprintf(out, IPP_DATE_LEN, "%s.%06ldZ", text, (t.tv_nsec / 1000) % 1000000);
    return out;
}
