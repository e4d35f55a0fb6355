/* SPDX-License-Identifier: BSD-3-Clause
 * Rank 1's own loop and scheduler with thousands of simulated engines, under SimGrid's SMPI. Usage,
 * under smpirun: scale TASKS MEAN_NS SIGMA MESSAGE_NS TASK_NS. Rank 0 submits all tasks, rank 1 is
 * the balancer, the others take as long as each task says (log-normal; sigma 0: constant). Prints
 * the simulated seconds from the first submit to the end of the last task, and of the ideal. */
#include <math.h>
#include <mpi.h>
#include <smpi/smpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scale.h"
#include "sched/balancer.h"

/* As the engine's (task_run.c). */
#define RESULTS_WAIT_NS 1000000

struct engine {
    link_t *link;
    int id;
    link_batch_t ended;
    int64_t flushed_ns;
    bool quiet;
};

static bool nobody_stops(void)
{
    return false;
}

static void send_batch(link_t *link, int engine, enum link_kind kind, link_batch_t *batch)
{
    struct link_envelope envelope = { .kind = (uint16_t)kind, .engine = engine };
    ipp_frames_t frames = { 0 };
    if (batch->count == 0)
        return;
    if (ipp_frames_push(&frames, link_batch_take(batch)) < 0)
        abort();
    link_send(link, 1, LINK_DATA, &envelope, &frames);
}

/* ---- rank 0 ---- */

static double normal(void)
{
    double u = (rand() + 1.0) / (RAND_MAX + 2.0), v = rand() / (RAND_MAX + 1.0);
    return sqrt(-2 * log(u)) * cos(2 * 3.141592653589793 * v);
}

/* Returns the ideal time in seconds. */
static double submit_all(link_t *link, long tasks, double mean_ns, double sigma)
{
    double sum = 0, longest = 0;
    link_batch_t batch = { 0 };
    srand(1);
    for (long i = 0; i < tasks; i++) {
        double ns = mean_ns * exp(sigma * normal() - sigma * sigma / 2);
        struct link_record record = { .task = (uint64_t)IPP_SERVICE_RANKS << LINK_TASK_RANK_SHIFT |
                                              LINK_TASK_DETACHED | (uint64_t)i,
                                      .size = sizeof ns,
                                      .engine = -1 };
        sum += ns;
        longest = ns > longest ? ns : longest;
        if (link_batch_add(&batch, &record, &ns) < 0)
            abort();
        if (batch.used >= LINK_BATCH_BYTES)
            send_batch(link, -1, LINK_SUBMIT, &batch);
    }
    send_batch(link, -1, LINK_SUBMIT, &batch);
    double even = sum / (link_size(link) - IPP_SERVICE_RANKS);
    return (even > longest ? even : longest) / 1e9;
}

/* ---- engines ---- */

static void run(struct engine *engine, struct link_record *record)
{
    double ns;
    memcpy(&ns, record + 1, sizeof ns);
    smpi_execute(ns / 1e9);
    record->size = 0;
    record->status = IPP_TASK_OK;
    record->time_ns = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    if (link_batch_add(&engine->ended, record, NULL) < 0)
        abort();
    int64_t now = ipp_now_ns();
    if (engine->ended.used >= LINK_BATCH_BYTES || now - engine->flushed_ns > RESULTS_WAIT_NS) {
        send_batch(engine->link, engine->id, LINK_ENDED, &engine->ended);
        engine->flushed_ns = now;
    }
}

static void deliver(void *arg, struct link_message *msg)
{
    struct engine *engine = arg;
    size_t at = 0;
    engine->quiet = msg->envelope.kind == LINK_QUIET;
    if (msg->envelope.kind != LINK_RUN)
        return;
    for (struct link_record *record; (record = link_batch_next(msg->frames.at[0], &at)) != NULL;)
        run(engine, record);
}

static void serve(struct engine *engine)
{
    struct link_envelope serving = { .kind = LINK_SERVING, .engine = engine->id };
    link_send(engine->link, 1, LINK_DATA, &serving, NULL);
    while (!engine->quiet) {
        if (!scale_waiting())
            send_batch(engine->link, engine->id, LINK_ENDED, &engine->ended);
        scale_receive(engine->link, deliver, engine);
    }
    link_batch_clear(&engine->ended);
}

/* ---- all ---- */

int main(int argc, char **argv)
{
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (argc != 6) {
        if (rank == 0)
            fprintf(stderr, "usage: scale TASKS MEAN_NS SIGMA MESSAGE_NS TASK_NS\n");
        MPI_Finalize();
        return 2;
    }
    struct scale_costs costs = { atof(argv[4]), atof(argv[5]) }, none = { 0 };
    link_t *link = scale_link(rank == 1 ? &costs : &none);
    double begin = MPI_Wtime(), ideal = 0;
    if (rank == 0) {
        ideal = submit_all(link, atol(argv[1]), atof(argv[2]), atof(argv[3]));
    } else if (rank == 1) {
        ipp_options_t options = { 0 };
        balancer_run(link, &options, true, nobody_stops);
    } else {
        struct engine engine = { .link = link, .id = rank - IPP_SERVICE_RANKS };
        serve(&engine);
        if (rank == IPP_SERVICE_RANKS) { /* the last task has ended */
            struct link_envelope leave = { .kind = LINK_LEAVE };
            link_send(link, 1, LINK_DATA, &leave, NULL);
        }
    }
    double taken = MPI_Wtime() - begin;
    if (rank == IPP_SERVICE_RANKS)
        MPI_Send(&taken, 1, MPI_DOUBLE, 0, 2, MPI_COMM_WORLD);
    if (rank == 0) {
        MPI_Recv(&taken, 1, MPI_DOUBLE, IPP_SERVICE_RANKS, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        printf("%.9f %.9f\n", taken, ideal);
    }
    MPI_Finalize();
    return 0;
}
