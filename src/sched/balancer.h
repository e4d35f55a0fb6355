/* SPDX-License-Identifier: BSD-3-Clause
 * Rank 1: the pure scheduler between the bridge and the engines. */
#ifndef IPP_BALANCER_H
#define IPP_BALANCER_H

#include "ippmpi.h"
#include "link/link.h"

/* Why the bridge hears of a task that will not run, where no enum sched_drop says it: the frame 0
 * text does. */
#define BALANCER_REFUSED (-1)

/* Serves until the bridge said LINK_LEAVE; true to finalise MPI. `application`: engines run tasks
 * only while they say so. */
bool balancer_run(link_t *link, const ipp_options_t *options, bool application,
                  bool (*stop_asked)(void));

#endif
