/* SPDX-License-Identifier: BSD-3-Clause
 * Values on their way up a reduction's tree: the tree, and what came from below and is not yet
 * wanted. Any thread. */
#ifndef IPP_PARTIALS_H
#define IPP_PARTIALS_H

#include "base/base.h"

/* A binomial tree of at most 2^31 engines. */
#define PARTIALS_CHILDREN 31

struct partials_tree {
    int parent; /* an engine's id; -1 at the root, which is the first one */
    int child_count;
    int children[PARTIALS_CHILDREN]; /* each with its subtree is a run behind what is before it */
};

/* The place of engine `self` in the tree over `engines`, which ascend. -1, EINVAL: it is not in it.
 */
int partials_tree(struct partials_tree *tree, const int *engines, size_t count, int self);

typedef struct partials partials_t;

/* NULL: ENOMEM. */
partials_t *partials_create(void);
void partials_destroy(partials_t *partials); /* NULL is fine */

/* What `engine` says for request `number`; moves `frames` (empty afterwards, also when nobody wants
 * them). -1: ENOMEM. */
int partials_put(partials_t *partials, uint64_t number, int engine, int status,
                 ipp_frames_t *frames);
/* Moves it out; false while it has not come. */
bool partials_take(partials_t *partials, uint64_t number, int engine, int *status,
                   ipp_frames_t *frames);
bool partials_has(partials_t *partials, uint64_t number, int engine);
/* Nobody wants it any more, be it here or still to come. */
void partials_refuse(partials_t *partials, uint64_t number, int engine);
/* Nothing comes from `engine` any more; what has come stays. */
void partials_lost(partials_t *partials, int engine);
/* How many are kept or refused and not come yet. */
size_t partials_count(partials_t *partials);

#endif
