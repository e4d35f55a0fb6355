/* SPDX-License-Identifier: BSD-3-Clause
 * The shape of a multicast: a complete tree of fixed degree laid over a list, the sender at its
 * head. Pure. */
#ifndef IPP_LINK_TREE_H
#define IPP_LINK_TREE_H

#include <stddef.h>

/* Degree 4: at 4,096 ranks six hops deep, and no rank sends a message more than four times. */
#define TREE_DEGREE 4

/* Position of the parent of position i > 0; position 0 is the root. */
size_t tree_parent(size_t i);

/* Writes the positions of the subtree under `top` in a list of `count` positions, level by level
 * and `top` first, to `out` (room for `count`). Returns how many. The result is laid out as a tree
 * of the same shape again. */
size_t tree_subtree(size_t top, size_t count, size_t *out);

#endif
