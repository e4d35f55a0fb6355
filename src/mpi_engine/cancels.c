/* SPDX-License-Identifier: BSD-3-Clause
 * The store of cancelled tasks: most of the time empty, which costs one look. */
#include "mpi_engine/cancels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uthash.h>

struct cancel_entry {
    uint64_t task, mark;
    enum cancel why;
    UT_hash_handle hh;
};

struct cancels {
    pthread_mutex_t mutex;
    _Atomic size_t count;
    uint64_t mark;
    struct cancel_entry *all;
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

static struct cancel_entry *find(cancels_t *cancels, uint64_t task)
{
    struct cancel_entry *entry;
    HASH_FIND(hh, cancels->all, &task, sizeof task, entry);
    return entry;
}

static void drop(cancels_t *cancels, struct cancel_entry *entry)
{
    HASH_DEL(cancels->all, entry); /* NOLINT(clang-analyzer-unix.Malloc): uthash's links */
    atomic_fetch_sub(&cancels->count, 1);
    free(entry);
}

void cancels_add(cancels_t *cancels, uint64_t task, enum cancel why)
{
    pthread_mutex_lock(&cancels->mutex);
    struct cancel_entry *entry = find(cancels, task);
    if (!entry && (entry = calloc(1, sizeof *entry)) != NULL) {
        entry->task = task;
        HASH_ADD(hh, cancels->all, task, sizeof entry->task, entry);
        atomic_fetch_add(&cancels->count, 1);
    }
    if (entry) {
        entry->mark = ++cancels->mark;
        entry->why = entry->why > why ? entry->why : why;
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

enum cancel cancels_take(cancels_t *cancels, uint64_t task)
{
    if (atomic_load(&cancels->count) == 0)
        return CANCEL_NONE;
    pthread_mutex_lock(&cancels->mutex);
    struct cancel_entry *entry = find(cancels, task);
    enum cancel why = entry ? entry->why : CANCEL_NONE;
    if (entry)
        drop(cancels, entry);
    pthread_mutex_unlock(&cancels->mutex);
    return why;
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
    struct cancel_entry *entry, *next;
    pthread_mutex_lock(&cancels->mutex);
    HASH_ITER(hh, cancels->all, entry, next)
    {
        if (entry->mark <= mark)
            drop(cancels, entry);
    }
    pthread_mutex_unlock(&cancels->mutex);
}
