/* SPDX-License-Identifier: BSD-3-Clause
 * What was sent and is not acknowledged, and what waits for room in the window. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- one message ---- */

static size_t packed_bytes(ipp_frame_t *const *buffers, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (ipp_frame_size(buffers[i]) <= WIRE_PACKED_BYTES)
            bytes += ipp_frame_size(buffers[i]);
    return bytes;
}

static char *put(char *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

static void put_buffers(struct outgoing *message, char *at, ipp_frame_t *const *buffers)
{
    for (uint32_t i = 0; i < message->buffer_count; i++) {
        size_t size = ipp_frame_size(buffers[i]);
        message->buffers[i].size = size;
        message->bytes += size;
        if (size <= WIRE_PACKED_BYTES)
            at = put(at, ipp_frame_data(buffers[i]), size);
        else
            message->buffers[i].frame = ipp_frame_ref(buffers[i]);
    }
}

struct outgoing *outgoing_create(enum wire_channel channel, const char *header,
                                 const char *metadata, const char *content,
                                 ipp_frame_t *const *buffers, size_t buffer_count)
{
    size_t header_size = strlen(header), metadata_size = strlen(metadata);
    size_t content_size = strlen(content);
    if (buffer_count > UINT32_MAX / 2 || header_size + metadata_size + content_size >= UINT32_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    size_t pieces = buffer_count * sizeof(struct piece);
    struct outgoing *message = malloc(sizeof *message + pieces + header_size + metadata_size +
                                      content_size + packed_bytes(buffers, buffer_count));
    if (!message)
        return NULL;
    *message = (struct outgoing){ .channel = channel,
                                  .buffer_count = (uint32_t)buffer_count,
                                  .header_size = header_size,
                                  .metadata_size = metadata_size,
                                  .content_size = content_size,
                                  .bytes = header_size + metadata_size + content_size };
    char *at = (char *)(message->buffers + buffer_count);
    message->text = at;
    memset(message->buffers, 0, pieces);
    at = put(at, header, header_size);
    at = put(at, metadata, metadata_size);
    at = put(at, content, content_size);
    put_buffers(message, at, buffers);
    return message;
}

void outgoing_destroy(struct outgoing *message)
{
    if (!message)
        return;
    for (uint32_t i = 0; i < message->buffer_count; i++)
        ipp_frame_unref(message->buffers[i].frame);
    free(message);
}

/* ---- the box ---- */

void outbox_add(struct outbox *outbox, struct outgoing *message)
{
    message->sequence = ++outbox->last_sequence;
    message->next = NULL;
    if (outbox->last)
        outbox->last->next = message;
    else
        outbox->first = message;
    outbox->last = message;
    if (!outbox->unsent)
        outbox->unsent = message;
}

const struct outgoing *outbox_next(const struct outbox *outbox)
{
    const struct outgoing *message = outbox->unsent;
    if (!message || outbox->unacknowledged == 0)
        return message;
    return outbox->unacknowledged + message->bytes <= WIRE_WINDOW_BYTES ? message : NULL;
}

void outbox_sent(struct outbox *outbox)
{
    struct outgoing *message = outbox->unsent;
    outbox->unacknowledged += message->bytes;
    outbox->sent = message->sequence;
    if (outbox->sent > outbox->ever_sent)
        outbox->ever_sent = outbox->sent;
    outbox->unsent = message->next;
}

static void drop_first(struct outbox *outbox)
{
    struct outgoing *message = outbox->first;
    outbox->first = message->next;
    if (!outbox->first)
        outbox->last = NULL;
    outgoing_destroy(message);
}

bool outbox_acknowledge(struct outbox *outbox, uint64_t sequence)
{
    if (sequence > outbox->sent)
        return false;
    while (outbox->first && outbox->first->sequence <= sequence) {
        outbox->unacknowledged -= outbox->first->bytes;
        drop_first(outbox);
    }
    return true;
}

bool outbox_rewind(struct outbox *outbox, uint64_t received)
{
    if (received > outbox->ever_sent)
        return false;
    while (outbox->first && outbox->first->sequence <= received)
        drop_first(outbox);
    outbox->unsent = outbox->first;
    outbox->unacknowledged = 0;
    outbox->sent = received;
    return true;
}

void outbox_clear(struct outbox *outbox)
{
    while (outbox->first)
        drop_first(outbox);
    outbox->unsent = NULL;
    outbox->unacknowledged = 0;
}
