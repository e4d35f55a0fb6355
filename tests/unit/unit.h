/* SPDX-License-Identifier: BSD-3-Clause
 * What several unit tests need: a folder of their own, other rights, and a main. */
#ifndef IPP_UNIT_H
#define IPP_UNIT_H

#include <check.h>

/* A checked fixture: an empty folder, its path in unit_folder, removed with all that is in it. */
extern char unit_folder[64];
void unit_make_folder(void);
void unit_remove_folder(void);

/* How many entries there are in the folder of `path`; 0 when it is not there. */
int unit_entries_beside(const char *path);

/* To root every file is readable: until unit_be_root, be somebody else. Nothing changes for those
 * who are not root. */
void unit_be_nobody(void);
void unit_be_root(void);

/* As many as usual, or the share of it that IPP_TEST_PERCENT says, which is for tools that watch
 * each instruction; at least 1. */
int unit_rounds(int usual);

/* Runs the suite and frees it; returns main's exit code. */
int unit_run(Suite *suite);

#endif
