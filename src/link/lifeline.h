/* SPDX-License-Identifier: BSD-3-Clause
 * Lifelines: every rank holds one stream connection to rank 0 on which nothing is ever said. When a
 * process dies, its kernel closes it, and the other end knows at once, at no cost while all is
 * well. */
#ifndef IPP_LINK_LIFELINE_H
#define IPP_LINK_LIFELINE_H

#include <mpi.h>

#include "link/bell.h"

typedef struct lifeline lifeline_t;

/* Collective. `addresses` of all ranks by rank. */
lifeline_t *lifeline_create(MPI_Comm comm, const struct bell_address *addresses, ipp_err_t *err);
void lifeline_destroy(lifeline_t *lifeline);

/* The descriptor to poll (an epoll set): readable when a line broke. */
int lifeline_fd(const lifeline_t *lifeline);
/* The next rank whose line broke, -1 when there is none (more). */
int lifeline_next_lost(lifeline_t *lifeline);

#endif
