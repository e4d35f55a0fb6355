/* SPDX-License-Identifier: BSD-3-Clause
 * The head of a message on the steering socket: 32 bytes in little-endian order. */
#include "wire/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct bytes {
    uint64_t sequence, acknowledged, request;
    uint32_t engine, flags;
};
_Static_assert(sizeof(struct bytes) == WIRE_HEAD_BYTES, "no padding");

void wire_head_write(char out[WIRE_HEAD_BYTES], const struct wire_head *head)
{
    struct bytes bytes = { .sequence = htole64(head->sequence),
                           .acknowledged = htole64(head->acknowledged),
                           .request = htole64(head->request),
                           .engine = htole32((uint32_t)head->engine),
                           .flags = htole32(head->flags) };
    memcpy(out, &bytes, sizeof bytes);
}

ipp_frame_t *wire_head_frame(const struct wire_head *head)
{
    char bytes[WIRE_HEAD_BYTES];
    wire_head_write(bytes, head);
    return ipp_frame_copy(bytes, sizeof bytes);
}

int wire_head_read(struct wire_head *head, ipp_frame_t *frame)
{
    struct bytes bytes;
    if (ipp_frame_size(frame) != sizeof bytes) {
        errno = EBADMSG;
        return -1;
    }
    memcpy(&bytes, ipp_frame_data(frame), sizeof bytes);
    *head = (struct wire_head){ .sequence = le64toh(bytes.sequence),
                                .acknowledged = le64toh(bytes.acknowledged),
                                .request = le64toh(bytes.request),
                                .engine = (int32_t)le32toh(bytes.engine),
                                .flags = le32toh(bytes.flags) };
    return 0;
}
