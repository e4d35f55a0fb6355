/* SPDX-License-Identifier: BSD-3-Clause
 * A progress bar on a terminal's stderr, for work that takes a while. */
#ifndef IPP_CLI_PROGRESS_H
#define IPP_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "steer/cli/text.h"

/* Start it with progress_start. Nothing is shown in the first second, nor without a terminal. */
struct progress {
    bool terminal, shown, ever;
    const char *unit;   /* "items"; borrowed */
    double done, total; /* total 0: not known */
    bool about;         /* total is an estimate */
    int64_t begin_ms, drawn_ms;
    struct text note; /* shown behind the bar */
};

void progress_start(struct progress *progress, const char *unit, bool terminal, int64_t now_ms);
/* Draws the bar if it is time to, ten times a second at most. */
void progress_tick(struct progress *progress, int64_t now_ms);
/* Removes the bar from the screen, until the next tick. Before anything else is printed. */
void progress_hide(struct progress *progress);
void progress_end(struct progress *progress);
/* As progress_end, but a bar that was ever drawn stays on the screen, as it is at the end. */
void progress_leave(struct progress *progress, int64_t now_ms);

/* The bar's text for `columns`, "  40% |####      | 4/10 items, 2.0/s, 3 s left". */
void progress_print(struct text *out, const struct progress *progress, int64_t now_ms, int columns);

#endif
