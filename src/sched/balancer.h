/* SPDX-License-Identifier: BSD-3-Clause
 * Rank 1: the pure scheduler between the bridge and the engines. */
#ifndef IPP_BALANCER_H
#define IPP_BALANCER_H

#include "ippmpi.h"
#include "link/link.h"

/* Why the bridge hears of a task that will not run, where no enum sched_drop says it: frame 0 is a
 * text that does. */
#define BALANCER_REFUSED (-1) /* now: there may be room later */
#define BALANCER_INVALID (-2) /* it makes no sense */

/* Serves until the bridge said LINK_LEAVE; true to finalise MPI. `application`: engines run tasks
 * only while they say so. */
bool balancer_run(link_t *link, const ipp_options_t *options, bool application,
                  bool (*stop_asked)(void));

#endif
