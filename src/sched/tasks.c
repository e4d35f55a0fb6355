/* SPDX-License-Identifier: BSD-3-Clause
 * Memory for tasks, lists of them in order of submission, and the heap of their deadlines. */
#include "sched/sched_task.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- memory ---- */

/* The first chunk is small; the others are huge pages where the system has them: with a million
 * tasks that wait, a third of their time went into page faults. */
#define FIRST_BYTES ((size_t)64 << 10)
#define HUGE_BYTES ((size_t)2 << 20)

struct pool_chunk {
    struct pool_chunk *next;
    void *records[];
};

static struct pool_chunk *chunk_create(struct pool *pool)
{
    size_t bytes = pool->chunks ? HUGE_BYTES : FIRST_BYTES;
    struct pool_chunk *chunk = aligned_alloc(bytes, bytes);
    if (!chunk)
        return NULL;
    if (bytes == HUGE_BYTES)
        madvise(chunk, bytes, MADV_HUGEPAGE);
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    char *first = (char *)chunk->records;
    for (size_t i = (bytes - sizeof *chunk) / pool->bytes; i-- > 0;) {
        void **record = (void *)(first + i * pool->bytes);
        *record = pool->free;
        pool->free = record;
    }
    return chunk;
}

void *pool_get(struct pool *pool)
{
    if (!pool->free && !chunk_create(pool))
        return NULL;
    void **record = pool->free;
    assert(record);
    pool->free = *record;
    pool->used++;
    return record;
}

void pool_put(struct pool *pool, void *record)
{
    *(void **)record = pool->free;
    pool->free = record;
    if (--pool->used == 0 && pool->chunks->next)
        pool_free(pool);
}

void pool_free(struct pool *pool)
{
    struct pool_chunk *next;
    for (struct pool_chunk *chunk = pool->chunks; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    pool->free = pool->chunks = NULL;
    pool->used = 0;
}

/* ---- lists ---- */

/* Between two neighbours, either of which may be NULL: the end of the list. */
static void link_between(struct task_list *list, struct task *prev, struct task *task,
                         struct task *next)
{
    task->prev = prev;
    task->next = next;
    if (prev)
        prev->next = task;
    else
        list->head = task;
    if (next)
        next->prev = task;
    else
        list->tail = task;
}

void task_list_insert(struct task_list *list, struct task *task)
{
    struct task *next = list->head; /* all before it are older */
    struct task *prev = list->tail; /* all after it are younger */
    for (;;) {
        if (!next || next->order > task->order) {
            link_between(list, next ? next->prev : list->tail, task, next);
            return;
        }
        if (prev->order < task->order) {
            link_between(list, prev, task, prev->next);
            return;
        }
        next = next->next;
        prev = prev->prev;
    }
}

struct task *task_list_shift(struct task_list *list)
{
    struct task *task = list->head;
    task_list_remove(list, task);
    return task;
}

void task_list_merge(struct task_list *into, struct task_list *from)
{
    struct task_list merged = { NULL, NULL };
    while (into->head && from->head) {
        bool ours = into->head->order < from->head->order;
        task_list_append(&merged, task_list_shift(ours ? into : from));
    }
    while (into->head)
        task_list_append(&merged, task_list_shift(into));
    while (from->head)
        task_list_append(&merged, task_list_shift(from));
    *into = merged;
}

/* Bottom-up: runs[i] is empty or holds 2^i tasks. */
void task_list_sort(struct task_list *list)
{
    struct task_list runs[64] = { { NULL, NULL } };
    while (list->head) {
        struct task_list run = { NULL, NULL };
        size_t i = 0;
        task_list_append(&run, task_list_shift(list));
        for (; runs[i].head; i++)
            task_list_merge(&run, &runs[i]);
        runs[i] = run;
    }
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        task_list_merge(list, &runs[i]);
}

/* ---- deadlines: a binary heap that knows where each task is ---- */

int deadlines_reserve(struct deadlines *deadlines)
{
    if (deadlines->reserved == deadlines->capacity) {
        if (deadlines->capacity > TASK_NO_TIMER / 2) {
            errno = ENOMEM;
            return -1;
        }
        uint32_t capacity = deadlines->capacity ? 2 * deadlines->capacity : 64;
        struct deadline *heap = realloc(deadlines->heap, capacity * sizeof *heap);
        if (!heap)
            return -1;
        deadlines->heap = heap;
        deadlines->capacity = capacity;
    }
    deadlines->reserved++;
    return 0;
}

void deadlines_release(struct deadlines *deadlines)
{
    deadlines->reserved--;
}

static void place(struct deadlines *deadlines, uint32_t at, struct deadline entry)
{
    deadlines->heap[at] = entry;
    entry.more->timer = at;
}

/* Puts the entry where it belongs on the way from the hole `at` to the root. */
static void sift_up(struct deadlines *deadlines, uint32_t at, struct deadline entry)
{
    while (at > 0 && deadlines->heap[(at - 1) / 2].at_ms > entry.at_ms) {
        place(deadlines, at, deadlines->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(deadlines, at, entry);
}

static void sift_down(struct deadlines *deadlines, uint32_t at, struct deadline entry)
{
    const struct deadline *heap = deadlines->heap;
    for (;;) {
        uint64_t child = 2 * (uint64_t)at + 1;
        if (child + 1 < deadlines->count && heap[child + 1].at_ms < heap[child].at_ms)
            child++;
        if (child >= deadlines->count || heap[child].at_ms >= entry.at_ms)
            break;
        place(deadlines, at, heap[child]);
        at = (uint32_t)child;
    }
    place(deadlines, at, entry);
}

void deadlines_add(struct deadlines *deadlines, struct task *task)
{
    struct deadline entry = { task->more->deadline_ms, task->more };
    sift_up(deadlines, deadlines->count++, entry);
}

void deadlines_remove(struct deadlines *deadlines, struct task *task)
{
    uint32_t at = task->more->timer;
    struct deadline last = deadlines->heap[--deadlines->count];
    task->more->timer = TASK_NO_TIMER;
    if (last.more == task->more)
        return;
    if (at > 0 && deadlines->heap[(at - 1) / 2].at_ms > last.at_ms)
        sift_up(deadlines, at, last);
    else
        sift_down(deadlines, at, last);
}
