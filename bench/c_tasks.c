/* SPDX-License-Identifier: BSD-3-Clause
 * C tasks that do nothing, submitted by one of an application's ranks and run by all of them:
 * prints tasks a second, a line for each of nine rounds. Usage, under mpirun: c_tasks [TASKS] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ippmpi.h"

static long runs;

static int nothing(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output,
                   void *arg)
{
    (void)ipp;
    (void)payload;
    (void)size;
    (void)output;
    (void)arg;
    runs++;
    return 0;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int measure(ipp_t *ipp, long tasks)
{
    int rank;
    long all;
    ipp_task_type_t *type = ipp_task_register(ipp, "nothing", nothing, NULL);
    MPI_Comm_rank(ipp_comm(ipp), &rank);
    for (int round = 0; type; round++) {
        double begin = seconds();
        runs = 0;
        for (long i = 0; rank == 0 && i < tasks; i++)
            if (ipp_task_submit(ipp, type, NULL, 0, NULL, NULL) < 0)
                return 1;
        if (ipp_task_serve(ipp) != 0)
            return 1;
        double taken = seconds() - begin;
        MPI_Allreduce(&runs, &all, 1, MPI_LONG, MPI_SUM, ipp_comm(ipp));
        if (all != tasks)
            return 1;
        if (rank == 0)
            printf("%.0f\n", (double)tasks / taken);
        if (round == 8)
            return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    ipp_t *ipp;
    ipp_options_t options = { .log_level = "error" };
    if (ipp_init(&ipp, &argc, &argv, &options) < 0)
        return 2;
    int failed = ipp_is_service(ipp) ? 0 : measure(ipp, argc > 1 ? atol(argv[1]) : 1000000);
    int code = ipp_finalize(ipp);
    return failed ? failed : code;
}
