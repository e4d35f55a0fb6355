/* SPDX-License-Identifier: BSD-3-Clause
 * The engines' communicator and its successors. */
#include "mpi_engine/world.h"

#include <mpi.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ippmpi.h"

static struct {
    pthread_mutex_t mutex;
    MPI_Comm comm;
    int built; /* after how many deaths `comm` was built */
    bool changed;
} world = { .mutex = PTHREAD_MUTEX_INITIALIZER, .comm = MPI_COMM_NULL };

struct rebuild {
    int losses, count;
    int survivors[]; /* ranks of the job */
};

void world_create(bool member)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_split(MPI_COMM_WORLD, member ? 0 : MPI_UNDEFINED, rank, &world.comm);
    if (member)
        MPI_Comm_set_errhandler(world.comm, MPI_ERRORS_RETURN);
}

void world_free(void)
{
    if (world.comm != MPI_COMM_NULL)
        MPI_Comm_free(&world.comm);
}

static void adopt(MPI_Comm comm, int losses)
{
    pthread_mutex_lock(&world.mutex);
    if (losses > world.built) { /* the old one is not freed: user code may be waiting in it */
        world.comm = comm;
        world.built = losses;
        world.changed = true;
    }
    pthread_mutex_unlock(&world.mutex);
}

static void *rebuild(void *arg)
{
    struct rebuild *r = arg;
    MPI_Group all, survivors;
    MPI_Comm comm = MPI_COMM_NULL;
    MPI_Comm_group(MPI_COMM_WORLD, &all);
    MPI_Group_incl(all, r->count, r->survivors, &survivors);
    int result = MPI_Comm_create_group(MPI_COMM_WORLD, survivors, r->losses, &comm);
    MPI_Group_free(&survivors);
    MPI_Group_free(&all);
    if (result == MPI_SUCCESS && comm != MPI_COMM_NULL) {
        MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
        adopt(comm, r->losses);
    } else {
        ipp_log(IPP_LOG_WARNING, "the engines' communicator cannot be rebuilt: MPI error %d",
                result);
    }
    free(r);
    return NULL;
}

void world_rebuild(link_t *link, int losses)
{
    int size = link_size(link);
    struct rebuild *r = malloc(sizeof *r + (size_t)size * sizeof r->survivors[0]);
    if (!r)
        return;
    *r = (struct rebuild){ .losses = losses };
    for (int i = IPP_SERVICE_RANKS; i < size; i++)
        if (!link_is_lost(link, i))
            r->survivors[r->count++] = i;
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, rebuild, r) != 0) {
        ipp_log(IPP_LOG_WARNING, "the engines' communicator cannot be rebuilt: no thread");
        free(r);
    }
    pthread_attr_destroy(&detached);
}

void world_store(void *handle)
{
    pthread_mutex_lock(&world.mutex);
    memcpy(handle, &world.comm, sizeof world.comm);
    pthread_mutex_unlock(&world.mutex);
}

bool world_changed(void)
{
    pthread_mutex_lock(&world.mutex);
    bool changed = world.changed;
    world.changed = false;
    pthread_mutex_unlock(&world.mutex);
    return changed;
}
