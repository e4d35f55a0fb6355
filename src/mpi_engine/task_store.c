/* SPDX-License-Identifier: BSD-3-Clause
 * The tasks that this rank has submitted: a table of slots, each used again when its task is freed.
 * A task's number is its rank, how often the slot was used, and the slot. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "mpi_engine/app.h"

#define SLOT_BITS 24
#define SLOTS ((uint32_t)1 << SLOT_BITS)
#define USE_BITS 23
#define CHUNK_BITS 12
#define CHUNK ((uint32_t)1 << CHUNK_BITS)

enum state {
    UNUSED,
    AWAITED,
    ENDED,     /* in the list of those */
    TAKEN,     /* ended, and given to the caller */
    FORGOTTEN, /* freed before it has ended */
};

struct ipp_task {
    TAILQ_ENTRY(ipp_task) link; /* of those that have ended, or are unused */
    uint64_t number;
    enum state state;
    ipp_task_result_t result;
};

TAILQ_HEAD(task_list, ipp_task);

struct task_store {
    pthread_mutex_t mutex;
    int rank;
    struct ipp_task **chunks;
    uint32_t slots; /* in use or unused, of all chunks */
    struct task_list unused, ended;
    size_t awaited;
    uint64_t detached;
};

struct task_store *task_store_create(int rank)
{
    struct task_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    store->chunks = calloc(SLOTS / CHUNK, sizeof *store->chunks);
    if (!store->chunks) {
        free(store);
        return NULL;
    }
    store->rank = rank;
    TAILQ_INIT(&store->unused);
    TAILQ_INIT(&store->ended);
    pthread_mutex_init(&store->mutex, NULL);
    return store;
}

static struct ipp_task *slot(const struct task_store *store, uint32_t index)
{
    return &store->chunks[index >> CHUNK_BITS][index & (CHUNK - 1)];
}

void task_store_destroy(struct task_store *store)
{
    if (!store)
        return;
    for (uint32_t i = 0; i < store->slots; i++)
        free((void *)slot(store, i)->result.data);
    for (uint32_t i = 0; i < store->slots; i += CHUNK)
        free(store->chunks[i >> CHUNK_BITS]);
    pthread_mutex_destroy(&store->mutex);
    free(store->chunks);
    free(store);
}

static int grow(struct task_store *store)
{
    if (store->slots == SLOTS) {
        errno = EAGAIN;
        return -1;
    }
    struct ipp_task *chunk = calloc(CHUNK, sizeof *chunk);
    if (!chunk) {
        errno = ENOMEM;
        return -1;
    }
    store->chunks[store->slots >> CHUNK_BITS] = chunk;
    for (uint32_t i = 0; i < CHUNK; i++) {
        chunk[i].number = (uint64_t)store->rank << LINK_TASK_RANK_SHIFT | (store->slots + i);
        TAILQ_INSERT_TAIL(&store->unused, &chunk[i], link);
    }
    store->slots += CHUNK;
    return 0;
}

ipp_task_t *task_store_new(struct task_store *store)
{
    pthread_mutex_lock(&store->mutex);
    struct ipp_task *task = NULL;
    if (!TAILQ_EMPTY(&store->unused) || grow(store) == 0) {
        task = TAILQ_FIRST(&store->unused);
        TAILQ_REMOVE(&store->unused, task, link);
        task->state = AWAITED;
        store->awaited++;
    }
    pthread_mutex_unlock(&store->mutex);
    return task;
}

uint64_t task_store_number(const ipp_task_t *task)
{
    return task->number;
}

uint64_t task_store_detached(struct task_store *store)
{
    return (uint64_t)store->rank << LINK_TASK_RANK_SHIFT | LINK_TASK_DETACHED |
           store->detached++ % LINK_TASK_DETACHED;
}

bool task_number_is_detached(uint64_t number)
{
    return number & LINK_TASK_DETACHED;
}

int task_number_rank(uint64_t number)
{
    return (int)(number >> LINK_TASK_RANK_SHIFT);
}

/* Its next user has another number: a result that comes late finds nobody. */
static void release(struct task_store *store, struct ipp_task *task)
{
    uint64_t use = (task->number >> SLOT_BITS) & (((uint64_t)1 << USE_BITS) - 1);
    uint64_t next = (use + 1) & (((uint64_t)1 << USE_BITS) - 1);
    free((void *)task->result.data);
    task->result = (ipp_task_result_t){ 0 };
    task->number =
        (task->number & ~((((uint64_t)1 << USE_BITS) - 1) << SLOT_BITS)) | next << SLOT_BITS;
    task->state = UNUSED;
    TAILQ_INSERT_HEAD(&store->unused, task, link);
}

/* NULL: there is nothing, or no memory. */
static void *copy_of(const ipp_task_result_t *result)
{
    void *copy = result->size > 0 ? malloc(result->size) : NULL;
    return copy ? memcpy(copy, result->data, result->size) : NULL;
}

static void end(struct task_store *store, struct ipp_task *task, const ipp_task_result_t *result)
{
    if (task->state == FORGOTTEN)
        release(store, task);
    if (task->state != AWAITED)
        return;
    store->awaited--;
    task->result = *result;
    task->result.data = copy_of(result);
    if (result->size > 0 && !task->result.data)
        task->result = (ipp_task_result_t){ .status = IPP_TASK_REFUSED, .code = ENOMEM };
    task->state = ENDED;
    TAILQ_INSERT_TAIL(&store->ended, task, link);
}

void task_store_end(struct task_store *store, uint64_t number, enum ipp_task_status status,
                    int code, const void *data, size_t size)
{
    ipp_task_result_t result = { status, code, data, size };
    uint32_t index = number & (SLOTS - 1);
    pthread_mutex_lock(&store->mutex);
    if (index < store->slots && slot(store, index)->number == number)
        end(store, slot(store, index), &result);
    pthread_mutex_unlock(&store->mutex);
}

void task_store_end_all(struct task_store *store, enum ipp_task_status status)
{
    ipp_task_result_t result = { .status = status };
    pthread_mutex_lock(&store->mutex);
    for (uint32_t i = 0; i < store->slots; i++)
        end(store, slot(store, i), &result);
    pthread_mutex_unlock(&store->mutex);
}

/* Under the mutex. */
static void take(struct task_store *store, struct ipp_task *task, ipp_task_result_t *result)
{
    if (task->state == ENDED) {
        TAILQ_REMOVE(&store->ended, task, link);
        task->state = TAKEN;
    }
    if (result)
        *result = task->result;
}

bool task_store_take(struct task_store *store, ipp_task_t *task, ipp_task_result_t *result)
{
    pthread_mutex_lock(&store->mutex);
    bool ended = task->state == ENDED || task->state == TAKEN;
    if (ended)
        take(store, task, result);
    pthread_mutex_unlock(&store->mutex);
    return ended;
}

ipp_task_t *task_store_next(struct task_store *store, ipp_task_result_t *result, size_t *awaited)
{
    pthread_mutex_lock(&store->mutex);
    struct ipp_task *task = TAILQ_FIRST(&store->ended);
    if (task)
        take(store, task, result);
    *awaited = store->awaited;
    pthread_mutex_unlock(&store->mutex);
    return task;
}

void task_store_free(struct task_store *store, ipp_task_t *task)
{
    pthread_mutex_lock(&store->mutex);
    if (task->state == AWAITED) {
        task->state = FORGOTTEN;
        store->awaited--;
    } else {
        take(store, task, NULL);
        release(store, task);
    }
    pthread_mutex_unlock(&store->mutex);
}
