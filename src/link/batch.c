/* SPDX-License-Identifier: BSD-3-Clause
 * Many small tasks in one message: records, each with its bytes behind it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/link.h"

_Static_assert(sizeof(struct link_record) % LINK_RECORD_ALIGN == 0, "payloads are aligned");

static size_t padded(uint32_t size)
{
    return ((size_t)size + LINK_RECORD_ALIGN - 1) & ~(size_t)(LINK_RECORD_ALIGN - 1);
}

static int reserve(link_batch_t *batch, size_t more)
{
    size_t needed = batch->used + more;
    if (needed <= batch->capacity)
        return 0;
    size_t capacity = needed < LINK_BATCH_BYTES ? 2 * LINK_BATCH_BYTES : needed;
    char *bytes = realloc(batch->bytes, capacity);
    if (!bytes) {
        errno = ENOMEM;
        return -1;
    }
    batch->bytes = bytes;
    batch->capacity = capacity;
    return 0;
}

int link_batch_add(link_batch_t *batch, const struct link_record *record, const void *bytes)
{
    size_t size = sizeof *record + padded(record->size);
    if (reserve(batch, size) < 0)
        return -1;
    char *at = batch->bytes + batch->used;
    memcpy(at, record, sizeof *record);
    if (record->size > 0)
        memcpy(at + sizeof *record, bytes, record->size);
    memset(at + sizeof *record + record->size, 0, size - sizeof *record - record->size);
    batch->used += size;
    batch->count++;
    return 0;
}

/* What one large payload has left would only be carried about. */
static void shrink(link_batch_t *batch)
{
    if (batch->capacity <= 4 * LINK_BATCH_BYTES)
        return;
    free(batch->bytes);
    batch->bytes = NULL;
    batch->capacity = 0;
}

ipp_frame_t *link_batch_take(link_batch_t *batch)
{
    ipp_frame_t *frame = ipp_frame_copy(batch->bytes, batch->used);
    if (!frame)
        return NULL;
    batch->used = batch->count = 0;
    shrink(batch);
    return frame;
}

void link_batch_clear(link_batch_t *batch)
{
    free(batch->bytes);
    *batch = (link_batch_t){ 0 };
}

struct link_record *link_batch_next(ipp_frame_t *frame, size_t *at)
{
    size_t left = ipp_frame_size(frame) - *at;
    struct link_record *record = (void *)((char *)ipp_frame_data(frame) + *at);
    if (left < sizeof *record || left - sizeof *record < padded(record->size))
        return NULL;
    *at += sizeof *record + padded(record->size);
    return record;
}
