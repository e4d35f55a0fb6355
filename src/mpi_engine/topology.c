/* SPDX-License-Identifier: BSD-3-Clause
 * Where ranks run, by hwloc. The topology is loaded when needed and freed at once: it takes
 * megabytes. */
#include "mpi_engine/topology.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/placement.h"

static hwloc_topology_t load(void)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) < 0)
        return NULL;
    hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
    if (hwloc_topology_load(topology) < 0) {
        hwloc_topology_destroy(topology);
        return NULL;
    }
    return topology;
}

/* The ranks of this host; *place is how many of its engines come before this rank. */
static struct placement_host count_ranks(link_t *link, int *place)
{
    struct placement_host host = { 0 };
    *place = 0;
    for (int rank = 0; rank < link_size(link); rank++) {
        if (!link_same_host(link, rank))
            continue;
        if (rank < IPP_SERVICE_RANKS) {
            host.services++;
            continue;
        }
        host.engines++;
        *place += rank < link_rank(link);
    }
    return host;
}

bool topology_bind(link_t *link, int engine, enum ipp_bind bind)
{
    hwloc_topology_t topology = bind == IPP_BIND_NONE ? NULL : load();
    if (!topology)
        return false;
    int place;
    struct placement_host host = count_ranks(link, &place);
    hwloc_cpuset_t set = placement_choose(topology, bind, &host, engine < 0 ? -1 : place);
    bool bound = set && hwloc_set_cpubind(topology, set, HWLOC_CPUBIND_THREAD) == 0;
    if (set && !bound)
        ipp_log(IPP_LOG_WARNING, "rank %d cannot be bound: %s", link_rank(link), strerror(errno));
    hwloc_bitmap_free(set);
    hwloc_topology_destroy(topology);
    return bound;
}

static void describe(json_t *here, hwloc_topology_t topology, hwloc_const_cpuset_t set)
{
    hwloc_obj_t package =
        hwloc_get_next_obj_covering_cpuset_by_type(topology, set, HWLOC_OBJ_PACKAGE, NULL);
    hwloc_obj_t core =
        hwloc_get_next_obj_covering_cpuset_by_type(topology, set, HWLOC_OBJ_CORE, NULL);
    hwloc_obj_t numa =
        hwloc_get_next_obj_covering_cpuset_by_type(topology, set, HWLOC_OBJ_NUMANODE, NULL);
    if (package)
        json_object_set_new(here, "package", json_integer(package->logical_index));
    if (core)
        json_object_set_new(here, "core", json_integer(core->logical_index));
    if (numa)
        json_object_set_new(here, "numa", json_integer(numa->logical_index));
    char *cpus = NULL;
    if (hwloc_bitmap_list_asprintf(&cpus, set) >= 0)
        json_object_set_new(here, "cpus", json_string(cpus));
    free(cpus);
}

json_t *topology_here(void)
{
    json_t *here = json_object();
    hwloc_topology_t topology = load();
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    if (topology && set && hwloc_get_cpubind(topology, set, HWLOC_CPUBIND_THREAD) == 0) {
        bool bound = !hwloc_bitmap_isequal(set, hwloc_topology_get_allowed_cpuset(topology));
        json_object_set_new(here, "bound", json_boolean(bound));
        if (!bound && hwloc_get_last_cpu_location(topology, set, HWLOC_CPUBIND_THREAD) < 0)
            hwloc_bitmap_copy(set, hwloc_topology_get_allowed_cpuset(topology));
        describe(here, topology, set);
    }
    hwloc_bitmap_free(set);
    if (topology)
        hwloc_topology_destroy(topology);
    return here;
}
