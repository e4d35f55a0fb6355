/* SPDX-License-Identifier: BSD-3-Clause
 * The store of partial values: a few at a time, in a list. */
#include "mpi_engine/partials.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct partial {
    struct partial *next;
    uint64_t number;
    int engine, status;
    bool refused; /* not here yet, and dropped when it comes */
    ipp_frames_t frames;
};

struct partials {
    pthread_mutex_t mutex;
    struct partial *first;
};

int partials_tree(struct partials_tree *tree, const int *engines, size_t count, int self)
{
    size_t at = 0;
    while (at < count && engines[at] != self)
        at++;
    if (at == count) {
        errno = EINVAL;
        return -1;
    }
    *tree = (struct partials_tree){ .parent = -1 };
    for (size_t bit = 1; bit < count; bit <<= 1) {
        if (at & bit) {
            tree->parent = engines[at - bit];
            break;
        }
        if (at + bit < count)
            tree->children[tree->child_count++] = engines[at + bit];
    }
    return 0;
}

partials_t *partials_create(void)
{
    partials_t *partials = calloc(1, sizeof *partials);
    if (partials)
        pthread_mutex_init(&partials->mutex, NULL);
    return partials;
}

static void partial_free(struct partial *partial)
{
    ipp_frames_clear(&partial->frames);
    free(partial);
}

void partials_destroy(partials_t *partials)
{
    if (!partials)
        return;
    for (struct partial *partial; (partial = partials->first) != NULL;) {
        partials->first = partial->next;
        partial_free(partial);
    }
    pthread_mutex_destroy(&partials->mutex);
    free(partials);
}

/* Where the entry is linked, or would be. */
static struct partial **find(partials_t *partials, uint64_t number, int engine)
{
    struct partial **at = &partials->first;
    while (*at && ((*at)->number != number || (*at)->engine != engine))
        at = &(*at)->next;
    return at;
}

static struct partial *unlink_at(struct partial **at)
{
    struct partial *partial = *at;
    *at = partial->next;
    return partial;
}

static struct partial *append_at(struct partial **at, uint64_t number, int engine)
{
    struct partial *partial = calloc(1, sizeof *partial);
    if (!partial)
        return NULL;
    partial->number = number;
    partial->engine = engine;
    *at = partial;
    return partial;
}

int partials_put(partials_t *partials, uint64_t number, int engine, int status,
                 ipp_frames_t *frames)
{
    int result = 0;
    pthread_mutex_lock(&partials->mutex);
    struct partial **at = find(partials, number, engine), *partial = *at;
    if (partial && partial->refused) {
        partial_free(unlink_at(at));
    } else if (!partial) {
        partial = append_at(at, number, engine);
        if (partial) {
            partial->status = status;
            partial->frames = *frames;
            *frames = (ipp_frames_t){ 0 };
        } else {
            result = -1;
        }
    }
    pthread_mutex_unlock(&partials->mutex);
    ipp_frames_clear(frames);
    return result;
}

bool partials_take(partials_t *partials, uint64_t number, int engine, int *status,
                   ipp_frames_t *frames)
{
    pthread_mutex_lock(&partials->mutex);
    struct partial **at = find(partials, number, engine);
    bool there = *at && !(*at)->refused;
    struct partial *partial = there ? unlink_at(at) : NULL;
    pthread_mutex_unlock(&partials->mutex);
    if (partial) {
        *status = partial->status;
        *frames = partial->frames;
        free(partial);
    }
    return there;
}

bool partials_has(partials_t *partials, uint64_t number, int engine)
{
    pthread_mutex_lock(&partials->mutex);
    const struct partial *partial = *find(partials, number, engine);
    bool there = partial && !partial->refused;
    pthread_mutex_unlock(&partials->mutex);
    return there;
}

void partials_refuse(partials_t *partials, uint64_t number, int engine)
{
    pthread_mutex_lock(&partials->mutex);
    struct partial **at = find(partials, number, engine), *partial = *at;
    if (partial && !partial->refused)
        partial_free(unlink_at(at));
    else if (!partial && (partial = append_at(at, number, engine)) != NULL)
        partial->refused = true;
    pthread_mutex_unlock(&partials->mutex);
}

void partials_lost(partials_t *partials, int engine)
{
    pthread_mutex_lock(&partials->mutex);
    for (struct partial **at = &partials->first; *at;)
        if ((*at)->engine == engine && (*at)->refused)
            partial_free(unlink_at(at));
        else
            at = &(*at)->next;
    pthread_mutex_unlock(&partials->mutex);
}

size_t partials_count(partials_t *partials)
{
    size_t count = 0;
    pthread_mutex_lock(&partials->mutex);
    for (const struct partial *partial = partials->first; partial; partial = partial->next)
        count++;
    pthread_mutex_unlock(&partials->mutex);
    return count;
}
