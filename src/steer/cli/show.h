/* SPDX-License-Identifier: BSD-3-Clause
 * What the verbs that look at engines share. */
#ifndef IPP_CLI_SHOW_H
#define IPP_CLI_SHOW_H

#include "steer/cli/cli.h"

/* A number, or the length of a list. */
long long show_number(const json_t *object, const char *key);
/* Ids of the living engines that --on names; the caller frees them. NULL: said why, in *code too.
 */
int *show_engines(struct cli *cli, size_t *count, int *code);
/* object["ID"], borrowed. */
const json_t *show_by_id(const json_t *object, int id);
/* A queue_reply's content; as job_ask. */
json_t *show_queues(struct cli *cli, bool verbose, int *code);

#endif
