/* SPDX-License-Identifier: BSD-3-Clause
 * The contents of a message, shared by all its sends and its receive. */
#include <stdlib.h>

#include "link/link_private.h"

struct body *body_new(int origin, enum link_lane lane, const struct link_envelope *envelope,
                      ipp_frames_t *frames)
{
    struct body *body = link_calloc(1, sizeof *body);
    body->references = 1;
    body->origin = origin;
    body->lane = lane;
    body->envelope = *envelope;
    if (frames) {
        body->frames = *frames;
        *frames = (ipp_frames_t){ 0 };
    }
    for (size_t i = 0; i < body->frames.count; i++)
        if (ipp_frame_size(body->frames.at[i]) > LINK_INLINE_BYTES)
            body->bulk_bytes += ipp_frame_size(body->frames.at[i]);
    body->available = body->bulk_bytes;
    return body;
}

struct body *body_ref(struct body *body)
{
    body->references++;
    return body;
}

void body_unref(struct body *body)
{
    if (!body || --body->references > 0)
        return;
    ipp_frames_clear(&body->frames);
    free(body);
}

size_t body_chunk(const struct body *body, struct cursor *cursor, char **data)
{
    for (; cursor->frame < body->frames.count; cursor->frame++, cursor->offset = 0) {
        ipp_frame_t *frame = body->frames.at[cursor->frame];
        size_t size = ipp_frame_size(frame);
        if (size <= LINK_INLINE_BYTES || cursor->offset >= size)
            continue;
        size_t left = size - cursor->offset;
        *data = (char *)ipp_frame_data(frame) + cursor->offset;
        return left < LINK_CHUNK_BYTES ? left : LINK_CHUNK_BYTES;
    }
    return 0;
}

void body_advance(struct cursor *cursor, size_t length)
{
    cursor->offset += length;
    cursor->passed += length;
}
