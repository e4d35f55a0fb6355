/* SPDX-License-Identifier: BSD-3-Clause
 * Error text beside errno. */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int ipp_err(ipp_err_t *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    errno = code;
    return -1;
}
