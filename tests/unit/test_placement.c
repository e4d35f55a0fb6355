/* SPDX-License-Identifier: BSD-3-Clause
 * Which cores are whose, on machines made up by hwloc. */
#include "mpi_engine/placement.h"
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static hwloc_topology_t machine;

/* NUMA nodes are always named: where hwloc 2.9 has to add them, it copies overlapping memory. */
static void make_machine(const char *description, unsigned long flags)
{
    ck_assert_int_eq(hwloc_topology_init(&machine), 0);
    ck_assert_int_eq(hwloc_topology_set_synthetic(machine, description), 0);
    ck_assert_int_eq(hwloc_topology_set_flags(machine, flags), 0);
    ck_assert_int_eq(hwloc_topology_load(machine), 0);
}

static void start(const char *description)
{
    make_machine(description, 0);
}

static void stop(void)
{
    hwloc_topology_destroy(machine);
}

static hwloc_cpuset_t set_of(const char *list)
{
    hwloc_cpuset_t set = hwloc_bitmap_alloc();
    ck_assert_int_eq(hwloc_bitmap_list_sscanf(set, list), 0);
    return set;
}

enum { SERVICE = -1 };

/* The PUs of `who` are `list`, as in "0-1,4"; NULL: unbound. */
static void expect(enum ipp_bind bind, int engines, int services, int who, const char *list)
{
    const struct placement_host host = { .engines = engines, .services = services };
    char *got = NULL;
    hwloc_cpuset_t set = placement_choose(machine, bind, &host, who);
    if (set)
        hwloc_bitmap_list_asprintf(&got, set);
    ck_assert_pstr_eq(got, list);
    free(got);
    hwloc_bitmap_free(set);
}

static void expect_core(int engines, int who, const char *list)
{
    expect(IPP_BIND_CORE, engines, 2, who, list);
}

static void expect_numa(int engines, int who, const char *list)
{
    expect(IPP_BIND_NUMA, engines, 2, who, list);
}

/* ---- cores ---- */

START_TEST(engines_get_whole_cores_and_services_the_last_ones)
{
    start("numa:1 pack:2 core:8 pu:2");
    expect_core(14, 0, "0-1");
    expect_core(14, 13, "26-27");
    expect_core(14, SERVICE, "28-31");
    expect_core(3, 2, "4-5");
    expect_core(3, SERVICE, "28-31");
    stop();
}
END_TEST

START_TEST(one_spare_core_is_shared_by_the_services)
{
    start("numa:1 pack:1 core:2 pu:1");
    expect_core(1, 0, "0");
    expect_core(1, SERVICE, "1");
    stop();
}
END_TEST

START_TEST(too_few_cores_leave_services_unbound)
{
    start("numa:1 pack:1 core:2 pu:1");
    for (int engines = 2; engines <= 5; engines++) {
        for (int who = 0; who < engines; who++)
            expect_core(engines, who, who % 2 ? "1" : "0");
        expect_core(engines, SERVICE, NULL);
    }
    stop();
}
END_TEST

START_TEST(a_host_without_services_keeps_no_core)
{
    start("numa:1 pack:2 core:2 pu:1");
    expect(IPP_BIND_CORE, 2, 0, 1, "1");
    expect(IPP_BIND_NUMA, 2, 0, 0, "0-3");
    expect(IPP_BIND_NUMA, 2, 1, 0, "0-2");
    expect(IPP_BIND_NUMA, 2, 1, SERVICE, "3");
    stop();
}
END_TEST

START_TEST(a_host_of_services_alone)
{
    start("numa:1 pack:1 core:4 pu:1");
    expect_core(0, SERVICE, "2-3");
    expect(IPP_BIND_NUMA, 0, 1, SERVICE, "3");
    stop();
}
END_TEST

START_TEST(threads_count_where_there_are_no_cores)
{
    start("numa:1 pack:2 pu:2");
    expect_core(2, 1, "1");
    expect_core(2, SERVICE, "2-3");
    stop();
}
END_TEST

START_TEST(none_binds_nobody)
{
    start("numa:1 pack:1 core:4 pu:1");
    expect(IPP_BIND_NONE, 1, 2, 0, NULL);
    expect(IPP_BIND_NONE, 1, 2, SERVICE, NULL);
    stop();
}
END_TEST

/* ---- NUMA nodes ---- */

START_TEST(nodes_are_given_without_the_services_cores)
{
    start("numa:4 core:4 pu:1");
    expect_numa(4, 0, "0-3");
    expect_numa(4, 2, "8-11");
    expect_numa(4, 3, "12-13");
    expect_numa(4, SERVICE, "14-15");
    stop();
}
END_TEST

START_TEST(no_node_gets_more_engines_than_cores)
{
    static const char *const nodes[] = { "0-3", "4-7", "8-11", "12-13" };
    static const int dealt[] = { 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 0, 1, 2 };
    start("numa:4 core:4 pu:1");
    for (int who = 0; who < 14; who++)
        expect_numa(14, who, nodes[dealt[who]]);
    expect_numa(14, SERVICE, "14-15");
    stop();
}
END_TEST

START_TEST(nodes_are_whole_when_engines_leave_no_core)
{
    start("numa:4 core:4 pu:1");
    expect_numa(15, 3, "12-14");
    expect_numa(15, SERVICE, "15");
    expect_numa(16, 3, "12-15");
    expect_numa(16, 15, "12-15");
    expect_numa(16, SERVICE, NULL);
    expect_numa(40, 17, "4-7");
    expect_numa(40, SERVICE, NULL);
    stop();
}
END_TEST

START_TEST(a_node_of_service_cores_alone_gets_no_engine)
{
    start("numa:3 core:2 pu:1");
    expect_numa(3, 0, "0-1");
    expect_numa(3, 1, "2-3");
    expect_numa(3, 2, "0-1");
    expect_numa(3, SERVICE, "4-5");
    stop();
}
END_TEST

START_TEST(memory_beside_memory_is_no_second_node)
{
    start("pack:2 [numa] [numa] core:4 pu:1");
    ck_assert_int_eq(hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_NUMANODE), 4);
    expect_numa(3, 0, "0-3");
    expect_numa(3, 1, "4-5");
    expect_numa(3, 2, "0-3");
    stop();
}
END_TEST

/* ---- what a cgroup leaves ---- */

static void check_partly_allowed(void)
{
    expect_core(2, 0, "3");
    expect_core(2, 1, "6-7");
    expect_core(2, SERVICE, "8-9");
    expect_core(3, SERVICE, NULL);
    expect_numa(1, 0, "3");
    expect_numa(1, SERVICE, "6-9");
    expect(IPP_BIND_NUMA, 2, 0, 0, "3,6-7");
    expect(IPP_BIND_NUMA, 2, 0, 1, "8-9");
}

START_TEST(cores_that_are_not_ours_do_not_count)
{
    hwloc_cpuset_t allowed = set_of("3,6-9");
    start("numa:2 core:4 pu:2"); /* what hwloc makes of a cgroup by default */
    ck_assert_int_eq(hwloc_topology_restrict(machine, allowed, 0), 0);
    check_partly_allowed();
    stop();
    make_machine("numa:2 core:4 pu:2", HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    ck_assert_int_eq(hwloc_topology_allow(machine, allowed, NULL, HWLOC_ALLOW_FLAG_CUSTOM), 0);
    check_partly_allowed();
    stop();
    hwloc_bitmap_free(allowed);
}
END_TEST

/* ---- whatever the machine ---- */

static hwloc_cpuset_t chosen(enum ipp_bind bind, int engines, int services, int who)
{
    const struct placement_host host = { .engines = engines, .services = services };
    return placement_choose(machine, bind, &host, who);
}

static int cores_in(hwloc_const_cpuset_t set)
{
    int count = 0;
    hwloc_obj_t core = NULL;
    while ((core = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_CORE, core)))
        count += hwloc_bitmap_intersects(core->cpuset, set);
    return count;
}

/* How many of the first `engines` engines have a set that intersects that of engine `who`. */
static int neighbours(enum ipp_bind bind, int engines, int services, int who)
{
    int count = 0;
    hwloc_cpuset_t own = chosen(bind, engines, services, who);
    for (int other = 0; other < engines; other++) {
        hwloc_cpuset_t set = chosen(bind, engines, services, other);
        count += hwloc_bitmap_intersects(own, set);
        hwloc_bitmap_free(set);
    }
    hwloc_bitmap_free(own);
    return count;
}

static void check_promises(enum ipp_bind bind, int cores, int engines, int services)
{
    hwloc_cpuset_t kept = chosen(bind, engines, services, SERVICE);
    ck_assert((kept != NULL) == (services > 0 && engines < cores));
    for (int who = 0; who < engines; who++) {
        hwloc_cpuset_t own = chosen(bind, engines, services, who);
        ck_assert_ptr_nonnull(own);
        ck_assert_int_gt(cores_in(own), 0);
        ck_assert(!kept || !hwloc_bitmap_intersects(own, kept));
        if (engines + services <= cores)
            ck_assert_int_le(neighbours(bind, engines, services, who), cores_in(own));
        hwloc_bitmap_free(own);
    }
    hwloc_bitmap_free(kept);
}

START_TEST(services_stay_off_the_engines_cores_everywhere)
{
    static const char *const machines[] = {
        "numa:1 pack:1 core:1 pu:2", "numa:1 pack:1 core:2 pu:1", "numa:1 pack:2 core:3 pu:2",
        "numa:4 core:2 pu:2",        "numa:1 core:12 pu:1",       "pack:2 numa:2 core:3 pu:1",
        "numa:8 core:1 pu:1"
    };
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        start(machines[i]);
        int cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE);
        for (int engines = 0; engines <= 2 * cores + 1; engines++)
            for (int services = 0; services <= 2; services++) {
                check_promises(IPP_BIND_CORE, cores, engines, services);
                check_promises(IPP_BIND_NUMA, cores, engines, services);
            }
        stop();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("placement");
    TCase *cores = tcase_create("cores"), *nodes = tcase_create("nodes"),
          *all = tcase_create("all");
    tcase_add_test(cores, engines_get_whole_cores_and_services_the_last_ones);
    tcase_add_test(cores, one_spare_core_is_shared_by_the_services);
    tcase_add_test(cores, too_few_cores_leave_services_unbound);
    tcase_add_test(cores, a_host_without_services_keeps_no_core);
    tcase_add_test(cores, a_host_of_services_alone);
    tcase_add_test(cores, threads_count_where_there_are_no_cores);
    tcase_add_test(cores, none_binds_nobody);
    tcase_add_test(nodes, nodes_are_given_without_the_services_cores);
    tcase_add_test(nodes, no_node_gets_more_engines_than_cores);
    tcase_add_test(nodes, nodes_are_whole_when_engines_leave_no_core);
    tcase_add_test(nodes, a_node_of_service_cores_alone_gets_no_engine);
    tcase_add_test(nodes, memory_beside_memory_is_no_second_node);
    tcase_add_test(all, cores_that_are_not_ours_do_not_count);
    tcase_add_test(all, services_stay_off_the_engines_cores_everywhere);
    suite_add_tcase(suite, cores);
    suite_add_tcase(suite, nodes);
    suite_add_tcase(suite, all);
    return unit_run(suite);
}
