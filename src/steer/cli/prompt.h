/* SPDX-License-Identifier: BSD-3-Clause
 * The line that is edited: libedit, with history and completion. The connection is driven while
 * the user thinks. */
#ifndef IPP_CLI_PROMPT_H
#define IPP_CLI_PROMPT_H

#include "steer/cli/connect.h"

struct prompt;

/* NULL when the terminal does not do. `talk` is borrowed: its targets stand in the prompt, its code
 * is what completion sees before the line. */
struct prompt *prompt_create(struct talk *talk);
void prompt_destroy(struct prompt *prompt);

enum prompt_result { PROMPT_LINE, PROMPT_INTERRUPTED, PROMPT_END, PROMPT_NO_CONNECTION };

/* *line without its newline, valid until the next call. */
enum prompt_result prompt_read(struct prompt *prompt, const char **line);
/* True while lines come from a paste that goes on: they are to be taken as they are. */
bool prompt_pasting(const struct prompt *prompt);
/* The next line begins with this. */
void prompt_indent(struct prompt *prompt, const char *indent);

#endif
