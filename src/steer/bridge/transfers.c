/* SPDX-License-Identifier: BSD-3-Clause
 * Large buffers that travel ahead of their request in chunks: passed on as they come. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Of one session, on their way at once. */
#define TRANSFERS_MAX 1000

struct transfer {
    struct transfer *next;
    json_int_t id;   /* the client's */
    uint64_t number; /* ours */
    uint64_t total, come;
    int *engines;
    size_t count;
};

static struct transfer **find(struct session *s, json_int_t id)
{
    struct transfer **at = &s->transfers;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    return at;
}

/* Sends to those of its engines that are alive; empties `frames`. */
static void send(struct bridge *b, const struct transfer *t, ipp_frames_t *frames)
{
    struct link_envelope envelope = { .kind = LINK_CHUNK, .engine = -1, .request = t->number };
    int *ranks = malloc(t->count * sizeof *ranks);
    size_t count = 0;
    if (!ranks)
        abort();
    for (size_t i = 0; i < t->count; i++)
        if (b->engines[t->engines[i]].state == ENGINE_ALIVE)
            ranks[count++] = t->engines[i] + IPP_SERVICE_RANKS;
    if (count == 1)
        link_send(b->link, ranks[0], LINK_DATA, &envelope, frames);
    else if (count > 1)
        link_multicast(b->link, ranks, count, LINK_DATA, &envelope, frames);
    ipp_frames_clear(frames);
    free(ranks);
}

static void transfer_free(struct transfer *t)
{
    free(t->engines);
    free(t);
}

static struct transfer *begin(struct bridge *b, struct session *s, const wire_msg_t *msg,
                              json_int_t id, uint64_t total, ipp_err_t *err)
{
    json_t *metadata = wire_json_read(msg->metadata, NULL);
    struct transfer *t = calloc(1, sizeof *t);
    int on_their_way = 0;
    for (const struct transfer *other = s->transfers; other; other = other->next)
        on_their_way++;
    if (!t || on_their_way >= TRANSFERS_MAX ||
        targets_resolve(b, wire_json_string(metadata, "targets", "all"), &t->engines, &t->count,
                        err) < 0) {
        free(t);
        t = NULL; /* the request behind it learns why */
    } else {
        t->id = id;
        t->number = ++b->last_number;
        t->total = total;
        t->next = s->transfers;
        s->transfers = t;
    }
    json_decref(metadata);
    return t;
}

/* Nobody is told of an error here: the request behind it finds no transfer. */
void transfer_chunk(struct bridge *b, const struct origin *from, wire_msg_t *msg)
{
    ipp_err_t err = { "" };
    json_t *content = wire_json_read(msg->content, &err);
    json_int_t id = json_integer_value(json_object_get(content, "transfer"));
    uint64_t total = (uint64_t)json_integer_value(json_object_get(content, "total"));
    uint64_t offset = (uint64_t)json_integer_value(json_object_get(content, "offset"));
    size_t size = ipp_frames_bytes(&msg->buffers);
    json_decref(content);
    struct transfer *t = *find(from->session, id);
    if (!t && offset == 0)
        t = begin(b, from->session, msg, id, total, &err);
    if (!t || msg->buffers.count != 1 || t->total != total || t->come != offset ||
        size > total - offset)
        return;
    struct link_chunk chunk = { .total = total, .offset = offset };
    ipp_frames_t frames = { 0 };
    if (ipp_frames_push_copy(&frames, &chunk, sizeof chunk) == 0 &&
        ipp_frames_share(&frames, &msg->buffers, 0) == 0) {
        t->come += size;
        send(b, t, &frames);
    }
    ipp_frames_clear(&frames);
}

static bool is_for(const struct transfer *t, const int *engines, size_t count)
{
    return t->count == count && memcmp(t->engines, engines, count * sizeof *engines) == 0;
}

static ipp_frame_t *describe(const struct transfer *t, const json_t *sizes, ipp_err_t *err)
{
    size_t count = json_array_size(sizes), i;
    json_t *item;
    uint64_t sum = 0;
    ipp_frame_t *frame = ipp_frame_alloc(sizeof(struct link_transfer) + count * sizeof(uint64_t));
    if (!frame)
        return NULL;
    struct link_transfer *said = ipp_frame_data(frame);
    said->number = t->number;
    said->count = count;
    json_array_foreach(sizes, i, item)
    {
        json_int_t size = json_is_integer(item) ? json_integer_value(item) : -1;
        said->sizes[i] = size < 0 ? UINT64_MAX : (uint64_t)size;
        if (said->sizes[i] > t->total - sum)
            break;
        sum += said->sizes[i];
    }
    if (i == count && sum == t->total && count > 0)
        return frame;
    ipp_err(err, EINVAL, "transfer %lld: its sizes are not %llu bytes together", (long long)t->id,
            (unsigned long long)t->total);
    ipp_frame_unref(frame);
    return NULL;
}

ipp_frame_t *transfer_take(struct bridge *b, struct session *s, const json_t *named,
                           const int *engines, size_t count, ipp_err_t *err)
{
    json_int_t id = json_integer_value(json_object_get(named, "id"));
    struct transfer **at = find(s, id), *t = *at;
    ipp_frame_t *frame = NULL;
    ipp_frames_t none = { 0 };
    if (!t) {
        ipp_err(err, EINVAL, "transfer %lld is not known", (long long)id);
        return NULL;
    }
    *at = t->next;
    if (t->come != t->total)
        ipp_err(err, EINVAL, "transfer %lld: %llu of %llu bytes have come", (long long)id,
                (unsigned long long)t->come, (unsigned long long)t->total);
    else if (!is_for(t, engines, count))
        ipp_err(err, EINVAL, "transfer %lld went to other engines than its request", (long long)id);
    else
        frame = describe(t, json_object_get(named, "sizes"), err);
    if (!frame)
        send(b, t, &none);
    transfer_free(t);
    return frame;
}

void transfers_forget(struct bridge *b, struct session *s)
{
    for (struct transfer *t; (t = s->transfers) != NULL;) {
        ipp_frames_t none = { 0 };
        s->transfers = t->next;
        send(b, t, &none);
        transfer_free(t);
    }
}
