/* SPDX-License-Identifier: BSD-3-Clause
 * Which cores of a host are whose: a function of the topology alone, that binds nobody. */
#ifndef IPP_PLACEMENT_H
#define IPP_PLACEMENT_H

#include <hwloc.h>

#include "ippmpi.h"

/* How many ranks of the job one host has. */
struct placement_host {
    int engines;
    int services; /* bridge, balancer, both or neither */
};

/* A new set of the PUs for the `engine`-th engine of this host, counted from 0, or for a service
 * (-1). NULL: leave it unbound, by choice or for lack of memory.
 *
 * Where engines leave cores, the last ones belong to the services alone, at most one for each of
 * them. The engines are dealt to the other cores (IPP_BIND_CORE) or to what is left of the NUMA
 * nodes (IPP_BIND_NUMA): in order, and none gets more engines than it has cores while another has
 * room. Cores that we may not use (a cgroup's limits) do not count. */
hwloc_cpuset_t placement_choose(hwloc_topology_t topology, enum ipp_bind bind,
                                const struct placement_host *host, int engine);

#endif
