/* SPDX-License-Identifier: BSD-3-Clause
 * Memory of large frames, straight from the kernel. Any thread. */
#ifndef IPP_MAPPING_H
#define IPP_MAPPING_H

#include <stddef.h>
#include <stdint.h>

/* Contents are unset. NULL: no memory. */
void *mapping_new(size_t size);
void mapping_free(void *data, size_t size);
/* Keep up to so many bytes of what is freed; 0, as at first: none. Before there are threads. */
void mapping_keep(size_t bytes);
/* Gives back what has been kept for so long. */
void mapping_trim(int64_t unused_ms);

#endif
