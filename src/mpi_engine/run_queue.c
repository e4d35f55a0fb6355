/* SPDX-License-Identifier: BSD-3-Clause
 * The run queue between who drives the link and the main thread. */
#include <stdlib.h>

#include "mpi_engine/engine.h"

struct run_queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct request *head, *tail;
    uint64_t last; /* number of the request that was given out last */
    bool closed, nudged, awaited;
};

struct run_queue *run_queue_create(void)
{
    struct run_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->changed, NULL);
    return queue;
}

void run_queue_destroy(struct run_queue *queue)
{
    if (!queue)
        return;
    for (struct request *r; (r = queue->head) != NULL;) {
        queue->head = r->next;
        request_free(r);
    }
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

void run_queue_push(struct run_queue *queue, struct request *request, bool in_front)
{
    pthread_mutex_lock(&queue->mutex);
    request->next = in_front ? queue->head : NULL;
    if (!queue->head)
        queue->head = queue->tail = request;
    else if (in_front)
        queue->head = request;
    else
        queue->tail = queue->tail->next = request;
    pthread_mutex_unlock(&queue->mutex);
}

static struct request *unlink_from(struct run_queue *queue, struct request *previous,
                                   struct request *request)
{
    if (previous)
        previous->next = request->next;
    else
        queue->head = request->next;
    if (queue->tail == request)
        queue->tail = previous;
    request->next = NULL;
    return request;
}

static enum run_queue_event take_next(struct run_queue *queue, struct request **request)
{
    if (queue->closed)
        return QUEUE_CLOSED;
    if (queue->nudged) {
        queue->nudged = false;
        return QUEUE_NUDGED;
    }
    if (!queue->head)
        return QUEUE_EMPTY;
    *request = unlink_from(queue, NULL, queue->head);
    queue->last = (*request)->envelope.request;
    return QUEUE_REQUEST;
}

enum run_queue_event run_queue_pop(struct run_queue *queue, struct request **request)
{
    pthread_mutex_lock(&queue->mutex);
    enum run_queue_event event = take_next(queue, request);
    pthread_mutex_unlock(&queue->mutex);
    return event;
}

enum run_queue_event run_queue_await(struct run_queue *queue, struct request **request)
{
    enum run_queue_event event;
    pthread_mutex_lock(&queue->mutex);
    queue->awaited = true;
    while ((event = take_next(queue, request)) == QUEUE_EMPTY)
        pthread_cond_wait(&queue->changed, &queue->mutex);
    queue->awaited = false;
    pthread_mutex_unlock(&queue->mutex);
    return event;
}

bool run_queue_pending(struct run_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool pending = queue->head || queue->closed || queue->nudged;
    pthread_mutex_unlock(&queue->mutex);
    return pending;
}

bool run_queue_awaited(struct run_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool awaited = queue->awaited && (queue->head || queue->closed);
    pthread_mutex_unlock(&queue->mutex);
    return awaited;
}

void run_queue_wake(struct run_queue *queue)
{
    pthread_cond_signal(&queue->changed);
}

void run_queue_nudge(struct run_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->nudged = true;
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}

struct request *run_queue_take(struct run_queue *queue, uint64_t id)
{
    struct request *previous = NULL, *request;
    pthread_mutex_lock(&queue->mutex);
    for (request = queue->head; request; previous = request, request = request->next)
        if (request->op && !request->gang && (id == 0 || request->envelope.request == id))
            break;
    if (request)
        unlink_from(queue, previous, request);
    pthread_mutex_unlock(&queue->mutex);
    return request;
}

struct request *run_queue_take_any(struct run_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    struct request *request = queue->head;
    if (request)
        unlink_from(queue, NULL, request);
    pthread_mutex_unlock(&queue->mutex);
    return request;
}

bool run_queue_knows(struct run_queue *queue, uint64_t id)
{
    pthread_mutex_lock(&queue->mutex);
    const struct request *request = queue->head;
    while (request && request->envelope.request != id)
        request = request->next;
    bool known = request || queue->last == id;
    pthread_mutex_unlock(&queue->mutex);
    return known;
}

void run_queue_forget_last(struct run_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->last = 0;
    pthread_mutex_unlock(&queue->mutex);
}

void run_queue_close(struct run_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}
