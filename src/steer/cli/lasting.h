/* SPDX-License-Identifier: BSD-3-Clause
 * The history of the prompt: libedit's, in a file that several prompts share. */
#ifndef IPP_CLI_LASTING_H
#define IPP_CLI_LASTING_H

#include <histedit.h>

struct lasting;

/* With the lines of earlier prompts. Never NULL: where there is no place for a file it lasts as
 * long as the prompt. */
struct lasting *lasting_open(void);
void lasting_close(struct lasting *lasting);
/* For EL_HIST. */
History *lasting_lines(struct lasting *lasting);
/* Adds a line here and in the file, at once: whatever ends the prompt, it is there. */
void lasting_add(struct lasting *lasting, const char *line);

#endif
