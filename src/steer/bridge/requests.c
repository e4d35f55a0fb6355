/* SPDX-License-Identifier: BSD-3-Clause
 * Requests under way: one entry each from arrival to the final answer. */
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

struct pending *pending_new(struct bridge *b, const wire_msg_t *msg, const struct origin *from,
                            const struct wire_op_info *op, const int *engines, size_t count)
{
    struct pending *p = calloc(1, sizeof *p);
    if (!p || !(p->parts = calloc(count, sizeof *p->parts)) ||
        !(p->msg_id = strdup(wire_json_string(msg->header_json, "msg_id", "")))) {
        if (p)
            free(p->parts);
        free(p);
        return NULL;
    }
    p->number = ++b->last_number;
    p->from = *from;
    p->from.client = from->client ? ipp_frame_ref(from->client) : NULL;
    p->op = op;
    p->header = ipp_frame_ref(msg->header);
    p->metadata = ipp_frame_ref(msg->metadata);
    p->part_count = p->waiting = count;
    for (size_t i = 0; i < count; i++)
        p->parts[i].engine = engines[i];
    b->awaited += count;
    HASH_ADD(hh, b->pending, number, sizeof p->number, p);
    HASH_ADD_KEYPTR(hh_id, b->by_msg_id, p->msg_id, strlen(p->msg_id), p);
    return p;
}

struct pending *pending_find(struct bridge *b, uint64_t number)
{
    struct pending *p;
    HASH_FIND(hh, b->pending, &number, sizeof number, p);
    return p;
}

struct pending *pending_find_id(struct bridge *b, const char *msg_id)
{
    struct pending *p;
    HASH_FIND(hh_id, b->by_msg_id, msg_id, strlen(msg_id), p);
    return p;
}

struct part *pending_part(struct pending *p, int engine)
{
    for (size_t i = 0; i < p->part_count; i++)
        if (p->parts[i].engine == engine || p->parts[i].engine == ANY_ENGINE)
            return &p->parts[i];
    return NULL;
}

void pending_free(struct bridge *b, struct pending *p)
{
    HASH_DELETE(hh, b->pending, p);
    HASH_DELETE(hh_id, b->by_msg_id, p);
    b->awaited -= p->waiting;
    for (size_t i = 0; i < p->part_count; i++)
        ipp_frames_clear(&p->parts[i].answer);
    ipp_frame_unref(p->from.client);
    ipp_frame_unref(p->header);
    ipp_frame_unref(p->metadata);
    ipp_frames_clear(&p->kept);
    free(p->parts);
    free(p->msg_id);
    free(p);
}
