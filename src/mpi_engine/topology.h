/* SPDX-License-Identifier: BSD-3-Clause
 * Where ranks run: hwloc stays in topology.c and in placement.c, which decides. */
#ifndef IPP_TOPOLOGY_H
#define IPP_TOPOLOGY_H

#include <jansson.h>

#include "ippmpi.h"
#include "link/link.h"

/* Binds the calling thread, and those it starts, as placement.h says; `engine` is -1 for bridge and
 * balancer. False when it stays unbound: by choice, or because it cannot be, which the log tells.
 */
bool topology_bind(link_t *link, int engine, enum ipp_bind bind);

/* {"package": 0, "core": 3, "numa": 0, "cpus": "3", "bound": true}: logical indices, of where the
 * calling thread last ran, or is bound to. Missing what the machine does not tell. New reference.
 */
json_t *topology_here(void);

#endif
