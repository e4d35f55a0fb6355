/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of `map` share: its state, and how results and failures are shown. */
#ifndef IPP_CLI_MAP_H
#define IPP_CLI_MAP_H

#include "steer/cli/cli.h"
#include "steer/cli/fold.h"
#include "steer/cli/lines.h"

/* Items that travel together, as one task. */
struct chunk {
    struct chunk *next;
    int64_t first; /* index of its first item */
    size_t count;
    char *content;        /* of its request, until it has been answered */
    ipp_future_t *future; /* NULL: the queue was full, and it has to be sent again */
    bool taken;           /* the answer was looked at */
};

struct map {
    struct cli *cli;
    char *metadata; /* of tasks: which engines; NULL: any */
    struct lines lines;
    int next_argument;
    bool input_ended, stopped;
    bool unsent;               /* the items read last could not be sent */
    struct chunk *head, *tail; /* not printed yet, in order */
    size_t kept, under_way, refused, engines;
    size_t window;          /* chunks that may be under way: fewer where the queue is full */
    size_t successes;       /* since the window last changed */
    int64_t again_ms;       /* when the next refused one may be sent again */
    int64_t sent, answered; /* items */
    int64_t begin_ms;
    struct progress bar;
    struct job job;          /* what tasks print */
    struct fold errors;      /* by item, not said yet */
    int64_t errors_since_ms; /* the oldest of them; -1: none */
    int code;
};

/* Prints a chunk's results; one without an answer, whose future is not done or has failed, as
 * failed for the reason `why`. Sets `stopped` when all others would fail too. */
void map_print_chunk(struct map *map, const struct chunk *chunk, const char *why);
/* Says the errors that have been held long enough for equal ones to come; with `all`, each. */
void map_say_errors(struct map *map, bool all);
/* In how many ms map_say_errors has something to do; -1: nothing is held. */
int map_wait_ms(const struct map *map);

#endif
