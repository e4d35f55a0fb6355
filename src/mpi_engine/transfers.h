/* SPDX-License-Identifier: BSD-3-Clause
 * Bytes that travel ahead of their request, put together here. For who drives the link alone. */
#ifndef IPP_TRANSFERS_H
#define IPP_TRANSFERS_H

#include "base/base.h"
#include "link/link.h"

typedef struct transfers transfers_t;

/* NULL: ENOMEM. */
transfers_t *transfers_create(void);
void transfers_destroy(transfers_t *transfers); /* NULL is fine */

/* The next `size` bytes of transfer `number`. Its memory is taken at the first chunk, all at once;
 * what cannot be (no memory for it, offsets with gaps, a total that changes) is remembered until
 * the request asks. */
void transfers_chunk(transfers_t *transfers, uint64_t number, const struct link_chunk *chunk,
                     const void *bytes, size_t size);

/* Appends the transfer's bytes to `frames`, cut into said->count buffers that share one memory,
 * and forgets it. -1 with a text, `frames` unchanged: EINVAL unknown, incomplete or of other
 * sizes, ENOMEM no memory for so much. It is forgotten then too. */
int transfers_take(transfers_t *transfers, const struct link_transfer *said, ipp_frames_t *frames,
                   ipp_err_t *err);

/* Its request will not come; an unknown number is fine. */
void transfers_drop(transfers_t *transfers, uint64_t number);

#endif
