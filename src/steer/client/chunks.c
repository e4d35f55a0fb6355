/* SPDX-License-Identifier: BSD-3-Clause
 * Large buffers go ahead of their request in chunks, which share the caller's bytes. */
#include "steer/client/client_private.h"

#include <stdlib.h>

/* From the first buffer on that would make the message large: they keep their order, for a
 * transfer's buffers come behind the message's own. */
size_t chunks_keep(const ipp_frames_t *frames)
{
    size_t bytes = 0;
    for (size_t i = 0; i < frames->count; i++) {
        bytes += ipp_frame_size(frames->at[i]);
        if (bytes > WIRE_CHUNKED_BYTES)
            return i;
    }
    return frames->count;
}

struct transfer {
    const ipp_steer_t *steer;
    char *metadata;
    uint64_t id, total, offset, sequence;
    struct outgoing **tail;
};

static void unref_whole(void *data, void *whole)
{
    (void)data;
    ipp_frame_unref(whole);
}

static ipp_frame_t *part_of(ipp_frame_t *whole, size_t offset, size_t size)
{
    ipp_frame_t *part = ipp_frame_adopt((char *)ipp_frame_data(whole) + offset, size, unref_whole,
                                        ipp_frame_ref(whole));
    if (!part)
        ipp_frame_unref(whole);
    return part;
}

static int add_chunk(struct transfer *t, ipp_frame_t *bytes)
{
    json_t *object = json_pack("{s:I, s:I, s:I}", "transfer", (json_int_t)t->id, "total",
                               (json_int_t)t->total, "offset", (json_int_t)t->offset);
    char *content = object ? json_dumps(object, JSON_COMPACT) : NULL;
    char *header = request_header(t->steer, "chunk_request", t->sequence);
    struct outgoing *message =
        bytes && content && header
            ? outgoing_create(WIRE_CHUNK, header, t->metadata, content, &bytes, 1)
            : NULL;
    json_decref(object);
    free(content);
    free(header);
    if (!message)
        return -1;
    *t->tail = message;
    t->tail = &message->next;
    t->sequence++;
    t->offset += ipp_frame_size(bytes);
    return 0;
}

static int add_buffer(struct transfer *t, ipp_frame_t *whole)
{
    size_t size = ipp_frame_size(whole), part;
    for (size_t offset = 0; offset < size; offset += part) {
        part = size - offset < WIRE_CHUNK_BYTES ? size - offset : WIRE_CHUNK_BYTES;
        ipp_frame_t *bytes = part_of(whole, offset, part);
        int result = add_chunk(t, bytes);
        ipp_frame_unref(bytes);
        if (result < 0)
            return -1;
    }
    return 0;
}

static char *chunk_metadata(const char *targets)
{
    json_t *object = json_pack("{s:s}", "targets", targets);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

int64_t chunks_make(const ipp_steer_t *steer, const ipp_frames_t *frames, size_t first,
                    const char *targets, uint64_t transfer, struct outgoing ***tail)
{
    uint64_t sequence = steer->outbox.last_sequence + 1;
    struct transfer t = { .steer = steer,
                          .metadata = chunk_metadata(targets),
                          .id = transfer,
                          .sequence = sequence,
                          .tail = *tail };
    int result = t.metadata ? 0 : -1;
    for (size_t i = first; i < frames->count; i++)
        t.total += ipp_frame_size(frames->at[i]);
    for (size_t i = first; i < frames->count && result == 0; i++)
        result = add_buffer(&t, frames->at[i]);
    free(t.metadata);
    *tail = t.tail;
    return result < 0 ? -1 : (int64_t)(t.sequence - sequence);
}
