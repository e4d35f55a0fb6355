/* SPDX-License-Identifier: BSD-3-Clause
 * The store of cancelled tasks: most of the time empty, which costs one look. */
#include "mpi_engine/cancels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uthash.h>

struct cancel {
    uint64_t task, mark;
    UT_hash_handle hh;
};

struct cancels {
    pthread_mutex_t mutex;
    _Atomic size_t count;
    uint64_t mark;
    struct cancel *all;
};

cancels_t *cancels_create(void)
{
    cancels_t *cancels = calloc(1, sizeof *cancels);
    if (cancels)
        pthread_mutex_init(&cancels->mutex, NULL);
    return cancels;
}

void cancels_destroy(cancels_t *cancels)
{
    if (!cancels)
        return;
    cancels_forget(cancels, UINT64_MAX);
    pthread_mutex_destroy(&cancels->mutex);
    free(cancels);
}

static struct cancel *find(cancels_t *cancels, uint64_t task)
{
    struct cancel *cancel;
    HASH_FIND(hh, cancels->all, &task, sizeof task, cancel);
    return cancel;
}

static void drop(cancels_t *cancels, struct cancel *cancel)
{
    HASH_DEL(cancels->all, cancel); /* NOLINT(clang-analyzer-unix.Malloc): uthash's links */
    atomic_fetch_sub(&cancels->count, 1);
    free(cancel);
}

void cancels_add(cancels_t *cancels, uint64_t task)
{
    pthread_mutex_lock(&cancels->mutex);
    struct cancel *known = find(cancels, task), *cancel = known ? NULL : malloc(sizeof *cancel);
    if (known)
        known->mark = ++cancels->mark;
    if (cancel) {
        *cancel = (struct cancel){ .task = task, .mark = ++cancels->mark };
        HASH_ADD(hh, cancels->all, task, sizeof cancel->task, cancel);
        atomic_fetch_add(&cancels->count, 1);
    }
    pthread_mutex_unlock(&cancels->mutex);
}

bool cancels_has(cancels_t *cancels, uint64_t task)
{
    if (atomic_load(&cancels->count) == 0)
        return false;
    pthread_mutex_lock(&cancels->mutex);
    bool found = find(cancels, task) != NULL;
    pthread_mutex_unlock(&cancels->mutex);
    return found;
}

bool cancels_take(cancels_t *cancels, uint64_t task)
{
    if (atomic_load(&cancels->count) == 0)
        return false;
    pthread_mutex_lock(&cancels->mutex);
    struct cancel *cancel = find(cancels, task);
    bool found = cancel != NULL;
    if (found)
        drop(cancels, cancel);
    pthread_mutex_unlock(&cancels->mutex);
    return found;
}

uint64_t cancels_mark(cancels_t *cancels)
{
    if (atomic_load(&cancels->count) == 0)
        return 0;
    pthread_mutex_lock(&cancels->mutex);
    uint64_t mark = cancels->mark;
    pthread_mutex_unlock(&cancels->mutex);
    return mark;
}

void cancels_forget(cancels_t *cancels, uint64_t mark)
{
    struct cancel *cancel, *next;
    pthread_mutex_lock(&cancels->mutex);
    HASH_ITER(hh, cancels->all, cancel, next)
    {
        if (cancel->mark <= mark)
            drop(cancels, cancel);
    }
    pthread_mutex_unlock(&cancels->mutex);
}
