/* SPDX-License-Identifier: BSD-3-Clause
 * Where ranks run, by hwloc. The topology is loaded when needed and freed at once: it takes
 * megabytes. */
#include "mpi_engine/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

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

/* How many ranks of this host come before this one, and how many engines it has. */
static int place_on_host(link_t *link, int *engines_here)
{
    int before = 0;
    *engines_here = 0;
    for (int rank = IPP_SERVICE_RANKS; rank < link_size(link); rank++) {
        if (!link_same_host(link, rank))
            continue;
        (*engines_here)++;
        before += rank < link_rank(link);
    }
    return before;
}

/* The object for this rank among `count`; NULL when it is a service and no object is left for it.
 */
static hwloc_obj_t choose(hwloc_topology_t topology, hwloc_obj_type_t type, link_t *link,
                          int engine)
{
    int engines_here, place = place_on_host(link, &engines_here);
    int count = hwloc_get_nbobjs_by_type(topology, type);
    if (count <= 0)
        return NULL;
    if (engine >= 0)
        return hwloc_get_obj_by_type(topology, type, (unsigned)(place % count));
    if (engines_here >= count)
        return NULL;
    return hwloc_get_obj_by_type(topology, type, (unsigned)(count - 1));
}

void topology_bind(link_t *link, int engine, enum ipp_bind bind)
{
    hwloc_topology_t topology = bind == IPP_BIND_NONE ? NULL : load();
    if (!topology)
        return;
    hwloc_obj_type_t type =
        bind == IPP_BIND_CORE || engine < 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_NUMANODE;
    hwloc_obj_t object = choose(topology, type, link, engine);
    if (object && hwloc_set_cpubind(topology, object->cpuset, HWLOC_CPUBIND_THREAD) < 0)
        ipp_log(IPP_LOG_WARNING, "rank %d cannot be bound: %s", link_rank(link), strerror(errno));
    hwloc_topology_destroy(topology);
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
