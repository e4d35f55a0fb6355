/* SPDX-License-Identifier: BSD-3-Clause
 * The shape of a multicast: a complete tree laid over a list, the sender at its head. Pure. */
#ifndef IPP_LINK_TREE_H
#define IPP_LINK_TREE_H

#include <stddef.h>

/* Bulk: no rank sends it more than four times, and at 4,096 ranks it takes six hops. */
#define TREE_DEGREE_BULK 4
/* A small message costs its sender less than a hop takes: to wake up, to read and to send on. */
#define TREE_DEGREE_SMALL 32
#define TREE_DEGREE_MAX TREE_DEGREE_SMALL

/* Position of the parent of position i > 0; position 0 is the root. */
size_t tree_parent(size_t i, size_t degree);

/* Writes the positions of the subtree under `top` in a list of `count` positions, level by level
 * and `top` first, to `out` (room for `count`). Returns how many. The result is laid out as a tree
 * of the same shape again. */
size_t tree_subtree(size_t top, size_t count, size_t degree, size_t *out);

#endif
