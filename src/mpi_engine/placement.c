/* SPDX-License-Identifier: BSD-3-Clause
 * Which cores of a host are whose. */
#include "mpi_engine/placement.h"

#include <stdbool.h>
#include <stdlib.h>

/* ---- cores, or PUs where the machine does not tell of cores ---- */

static hwloc_obj_t next_core(hwloc_topology_t topology, hwloc_obj_t core)
{
    int depth = hwloc_get_type_or_below_depth(topology, HWLOC_OBJ_CORE);
    hwloc_const_cpuset_t allowed = hwloc_topology_get_allowed_cpuset(topology);
    do
        core = hwloc_get_next_obj_by_depth(topology, depth, core);
    while (core && !hwloc_bitmap_intersects(core->cpuset, allowed));
    return core;
}

static int count_cores(hwloc_topology_t topology, hwloc_const_cpuset_t within)
{
    int count = 0;
    for (hwloc_obj_t core = next_core(topology, NULL); core; core = next_core(topology, core))
        count += hwloc_bitmap_intersects(core->cpuset, within);
    return count;
}

/* A new set of the usable PUs of the cores number `first` to `end` - 1. */
static hwloc_cpuset_t cores_between(hwloc_topology_t topology, int first, int end)
{
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    int i = 0;
    for (hwloc_obj_t core = next_core(topology, NULL); set && core;
         core = next_core(topology, core), i++)
        if (i >= first && i < end)
            hwloc_bitmap_or(set, set, core->cpuset);
    if (set)
        hwloc_bitmap_and(set, set, hwloc_topology_get_allowed_cpuset(topology));
    return set;
}

/* ---- shares: what engines are dealt to ---- */

struct share {
    hwloc_cpuset_t set;
    int cores;
};

struct shares {
    struct share *at;
    int count;
    hwloc_cpuset_t left; /* what is not yet in a share */
};

/* Nothing is added for nodes without cores, or with those of another node (fast memory beside the
 * usual one). */
static void add_share(struct shares *shares, hwloc_topology_t topology, hwloc_const_cpuset_t part)
{
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    if (!set)
        return;
    hwloc_bitmap_and(set, shares->left, part);
    int cores = count_cores(topology, set);
    if (cores == 0) {
        hwloc_bitmap_free(set);
        return;
    }
    hwloc_bitmap_andnot(shares->left, shares->left, set);
    shares->at[shares->count++] = (struct share){ set, cores };
}

/* Takes `cores`. */
static struct shares make_shares(hwloc_topology_t topology, enum ipp_bind bind,
                                 hwloc_cpuset_t cores)
{
    int nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
    int most = bind == IPP_BIND_NUMA ? nodes : count_cores(topology, cores);
    struct shares shares = { .left = cores };
    if (most > 0)
        shares.at = calloc((size_t)most, sizeof *shares.at);
    hwloc_obj_t object = NULL;
    if (!shares.at)
        return shares;
    if (bind == IPP_BIND_NUMA)
        while ((object = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, object)))
            add_share(&shares, topology, object->cpuset);
    else
        while ((object = next_core(topology, object)))
            add_share(&shares, topology, object->cpuset);
    return shares;
}

static void free_shares(struct shares *shares)
{
    for (int i = 0; i < shares->count; i++)
        hwloc_bitmap_free(shares->at[i].set);
    free(shares->at);
    hwloc_bitmap_free(shares->left);
}

/* One engine for each share, then a second for those with two cores, and so on; when all cores have
 * one, from the beginning. `engine` is less than the number of cores. */
static const struct share *deal(const struct shares *shares, int engine)
{
    for (int round = 0;; round++)
        for (int i = 0; i < shares->count; i++)
            if (shares->at[i].cores > round && engine-- == 0)
                return &shares->at[i];
}

static hwloc_cpuset_t place_engine(hwloc_topology_t topology, enum ipp_bind bind, int engine,
                                   hwloc_cpuset_t cores)
{
    struct shares shares = make_shares(topology, bind, cores);
    hwloc_cpuset_t set = NULL;
    int room = 0;
    for (int i = 0; i < shares.count; i++)
        room += shares.at[i].cores;
    if (room > 0)
        set = hwloc_bitmap_dup(deal(&shares, engine % room)->set);
    free_shares(&shares);
    return set;
}

hwloc_cpuset_t placement_choose(hwloc_topology_t topology, enum ipp_bind bind,
                                const struct placement_host *host, int engine)
{
    int cores = count_cores(topology, hwloc_topology_get_allowed_cpuset(topology));
    int spare = cores > host->engines ? cores - host->engines : 0;
    int kept = spare < host->services ? spare : host->services;
    if (bind == IPP_BIND_NONE || (engine < 0 && kept == 0))
        return NULL;
    if (engine < 0)
        return cores_between(topology, cores - kept, cores);
    hwloc_cpuset_t others = cores_between(topology, 0, cores - kept);
    return others ? place_engine(topology, bind, engine, others) : NULL;
}
