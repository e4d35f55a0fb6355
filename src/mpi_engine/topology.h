/* SPDX-License-Identifier: BSD-3-Clause
 * Where ranks run: the only file that knows hwloc is topology.c. */
#ifndef IPP_TOPOLOGY_H
#define IPP_TOPOLOGY_H

#include <jansson.h>

#include "ippmpi.h"
#include "link/link.h"

/* Binds the calling thread, and those it starts, as the option says. Engines are counted by host:
 * the i-th engine of a host takes its i-th core (or NUMA node), round and round; where cores are
 * left, bridge and balancer get the last. */
void topology_bind(link_t *link, int engine, enum ipp_bind bind);

/* {"package": 0, "core": 3, "numa": 0, "cpus": "3", "bound": true}: logical indices, of where the
 * calling thread last ran, or is bound to. Missing what the machine does not tell. New reference.
 */
json_t *topology_here(void);

#endif
