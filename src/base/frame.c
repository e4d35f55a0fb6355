/* SPDX-License-Identifier: BSD-3-Clause
 * Reference-counted byte frames and lists of them. */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapping.h"

/* From this size on frames get mappings of their own, in huge pages where the kernel has them:
 * faulting a gigabyte in by small pages costs several times as much as copying it. */
#define MAPPED_BYTES ((size_t)4 << 20)

struct ipp_frame {
    atomic_int references;
    size_t size;
    void *data;
    ipp_frame_free_fn free_fn;
    void *arg;
    max_align_t inline_data[]; /* where ipp_frame_alloc keeps the bytes */
};

static ipp_frame_t *frame_new(size_t inline_size)
{
    if (inline_size > SIZE_MAX - sizeof(ipp_frame_t)) {
        errno = ENOMEM;
        return NULL;
    }
    ipp_frame_t *frame = malloc(sizeof *frame + inline_size);
    if (!frame)
        return NULL;
    atomic_init(&frame->references, 1);
    frame->size = inline_size;
    frame->data = frame->inline_data;
    frame->free_fn = NULL;
    frame->arg = NULL;
    return frame;
}

static void unmap(void *data, void *size)
{
    mapping_free(data, (size_t)(uintptr_t)size);
}

static ipp_frame_t *frame_mapped(size_t size)
{
    void *data = mapping_new(size);
    if (!data) {
        errno = ENOMEM; /* mmap has other names for too much */
        return NULL;
    }
    ipp_frame_t *frame = ipp_frame_adopt(data, size, unmap, (void *)(uintptr_t)size);
    if (!frame)
        mapping_free(data, size);
    return frame;
}

void ipp_frame_keep(size_t bytes)
{
    mapping_keep(bytes);
}

void ipp_frame_trim(int64_t unused_ms)
{
    mapping_trim(unused_ms);
}

static bool use_heap;

void ipp_frame_use_heap(void)
{
    use_heap = true;
}

ipp_frame_t *ipp_frame_alloc(size_t size)
{
    return size >= MAPPED_BYTES && !use_heap ? frame_mapped(size) : frame_new(size);
}

ipp_frame_t *ipp_frame_copy(const void *data, size_t size)
{
    ipp_frame_t *frame = ipp_frame_alloc(size);
    if (frame && size > 0)
        memcpy(frame->data, data, size);
    return frame;
}

ipp_frame_t *ipp_frame_adopt(void *data, size_t size, ipp_frame_free_fn free_fn, void *arg)
{
    ipp_frame_t *frame = frame_new(0);
    if (!frame)
        return NULL;
    frame->size = size;
    if (data)
        frame->data = data;
    frame->free_fn = free_fn;
    frame->arg = arg;
    return frame;
}

ipp_frame_t *ipp_frame_ref(ipp_frame_t *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void ipp_frame_unref(ipp_frame_t *frame)
{
    if (!frame || atomic_fetch_sub_explicit(&frame->references, 1, memory_order_acq_rel) != 1)
        return;
    int saved_errno = errno;
    if (frame->free_fn)
        frame->free_fn(frame->data, frame->arg);
    free(frame);
    errno = saved_errno;
}

void *ipp_frame_data(ipp_frame_t *frame)
{
    return frame->data;
}

size_t ipp_frame_size(const ipp_frame_t *frame)
{
    return frame->size;
}

bool ipp_frame_shared(const ipp_frame_t *frame)
{
    return atomic_load_explicit(&frame->references, memory_order_acquire) > 1;
}

bool ipp_frame_equals(ipp_frame_t *frame, const void *data, size_t size)
{
    return frame->size == size && memcmp(frame->data, data, size) == 0;
}

int ipp_frames_push(ipp_frames_t *frames, ipp_frame_t *frame)
{
    if (!frame) {
        errno = ENOMEM;
        return -1;
    }
    if (frames->count == frames->capacity) {
        size_t capacity = frames->capacity ? frames->capacity * 2 : 8;
        ipp_frame_t **at = realloc(frames->at, capacity * sizeof *at);
        if (!at) {
            ipp_frame_unref(frame);
            errno = ENOMEM;
            return -1;
        }
        frames->at = at;
        frames->capacity = capacity;
    }
    frames->at[frames->count++] = frame;
    return 0;
}

int ipp_frames_push_copy(ipp_frames_t *frames, const void *data, size_t size)
{
    return ipp_frames_push(frames, ipp_frame_copy(data, size));
}

int ipp_frames_share(ipp_frames_t *to, const ipp_frames_t *from, size_t first)
{
    for (size_t i = first; i < from->count; i++)
        if (ipp_frames_push(to, ipp_frame_ref(from->at[i])) < 0)
            return -1;
    return 0;
}

size_t ipp_frames_bytes(const ipp_frames_t *frames)
{
    size_t bytes = 0;
    for (size_t i = 0; i < frames->count; i++)
        bytes += frames->at[i]->size;
    return bytes;
}

void ipp_frames_clear(ipp_frames_t *frames)
{
    for (size_t i = 0; i < frames->count; i++)
        ipp_frame_unref(frames->at[i]);
    free(frames->at);
    *frames = (ipp_frames_t){ 0 };
}
