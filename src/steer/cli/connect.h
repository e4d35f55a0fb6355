/* SPDX-License-Identifier: BSD-3-Clause
 * The prompt: what its files share. */
#ifndef IPP_CLI_CONNECT_H
#define IPP_CLI_CONNECT_H

#include "steer/cli/cli.h"
#include "steer/cli/text.h"

/* One conversation. */
struct talk {
    struct cli *cli;
    char *targets;    /* of %on; owned */
    struct text code; /* lines of a statement that is not whole yet */
};

/* A line of ours, not Python's: %on, %help, %quit and the like. False: it is none. */
bool talk_command(struct talk *talk, const char *line, bool *quit, int *code);

/* Runs code on the targets and shows what comes; an exit code. Remembers it in IPython's In and
 * Out.
 */
int talk_run(struct talk *talk, const char *code);

/* The first engine of the targets, as a target; false when there is none. */
bool talk_first_engine(struct talk *talk, char out[16]);

/* Asks the first engine something that has to be answered soon: the reply's content, or NULL when
 * it is busy, gone or does not know. The caller's. */
json_t *talk_ask_soon(struct talk *talk, const char *type, json_t *content, int limit_ms);

/* Names that complete code at a cursor in characters: {matches, cursor_start, cursor_end}, or NULL.
 */
json_t *complete_ask(struct talk *talk, const char *code, size_t cursor);
/* Characters (not bytes) of UTF-8. */
size_t complete_characters(const char *text, size_t bytes);
/* Bytes of the beginning that all matches share. */
size_t complete_common(const json_t *matches);

/* Standard input as a script. */
int script_run(struct talk *talk);

#endif
