/* SPDX-License-Identifier: BSD-3-Clause
 * .npy files that are sent out of their mapping. */
#include "steer/cli/mapped.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "steer/cli/text.h"

struct mapped {
    struct npy_file file;
    _Atomic int uses; /* the caller's, and one for each buffer */
};

struct mapped *mapped_open(const char *path, ipp_err_t *err)
{
    struct npy_file file;
    if (npy_open(&file, path, err) < 0)
        return NULL;
    struct mapped *mapped = cli_realloc(NULL, 1, sizeof *mapped);
    mapped->file = file;
    atomic_init(&mapped->uses, 1);
    return mapped;
}

const struct npy_array *mapped_array(const struct mapped *mapped)
{
    return &mapped->file.array;
}

/* From a thread of ZeroMQ's too, so nothing of jansson's here. */
static void release(void *data, void *arg)
{
    struct mapped *mapped = arg;
    (void)data;
    if (atomic_fetch_sub(&mapped->uses, 1) > 1)
        return;
    munmap(mapped->file.map, mapped->file.size);
    free(mapped);
}

void mapped_close(struct mapped *mapped)
{
    if (!mapped)
        return;
    json_decref(mapped->file.array.dtype);
    release(NULL, mapped);
}

ipp_buffer_t mapped_buffer(struct mapped *mapped, size_t offset, size_t size)
{
    atomic_fetch_add(&mapped->uses, 1);
    return (ipp_buffer_t){ .data = (const char *)mapped->file.array.data + offset,
                           .size = size,
                           .release = release,
                           .arg = mapped };
}

json_t *mapped_describe(const struct mapped *mapped, int64_t rows)
{
    const struct npy_array *array = &mapped->file.array;
    json_t *shape = json_array();
    for (int i = 0; i < array->ndims; i++)
        json_array_append_new(shape, json_integer(i == 0 && rows >= 0 ? rows : array->shape[i]));
    return json_pack("{s:O,s:o}", "dtype", array->dtype, "shape", shape);
}
