/* SPDX-License-Identifier: BSD-3-Clause
 * The msg_ids of tasks that have ended lately: others may still depend on them. */
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* As many as the balancer remembers. */
#define ENDED_KEPT 262144

struct ended_task {
    UT_hash_handle hh; /* by msg_id, in the order in which they ended */
    uint64_t number;
    char msg_id[];
};

static void forget(struct bridge *b, struct ended_task *task)
{
    HASH_DEL(b->ended, task); /* NOLINT(clang-analyzer-unix.Malloc): uthash's links confuse it */
    free(task);
}

void ended_add(struct bridge *b, const char *msg_id, uint64_t number)
{
    size_t length = strlen(msg_id);
    struct ended_task *task = malloc(sizeof *task + length + 1), *same;
    if (!task)
        return;
    HASH_FIND(hh, b->ended, msg_id, length, same);
    if (same)
        forget(b, same);
    if (HASH_COUNT(b->ended) >= ENDED_KEPT)
        forget(b, b->ended); /* the first is the oldest */
    task->number = number;
    memcpy(task->msg_id, msg_id, length + 1);
    HASH_ADD_KEYPTR(hh, b->ended, task->msg_id, length, task);
}

uint64_t ended_find(struct bridge *b, const char *msg_id)
{
    struct ended_task *task;
    HASH_FIND(hh, b->ended, msg_id, strlen(msg_id), task);
    return task ? task->number : 0;
}

void ended_forget_all(struct bridge *b)
{
    struct ended_task *task, *next;
    HASH_ITER(hh, b->ended, task, next)
    {
        forget(b, task);
    }
}
