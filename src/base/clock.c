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

char *ipp_date(char out[IPP_DATE_LEN])
{
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    size_t n = strftime(out, IPP_DATE_LEN, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, IPP_DATE_LEN - n, ".%06ldZ", (t.tv_nsec / 1000) % 1000000);
    return out;
}
