/* SPDX-License-Identifier: BSD-3-Clause
 * The board: what engines print and answer is held for a moment, folded, and shown with their ids
 * in front of each line. */
#ifndef IPP_CLI_BOARD_H
#define IPP_CLI_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct board;

enum board_kind { BOARD_STDOUT, BOARD_STDERR, BOARD_RESULT, BOARD_ERROR, BOARD_KINDS };

struct board_style {
    bool labels;                 /* false: one engine speaks, and its words stand as they are */
    bool colour_out, colour_err; /* escape sequences, also those that engines send */
    void (*before)(void *arg);   /* called before something is shown; may be NULL */
    void *arg;
    FILE *out, *err; /* stdout and stderr */
};

struct board *board_create(const struct board_style *style);
/* Shows nothing. NULL is fine. */
void board_destroy(struct board *board);

/* `now_ms` is ipp_now_ms(), here and below. Results and errors are whole; of streams, lines are. */
void board_add(struct board *board, enum board_kind kind, int engine, const char *text,
               int64_t now_ms);
/* Shows what has been held long enough; with `all`, everything, half lines too. */
void board_flush(struct board *board, int64_t now_ms, bool all);
/* In how many ms board_flush has something to do; -1: nothing is held. */
int board_wait_ms(const struct board *board, int64_t now_ms);

#endif
