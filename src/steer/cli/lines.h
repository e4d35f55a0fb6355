/* SPDX-License-Identifier: BSD-3-Clause
 * Lines of a file descriptor, without waiting for them. */
#ifndef IPP_CLI_LINES_H
#define IPP_CLI_LINES_H

#include "steer/cli/text.h"

/* Start it with .fd set. */
struct lines {
    int fd;
    bool ended;
    struct text text;
    size_t at; /* what is before was handed out */
};

enum lines_state { LINES_ONE, LINES_NOT_YET, LINES_END };

/* The next line without its newline in *line, valid until the next call. LINES_NOT_YET: poll(2) the
 * descriptor. A read that fails is an end. */
enum lines_state lines_next(struct lines *lines, const char **line);
void lines_clear(struct lines *lines);

#endif
