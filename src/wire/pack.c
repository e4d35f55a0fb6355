/* SPDX-License-Identifier: BSD-3-Clause
 * Packs: the small frames of a message on the steering socket, as one. ZeroMQ takes as long over a
 * frame as over some kilobytes in it, and CURVE seals each. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

/* The size of a frame that is not in the pack but behind it. */
#define BEHIND UINT32_MAX

static char *put_number(char *at, uint32_t number)
{
    uint32_t bytes = htole32(number);
    memcpy(at, &bytes, sizeof bytes);
    return at + sizeof bytes;
}

static uint32_t get_number(const char *at)
{
    uint32_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    return le32toh(bytes);
}

/* 0: ENOMEM. */
static size_t pack_size(const struct wire_slice *slices, size_t count)
{
    size_t size = (count + 1) * sizeof(uint32_t);
    bool fits = count < UINT32_MAX;
    for (size_t i = 0; i < count && fits; i++) {
        fits = !slices[i].data || slices[i].size < BEHIND;
        size += slices[i].data ? slices[i].size : 0;
    }
    return fits ? size : 0;
}

ipp_frame_t *wire_pack_slices(const struct wire_slice *slices, size_t count)
{
    size_t size = pack_size(slices, count);
    ipp_frame_t *pack = size > 0 ? ipp_frame_alloc(size) : NULL;
    if (!pack) {
        errno = ENOMEM;
        return NULL;
    }
    char *table = put_number(ipp_frame_data(pack), (uint32_t)count);
    char *at = table + count * sizeof(uint32_t);
    for (size_t i = 0; i < count; i++) {
        table = put_number(table, slices[i].data ? (uint32_t)slices[i].size : BEHIND);
        if (slices[i].data) {
            memcpy(at, slices[i].data, slices[i].size);
            at += slices[i].size;
        }
    }
    return pack;
}

static bool goes_behind(const ipp_frame_t *frame)
{
    return ipp_frame_size(frame) > WIRE_PACKED_BYTES;
}

static struct wire_slice slice_of(ipp_frame_t *frame)
{
    return (struct wire_slice){ goes_behind(frame) ? NULL : ipp_frame_data(frame),
                                ipp_frame_size(frame) };
}

/* A list with the pack of `frames` from `first` on in their place. */
static int rearrange(ipp_frames_t *packed, const ipp_frames_t *frames, size_t first,
                     ipp_frame_t *pack)
{
    for (size_t i = 0; i < first; i++)
        if (ipp_frames_push(packed, ipp_frame_ref(frames->at[i])) < 0) {
            ipp_frame_unref(pack);
            return -1;
        }
    if (ipp_frames_push(packed, pack) < 0)
        return -1;
    for (size_t i = first; i < frames->count; i++)
        if (goes_behind(frames->at[i]) && ipp_frames_push(packed, ipp_frame_ref(frames->at[i])) < 0)
            return -1;
    return 0;
}

int wire_pack(ipp_frames_t *frames, size_t first)
{
    size_t count = frames->count - first;
    ipp_frames_t packed = { 0 };
    struct wire_slice *slices = malloc((count ? count : 1) * sizeof *slices);
    for (size_t i = 0; slices && i < count; i++)
        slices[i] = slice_of(frames->at[first + i]);
    ipp_frame_t *pack = slices ? wire_pack_slices(slices, count) : NULL;
    free(slices);
    if (!pack || rearrange(&packed, frames, first, pack) < 0) {
        ipp_frames_clear(&packed);
        errno = ENOMEM;
        return -1;
    }
    ipp_frames_clear(frames);
    *frames = packed;
    return 0;
}

/* ---- and back ---- */

struct reader {
    const char *table, *at, *end;
    uint32_t count;
};

static int open_pack(struct reader *r, ipp_frame_t *pack)
{
    const char *data = ipp_frame_data(pack);
    size_t size = ipp_frame_size(pack);
    uint32_t count = size < sizeof(uint32_t) ? UINT32_MAX : get_number(data);
    if (size / sizeof(uint32_t) <= count) {
        errno = EBADMSG;
        return -1;
    }
    *r = (struct reader){ .table = data + sizeof(uint32_t),
                          .at = data + ((size_t)count + 1) * sizeof(uint32_t),
                          .end = data + size,
                          .count = count };
    return 0;
}

/* The next frame, from the pack or from those behind it. NULL with errno. */
static ipp_frame_t *next_frame(struct reader *r, ipp_frame_t *const **behind,
                               ipp_frame_t *const *last)
{
    uint32_t size = get_number(r->table);
    r->table += sizeof(uint32_t);
    if (size == BEHIND && *behind < last)
        return ipp_frame_ref(*(*behind)++);
    if (size == BEHIND || size > (size_t)(r->end - r->at)) {
        errno = EBADMSG;
        return NULL;
    }
    ipp_frame_t *frame = ipp_frame_copy(r->at, size);
    r->at += size;
    return frame;
}

static int unpack(ipp_frames_t *out, const ipp_frames_t *frames, size_t first)
{
    struct reader r;
    if (frames->count <= first) {
        errno = EBADMSG;
        return -1;
    }
    for (size_t i = 0; i < first; i++)
        if (ipp_frames_push(out, ipp_frame_ref(frames->at[i])) < 0)
            return -1;
    ipp_frame_t *const *behind = frames->at + first + 1, *const *last = frames->at + frames->count;
    if (open_pack(&r, frames->at[first]) < 0)
        return -1;
    for (uint32_t i = 0; i < r.count; i++) {
        ipp_frame_t *frame = next_frame(&r, &behind, last);
        if (!frame || ipp_frames_push(out, frame) < 0)
            return -1;
    }
    if (behind == last && r.at == r.end)
        return 0;
    errno = EBADMSG;
    return -1;
}

int wire_unpack(ipp_frames_t *frames, size_t first)
{
    ipp_frames_t out = { 0 };
    if (unpack(&out, frames, first) < 0) {
        int saved_errno = errno;
        ipp_frames_clear(&out);
        errno = saved_errno;
        return -1;
    }
    ipp_frames_clear(frames);
    *frames = out;
    return 0;
}
