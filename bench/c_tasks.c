/* SPDX-License-Identifier: BSD-3-Clause
 * What C tasks cost, from inside an application. Usage, under mpirun: c_tasks [MODE [TASKS]]
 * rate      tasks that do nothing, submitted by one rank and run by all: tasks/s, nine rounds
 * start     submitted one at a time to another rank that is idle: ns until each begins
 * constant  tasks of 10 ms: one line, the time that two ranks need over the ideal
 * lognormal tasks of 5 ms in the mean, sigma 1.5: likewise
 * queue     tasks of 100 bytes that wait while nobody serves
 * At the end rank 1 writes a line "balancer CPU_NANOSECONDS MAX_RSS_BYTES" to stderr. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "ippmpi.h"

static long runs;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- what tasks do ---- */

static int nothing(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output,
                   void *arg)
{
    (void)ipp, (void)payload, (void)size, (void)output, (void)arg;
    runs++;
    return 0;
}

static int say_when(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output,
                    void *arg)
{
    int64_t begin = now_ns();
    (void)ipp, (void)payload, (void)size, (void)arg;
    return ipp_task_put(output, &begin, sizeof begin);
}

/* Computes for as many ns as its payload says. */
static int compute(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output,
                   void *arg)
{
    int64_t end = now_ns(), wanted;
    (void)ipp, (void)output, (void)arg;
    if (size != sizeof wanted)
        return 1;
    memcpy(&wanted, payload, sizeof wanted);
    for (end += wanted; now_ns() < end;)
        ;
    runs++;
    return 0;
}

/* ---- modes ---- */

struct run {
    ipp_t *ipp;
    int rank, size;
    long tasks;
    ipp_task_type_t *nothing, *say_when, *compute;
};

static int rate(const struct run *run)
{
    long all;
    for (int round = 0; round < 9; round++) {
        int64_t begin = now_ns();
        runs = 0;
        for (long i = 0; run->rank == 0 && i < run->tasks; i++)
            if (ipp_task_submit(run->ipp, run->nothing, NULL, 0, NULL, NULL) < 0)
                return 1;
        if (ipp_task_serve(run->ipp) != 0)
            return 1;
        double seconds = (double)(now_ns() - begin) / 1e9;
        MPI_Allreduce(&runs, &all, 1, MPI_LONG, MPI_SUM, ipp_comm(run->ipp));
        if (all != run->tasks)
            return 1;
        if (run->rank == 0)
            printf("%.0f\n", (double)run->tasks / seconds);
    }
    return 0;
}

static int start(const struct run *run)
{
    ipp_task_options_t there = IPP_TASK_OPTIONS;
    there.engine = run->size - 1;
    for (long i = 0; run->rank == 0 && i < run->tasks; i++) {
        ipp_task_t *task;
        ipp_task_result_t result;
        int64_t begin = now_ns(), began;
        if (ipp_task_submit(run->ipp, run->say_when, NULL, 0, &there, &task) < 0 ||
            ipp_task_wait(run->ipp, task, -1, &result) < 0 || result.size != sizeof began)
            return 1;
        memcpy(&began, result.data, sizeof began);
        ipp_task_free(run->ipp, task);
        printf("%ld\n", (long)(began - begin));
    }
    return ipp_task_serve(run->ipp) != 0;
}

/* A standard normal value: Box and Muller, Ann. Math. Stat. 29 (1958). */
static double normal(void)
{
    double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = rand() / (RAND_MAX + 1.0);
    return sqrt(-2 * log(u)) * cos(2 * 3.141592653589793 * v);
}

/* The ideal: all ranks busy all the time, or the longest task. */
static int spread(const struct run *run, double mean_ns, double sigma)
{
    double sum = 0, longest = 0;
    int64_t begin;
    srand(1);
    MPI_Barrier(ipp_comm(run->ipp));
    begin = now_ns();
    for (long i = 0; run->rank == 0 && i < run->tasks; i++) {
        double value = mean_ns * exp(sigma * normal() - sigma * sigma / 2);
        int64_t length = (int64_t)value;
        sum += value;
        longest = value > longest ? value : longest;
        if (ipp_task_submit(run->ipp, run->compute, &length, sizeof length, NULL, NULL) < 0)
            return 1;
    }
    if (ipp_task_serve(run->ipp) != 0)
        return 1;
    double taken = (double)(now_ns() - begin), ideal = sum / run->size;
    if (run->rank == 0)
        printf("%.6f\n", taken / (ideal > longest ? ideal : longest));
    return 0;
}

static int queue(const struct run *run)
{
    char payload[100] = { 0 };
    MPI_Barrier(ipp_comm(run->ipp));
    for (long i = 0; run->rank == 0 && i < run->tasks; i++)
        if (ipp_task_submit(run->ipp, run->nothing, payload, sizeof payload, NULL, NULL) < 0)
            return 1;
    if (ipp_task_flush(run->ipp) < 0)
        return 1;
    /* When this one comes back, those before it are in the queue. */
    ipp_task_options_t soon = IPP_TASK_OPTIONS;
    soon.timeout_ms = 1;
    ipp_task_t *last;
    if (run->rank == 0 && (ipp_task_submit(run->ipp, run->nothing, NULL, 0, &soon, &last) < 0 ||
                           ipp_task_wait(run->ipp, last, -1, NULL) < 0))
        return 1;
    MPI_Barrier(ipp_comm(run->ipp));
    return ipp_task_serve(run->ipp) != 0;
}

static int measure(ipp_t *ipp, const char *mode, long tasks)
{
    struct run run = { .ipp = ipp,
                       .tasks = tasks,
                       .nothing = ipp_task_register(ipp, "nothing", nothing, NULL),
                       .say_when = ipp_task_register(ipp, "say_when", say_when, NULL),
                       .compute = ipp_task_register(ipp, "compute", compute, NULL) };
    MPI_Comm_rank(ipp_comm(ipp), &run.rank);
    MPI_Comm_size(ipp_comm(ipp), &run.size);
    if (!run.nothing || !run.say_when || !run.compute)
        return 1;
    if (strcmp(mode, "rate") == 0)
        return rate(&run);
    if (strcmp(mode, "start") == 0)
        return start(&run);
    if (strcmp(mode, "constant") == 0)
        return spread(&run, 10e6, 0);
    if (strcmp(mode, "lognormal") == 0)
        return spread(&run, 5e6, 1.5);
    return strcmp(mode, "queue") == 0 ? queue(&run) : 2;
}

static void say_balancer(void)
{
    struct rusage usage;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    getrusage(RUSAGE_SELF, &usage);
    double user = (double)usage.ru_utime.tv_sec * 1e9 + (double)usage.ru_utime.tv_usec * 1e3;
    double kernel = (double)usage.ru_stime.tv_sec * 1e9 + (double)usage.ru_stime.tv_usec * 1e3;
    if (rank == 1)
        fprintf(stderr, "balancer %.0f %.0f\n", user + kernel, (double)usage.ru_maxrss * 1024);
}

int main(int argc, char **argv)
{
    ipp_t *ipp;
    ipp_options_t options = { .log_level = "error" };
    if (ipp_init(&ipp, &argc, &argv, &options) < 0)
        return 2;
    const char *mode = argc > 1 ? argv[1] : "rate";
    int failed = 0;
    if (ipp_is_service(ipp))
        say_balancer();
    else
        failed = measure(ipp, mode, argc > 2 ? atol(argv[2]) : 1000000);
    int code = ipp_finalize(ipp);
    return failed ? failed : code;
}
