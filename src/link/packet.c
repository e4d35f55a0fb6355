/* SPDX-License-Identifier: BSD-3-Clause
 * The head of a message as bytes: struct packet_head, hops, frame sizes (uint64), then the bytes of
 * the small frames. All ranks run one build on one kind of machine (link_create checks), so structs
 * travel as they are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/link_private.h"

#define PACKET_MAGIC 0x69707031u /* "ipp1" */

static size_t inline_bytes(const ipp_frames_t *frames)
{
    size_t bytes = 0;
    for (size_t i = 0; i < frames->count; i++)
        if (ipp_frame_size(frames->at[i]) <= LINK_INLINE_BYTES)
            bytes += ipp_frame_size(frames->at[i]);
    return bytes;
}

static char *put(char *at, const void *data, size_t size)
{
    if (size > 0)
        memcpy(at, data, size);
    return at + size;
}

size_t packet_size(const struct body *body, size_t hop_count)
{
    return sizeof(struct packet_head) + hop_count * sizeof(struct hop) +
           body->frames.count * sizeof(uint64_t) + inline_bytes(&body->frames);
}

void *packet_pack(const struct link *link, const struct outgoing *outgoing, size_t *size)
{
    const struct body *body = outgoing->body;
    const ipp_frames_t *frames = &body->frames;
    const struct peer *peer = &link->peers[outgoing->to];
    struct packet_head head = { .magic = PACKET_MAGIC,
                                .origin = body->origin,
                                .lane = (uint32_t)body->lane,
                                .hop_count = (uint32_t)outgoing->hop_count,
                                .frame_count = (uint32_t)frames->count,
                                .acknowledge = body->acknowledge,
                                .envelope = body->envelope };
    memcpy(head.expected, peer->expected, sizeof head.expected);
    *size = packet_size(body, outgoing->hop_count);
    char *packet = malloc(*size), *at = packet;
    if (!packet)
        return NULL;
    at = put(at, &head, sizeof head);
    at = put(at, outgoing->hops, outgoing->hop_count * sizeof *outgoing->hops);
    for (size_t i = 0; i < frames->count; i++)
        at = put(at, &(uint64_t){ ipp_frame_size(frames->at[i]) }, sizeof(uint64_t));
    for (size_t i = 0; i < frames->count; i++)
        if (ipp_frame_size(frames->at[i]) <= LINK_INLINE_BYTES)
            at = put(at, ipp_frame_data(frames->at[i]), ipp_frame_size(frames->at[i]));
    return packet;
}

/* Fills `frames` from the packet; frames of bulk are allocated and still empty. */
static int take_frames(ipp_frames_t *frames, const char *at, const char *end, size_t count)
{
    const char *bytes = at + count * sizeof(uint64_t);
    for (size_t i = 0; i < count; i++) {
        uint64_t size;
        memcpy(&size, at + i * sizeof size, sizeof size);
        bool small = size <= LINK_INLINE_BYTES;
        if (small && size > (size_t)(end - bytes)) {
            errno = EPROTO;
            return -1;
        }
        if (ipp_frames_push(frames, small ? ipp_frame_copy(bytes, size) : ipp_frame_alloc(size)) <
            0)
            return -1;
        if (small)
            bytes += size;
    }
    return 0;
}

static int plan_chunks(struct incoming *incoming)
{
    struct cursor cursor = { 0 };
    char *data;
    for (size_t length; (length = body_chunk(incoming->body, &cursor, &data)) > 0;
         incoming->chunk_count++)
        body_advance(&cursor, length);
    incoming->body->available = 0;
    incoming->chunk_done = incoming->chunk_count ? calloc(incoming->chunk_count, 1) : NULL;
    return incoming->chunk_count && !incoming->chunk_done ? -1 : 0;
}

struct incoming *packet_unpack(const char *bytes, size_t size, struct packet_head *head,
                               struct hop **hops)
{
    ipp_frames_t frames = { 0 };
    struct incoming *incoming = NULL;
    *hops = NULL;
    if (size < sizeof *head)
        goto garbled;
    memcpy(head, bytes, sizeof *head);
    size_t hops_bytes = head->hop_count * sizeof **hops;
    if (head->magic != PACKET_MAGIC || head->lane >= LINK_LANES || head->hop_count < 1 ||
        size - sizeof *head < hops_bytes + head->frame_count * sizeof(uint64_t))
        goto garbled;
    incoming = calloc(1, sizeof *incoming);
    *hops = malloc(hops_bytes);
    const char *at = bytes + sizeof *head;
    if (!incoming || !*hops ||
        take_frames(&frames, at + hops_bytes, bytes + size, head->frame_count) < 0)
        goto error;
    memcpy(*hops, at, hops_bytes);
    incoming->sequence = (*hops)[0].sequence;
    incoming->body = body_new(head->origin, (enum link_lane)head->lane, &head->envelope, &frames);
    if (plan_chunks(incoming) < 0)
        goto error;
    incoming->body->acknowledge = head->acknowledge;
    return incoming;
garbled:
    errno = EPROTO;
error:
    ipp_frames_clear(&frames);
    free(*hops);
    *hops = NULL;
    incoming_free(incoming);
    return NULL;
}
