/* SPDX-License-Identifier: BSD-3-Clause
 * .npy files that are sent out of their mapping: given back when nobody needs their bytes. */
#ifndef IPP_CLI_MAPPED_H
#define IPP_CLI_MAPPED_H

#include <ippsteer.h>

#include "steer/cli/npy.h"

struct mapped;

/* NULL with a text and errno, as npy_open. */
struct mapped *mapped_open(const char *path, ipp_err_t *err);
const struct npy_array *mapped_array(const struct mapped *mapped);
/* The caller's own use; the file stays while buffers of it are out. NULL is fine. */
void mapped_close(struct mapped *mapped);
/* `size` bytes from `offset` of the array, for one request. */
ipp_buffer_t mapped_buffer(struct mapped *mapped, size_t offset, size_t size);
/* {dtype, shape} of the array with `rows` along axis 0 (-1: as it is). */
json_t *mapped_describe(const struct mapped *mapped, int64_t rows);

#endif
