/* SPDX-License-Identifier: BSD-3-Clause
 * The door of the bridge: rank 0, between clients' sockets and the ranks. */
#ifndef IPP_BRIDGE_H
#define IPP_BRIDGE_H

#include "ippmpi.h"
#include "link/link.h"

/* Serves clients until the job ends; *exit_code gets the process's. `own_core`: this thread is
 * bound to cores where no engine runs. Returns true to finalise MPI. */
bool bridge_run(link_t *link, const ipp_options_t *options, bool own_core, bool (*stop_asked)(void),
                int *exit_code);

/* Tells whoever started the job, by NOTIFY_SOCKET (sd_notify), that it failed and why. */
void bridge_notify_failure(const char *why);

#endif
