/* SPDX-License-Identifier: BSD-3-Clause
 * The door of mpi_engine: one engine, from the point of view of the job that starts it. */
#ifndef IPP_MPI_ENGINE_H
#define IPP_MPI_ENGINE_H

#include "base/base.h"
#include "ippmpi.h"
#include "link/link.h"

/* Serves as an engine until the job ends; the calling thread runs user code. Returns when the
 * bridge said LINK_LEAVE: true to finalise MPI. A process whose user code never returns is ended
 * from inside. */
bool engine_run(link_t *link, const ipp_options_t *options);

/* Set by SIGTERM (and SIGINT, but in engines): the job is asked to end. Wakes `link`'s driver. */
void stop_signals_install(link_t *link, bool with_sigint);
bool stop_signal_seen(void);
/* From now on they are ignored: the link they wake is about to go. */
void stop_signals_ignore(void);

#endif
