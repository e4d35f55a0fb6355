/* SPDX-License-Identifier: BSD-3-Clause
 * The shape of a multicast. */
#include "link/tree.h"

size_t tree_parent(size_t i, size_t degree)
{
    return (i - 1) / degree;
}

size_t tree_subtree(size_t top, size_t count, size_t degree, size_t *out)
{
    size_t written = 0, first = top, width = 1;
    while (first < count) { /* one level at a time: positions first .. first + width - 1 */
        for (size_t i = first; i < first + width && i < count; i++)
            out[written++] = i;
        first = first * degree + 1;
        width *= degree;
    }
    return written;
}
