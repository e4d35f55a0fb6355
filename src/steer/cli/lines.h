/* SPDX-License-Identifier: BSD-3-Clause
 * Lines of a file descriptor, without waiting for them. */
#ifndef IPP_CLI_LINES_H
#define IPP_CLI_LINES_H

#include <stdint.h>

#include "steer/cli/text.h"

struct lines {
    int fd;
    bool ended;
    int error;        /* errno of the read that has failed, which is an end too; 0: none has */
    struct text text; /* what was read and not dropped */
    size_t at;        /* what is before was handed out */
    int64_t seen;     /* lines read so far, handed out or not */
    int64_t bytes;    /* read so far */
    int64_t size;     /* bytes from where reading began, of a regular file; -1: not known */
};

enum lines_state { LINES_ONE, LINES_NOT_YET, LINES_END };

void lines_start(struct lines *lines, int fd);
/* The next line without its newline in *line, valid until the next call of any of these.
 * LINES_NOT_YET: poll(2) the descriptor. */
enum lines_state lines_next(struct lines *lines, const char **line);
/* Reads what is there now, until `bound` bytes wait to be handed out. */
void lines_fill(struct lines *lines, size_t bound);
/* Bytes that were read and wait to be handed out. */
size_t lines_waiting(const struct lines *lines);
/* How many lines there are in all; *about: by the file's size and the lines so far. 0: not known.
 */
double lines_total(const struct lines *lines, bool *about);
void lines_clear(struct lines *lines);

#endif
