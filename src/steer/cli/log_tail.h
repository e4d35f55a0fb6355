/* SPDX-License-Identifier: BSD-3-Clause
 * The log that ipp-cluster keeps of a cluster's processes, read by tail(1), here or through ssh. */
#ifndef IPP_CLI_LOG_TAIL_H
#define IPP_CLI_LOG_TAIL_H

#include <sys/types.h>

#include "steer/cli/cli.h"
#include "steer/cli/lines.h"

struct log_tail {
    pid_t pid;
    int in_fd;          /* it ends when this is closed */
    struct lines lines; /* what it prints */
};

/* Begins with the last lines. -1 with a text. */
int log_tail_start(struct log_tail *tail, const struct cli_options *options, ipp_err_t *err);
/* True when it has read the log; otherwise it has said on stderr why not. */
bool log_tail_stop(struct log_tail *tail);

#endif
