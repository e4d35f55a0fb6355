/* SPDX-License-Identifier: BSD-3-Clause
 * What a task asks for, as it comes over the link. */
#include <string.h>

#include "sched/balancer_private.h"

static struct sched_dependency read_needs(const uint64_t *numbers, uint32_t count, uint32_t kind)
{
    return (struct sched_dependency){ .tasks = numbers,
                                      .count = count,
                                      .all = kind & LINK_NEEDS_ALL,
                                      .success = kind & LINK_NEEDS_SUCCESS,
                                      .failure = kind & LINK_NEEDS_FAILURE };
}

size_t wants_read(const void *bytes, size_t size, struct sched_task *spec)
{
    const struct link_task *task = bytes;
    if (size < sizeof *task || link_task_size(task) > size)
        return 0;
    const uint64_t *after = (const void *)(task + 1), *follow = after + task->after_count;
    const int32_t *targets = (const void *)(follow + task->follow_count);
    spec->client = task->client;
    spec->timeout_ms = task->timeout_ms;
    spec->retries = task->retries;
    spec->priority = task->priority;
    spec->width = task->width;
    spec->policy = task->policy < 0 ? NULL : sched_policy_at((size_t)task->policy);
    spec->after = read_needs(after, task->after_count, task->after_kind);
    spec->follow = read_needs(follow, task->follow_count, task->follow_kind);
    spec->targets = targets;
    spec->target_count = task->target_count;
    spec->preferred = targets + task->target_count;
    spec->preferred_count = task->preferred_count;
    return link_task_size(task);
}
