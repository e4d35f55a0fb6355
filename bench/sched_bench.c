/* SPDX-License-Identifier: BSD-3-Clause
 * What one task costs the scheduler, one JSON line per figure. Usage: sched_bench [TASKS [NAME]] */
#include "sched/sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct assignment {
    uint64_t task;
    int engine;
};

/* What is on the engines: a ring, they all take equally long. */
struct bench {
    sched_t *sched;
    struct assignment *ring;
    size_t first, count, size;
    size_t dropped;
};

static void on_assign(void *arg, const struct sched_live *task, const int *engines, int count)
{
    struct bench *bench = arg;
    for (int i = 0; i < count; i++)
        bench->ring[(bench->first + bench->count++) % bench->size] =
            (struct assignment){ task->id, engines[i] };
}

static void on_drop(void *arg, const struct sched_live *task, const struct sched_end *end)
{
    struct bench *bench = arg;
    (void)task, (void)end;
    bench->dropped++;
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double resident_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void setup(struct bench *bench, int engines, int prefetch)
{
    static const struct sched_callbacks callbacks = { on_assign, on_drop };
    struct sched_options options = { .prefetch = prefetch, .remember = 262144 };
    *bench = (struct bench){ .size = (size_t)engines * (size_t)prefetch + 1 };
    bench->ring = calloc(bench->size, sizeof *bench->ring);
    bench->sched = sched_create(&options, &callbacks, bench);
    if (!bench->ring || !bench->sched)
        die("setup");
    for (int engine = 0; engine < engines; engine++)
        if (sched_engine_join(bench->sched, engine, NULL) < 0)
            die("join");
}

static void teardown(struct bench *bench)
{
    sched_destroy(bench->sched);
    free(bench->ring);
}

/* Reports the end of all that runs until nothing does. */
static void drain(struct bench *bench, int failing_engine)
{
    while (bench->count > 0) {
        struct assignment done = bench->ring[bench->first];
        bench->first = (bench->first + 1) % bench->size;
        bench->count--;
        enum sched_outcome outcome = done.engine == failing_engine ? SCHED_FAILED : SCHED_SUCCEEDED;
        if (sched_done(bench->sched, done.task, done.engine, outcome, NULL) < 0)
            die("done");
    }
}

#define MAX_TARGETS 8
#define MAX_NEEDS 2

struct variant {
    const char *name;
    int engines, prefetch;
    int targets;        /* of each task, at random; 0: any engine */
    int64_t timeout_ms; /* of each task */
    int failing_engine; /* one that fails all it gets; -1: none */
    int needs;          /* tasks that each comes after: of the thousand before it, at random */
    int clients;        /* that take turns; 0: one */
};

static const struct variant variants[] = {
    { "sched_task_ns", 1, 1, 0, 0, -1, 0, 0 },
    { "sched_task_ns", 64, 1, 0, 0, -1, 0, 0 },
    { "sched_task_ns", 4096, 1, 0, 0, -1, 0, 0 },
    { "sched_prefetch4_task_ns", 4096, 4, 0, 0, -1, 0, 0 },
    { "sched_timeout_task_ns", 64, 1, 0, 3600000, -1, 0, 0 },
    { "sched_one_target_task_ns", 4096, 1, 1, 0, -1, 0, 0 },
    { "sched_three_targets_task_ns", 4096, 1, 3, 0, -1, 0, 0 },
    { "sched_failing_engine_task_ns", 64, 1, 0, 0, 7, 0, 0 },
    { "sched_two_needs_task_ns", 64, 1, 0, 0, -1, 2, 0 },
    { "sched_ten_clients_task_ns", 64, 1, 0, 0, -1, 0, 10 },
};

static void line(const char *name, int engines, double value, const char *unit)
{
    printf("{\"name\":\"%s\",\"engines\":%d,\"value\":%.1f,\"unit\":\"%s\"}\n", name, engines,
           value, unit);
    fflush(stdout);
}

static void submit_all(struct bench *bench, const struct variant *variant, size_t tasks)
{
    int targets[MAX_TARGETS];
    uint64_t needs[MAX_NEEDS];
    unsigned random = 1;
    struct sched_task task = { .targets = targets,
                               .target_count = (size_t)variant->targets,
                               .retries = 3,
                               .timeout_ms = variant->timeout_ms };
    for (size_t i = 0; i < tasks; i++) {
        task.id = i + 1;
        task.client = variant->clients ? i % (size_t)variant->clients : 0;
        task.after = (struct sched_dependency){ needs, 0, .all = true, .success = true };
        for (int j = 0; j < variant->needs && i > 0; j++) {
            random = random * 1664525u + 1013904223u;
            needs[task.after.count++] = i - (random >> 8) % (i < 1000 ? i : 1000);
        }
        for (int j = 0; j < variant->targets; j++) {
            random = random * 1664525u + 1013904223u;
            targets[j] = (int)((random >> 8) % (unsigned)variant->engines);
        }
        if (sched_submit(bench->sched, &task, (int64_t)(i / 1000)) < 0)
            die("submit");
    }
}

static void run(const struct variant *variant, size_t tasks)
{
    struct bench bench;
    setup(&bench, variant->engines, variant->prefetch);
    double before = resident_bytes();
    double start = now_ns();
    submit_all(&bench, variant, tasks);
    double after = resident_bytes();
    drain(&bench, variant->failing_engine);
    line(variant->name, variant->engines, (now_ns() - start) / (double)tasks, "ns");
    if (variant == variants) /* later ones use the same memory again */
        line("sched_task_bytes", variant->engines, (after - before) / (double)tasks, "bytes");
    if (sched_queued(bench.sched) > 0 || bench.dropped > 0)
        die("tasks are left");
    teardown(&bench);
}

int main(int argc, char **argv)
{
    size_t tasks = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    for (size_t i = 0; tasks > 0 && i < sizeof variants / sizeof *variants; i++)
        if (argc < 3 || strcmp(argv[2], variants[i].name) == 0)
            run(&variants[i], tasks);
    return EXIT_SUCCESS;
}
