/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of an application's engine share. */
#ifndef IPP_APP_H
#define IPP_APP_H

#include "mpi_engine/engine.h"

struct ipp {
    ipp_options_t options;
    struct job job;
    struct engine *engine; /* NULL on services */
    struct tasks *tasks;
};

/* ---- task_store.c: the tasks that this rank has submitted and not freed. Any thread ---- */
struct task_store;
struct task_store *task_store_create(int rank);
void task_store_destroy(struct task_store *store); /* NULL is fine */
/* A task that is awaited from now on; NULL: ENOMEM, EAGAIN 2^24 of them. */
ipp_task_t *task_store_new(struct task_store *store);
uint64_t task_store_number(const ipp_task_t *task);
/* A number for a task that nobody waits for. */
uint64_t task_store_detached(struct task_store *store);
bool task_number_is_detached(uint64_t number);
int task_number_rank(uint64_t number);
/* What became of a task of this rank's: copies `data`. A second result is ignored. */
void task_store_end(struct task_store *store, uint64_t number, enum ipp_task_status status,
                    int code, const void *data, size_t size);
/* All that are awaited end so. */
void task_store_end_all(struct task_store *store, enum ipp_task_status status);
/* True once it has ended, with *result (may be NULL); task_store_next gives it no more. */
bool task_store_take(struct task_store *store, ipp_task_t *task, ipp_task_result_t *result);
/* The first that has ended and was not taken; NULL: none. *awaited: how many have not ended. */
ipp_task_t *task_store_next(struct task_store *store, ipp_task_result_t *result, size_t *awaited);
void task_store_free(struct task_store *store, ipp_task_t *task);

/* ---- tasks.c ---- */
struct tasks *tasks_create(ipp_t *ipp); /* NULL: ENOMEM */
void tasks_destroy(struct tasks *tasks, bool finalize);
/* Sends what is left; nothing more will come. */
void tasks_close(struct tasks *tasks);

#endif
