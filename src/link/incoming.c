/* SPDX-License-Identifier: BSD-3-Clause
 * Messages on their way in: heads are probed for, bulk is received in the order of heads, delivery
 * waits for its turn. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/link_private.h"

#define HEADS_PER_PASS 64

void incoming_free(struct incoming *incoming)
{
    if (!incoming)
        return;
    body_unref(incoming->body);
    free(incoming->chunk_done);
    free(incoming);
}

static bool complete(const struct incoming *in)
{
    return in->chunks_complete == in->chunk_count;
}

static void free_when_idle(struct incoming *in)
{
    if (!in->ordered && !in->in_bulk_queue && in->in_flight == 0)
        incoming_free(in);
}

static void make_ready(link_t *link, struct incoming *in)
{
    in->next_ready = NULL;
    if (link->ready_tail)
        link->ready_tail->next_ready = in;
    else
        link->ready_head = in;
    link->ready_tail = in;
}

static void take_out_of_order(struct peer *origin, enum link_lane lane, struct incoming *in)
{
    struct incoming **at = &origin->ordered[lane];
    while (*at != in)
        at = &(*at)->next_ordered;
    *at = in->next_ordered;
    in->ordered = false;
}

/* Anything with this sequence number that is still under way comes too late: receive it and drop
 * it. */
static void forget_copies(struct peer *origin, enum link_lane lane, uint32_t sequence)
{
    struct incoming *in = origin->ordered[lane];
    while (in && in->sequence == sequence) {
        struct incoming *next = in->next_ordered;
        take_out_of_order(origin, lane, in);
        in->duplicate = true;
        free_when_idle(in);
        in = next;
    }
}

static struct incoming *next_deliverable(const struct peer *origin, enum link_lane lane)
{
    struct incoming *in = origin->ordered[lane];
    for (; in && in->sequence == origin->expected[lane]; in = in->next_ordered)
        if (complete(in))
            return in;
    return NULL;
}

static void deliver_in_order(link_t *link, struct peer *origin, enum link_lane lane)
{
    for (struct incoming *in; (in = next_deliverable(origin, lane)) != NULL;) {
        take_out_of_order(origin, lane, in);
        make_ready(link, in);
        forget_copies(origin, lane, origin->expected[lane]);
        origin->expected[lane]++;
    }
}

static void put_in_order(struct peer *origin, enum link_lane lane, struct incoming *in)
{
    struct incoming **at = &origin->ordered[lane];
    while (*at && (int32_t)((*at)->sequence - in->sequence) <= 0)
        at = &(*at)->next_ordered;
    in->next_ordered = *at;
    *at = in;
    in->ordered = true;
}

/* Posts receives for the sender's bulk, message by message, in a window of chunks. */
void incoming_pump(link_t *link, int from, enum link_lane lane)
{
    struct peer *peer = &link->peers[from];
    for (struct incoming *in; (in = peer->bulk_head[lane]) != NULL;) {
        char *data;
        size_t length;
        while ((length = body_chunk(in->body, &in->cursor, &data)) > 0) {
            struct operation operation = {
                .incoming = in, .chunk = in->chunks_posted, .length = length, .peer = from
            };
            if (in->in_flight >= LINK_WINDOW ||
                operations_receive(link, data, length, LINK_TAG_BULK + (int)lane, operation) < 0)
                return;
            body_advance(&in->cursor, length);
            in->chunks_posted++;
            in->in_flight++;
        }
        peer->bulk_head[lane] = in->next_bulk;
        if (!in->next_bulk)
            peer->bulk_tail[lane] = NULL;
        in->in_bulk_queue = false;
    }
}

static void queue_bulk(link_t *link, struct incoming *in)
{
    struct peer *peer = &link->peers[in->from];
    enum link_lane lane = in->body->lane;
    if (peer->bulk_tail[lane])
        peer->bulk_tail[lane]->next_bulk = in;
    else
        peer->bulk_head[lane] = in;
    peer->bulk_tail[lane] = in;
    in->in_bulk_queue = true;
    incoming_pump(link, in->from, lane);
}

/* Moves `available` over the bytes from the front that are here without a gap. */
static void advance_available(struct incoming *in)
{
    char *data;
    size_t length;
    while ((length = body_chunk(in->body, &in->front, &data)) > 0 &&
           in->chunk_done[in->front_chunk]) {
        body_advance(&in->front, length);
        in->front_chunk++;
    }
    in->body->available = in->front.passed;
}

static void pump_forwards(link_t *link, const struct incoming *in)
{
    for (int i = 0; i < in->forward_count; i++)
        if (!link->peers[in->forward_to[i]].lost)
            outgoing_pump(link, in->forward_to[i], in->body->lane);
}

void incoming_done(link_t *link, struct operation *operation, size_t received)
{
    struct incoming *in = operation->incoming;
    enum link_lane lane = in->body->lane;
    struct peer *origin = &link->peers[in->body->origin];
    in->in_flight--;
    in->chunk_done[operation->chunk] = 1;
    in->chunks_complete++;
    link_ring_later(link, in->from); /* its window opens */
    if (received < operation->length)
        in->body->broken = true;
    if (!in->body->broken)
        advance_available(in);
    pump_forwards(link, in);
    incoming_pump(link, operation->peer, lane);
    if (!complete(in))
        return;
    if (in->body->broken && in->ordered)
        take_out_of_order(origin, lane, in);
    if (in->body->broken || in->duplicate)
        free_when_idle(in);
    else
        deliver_in_order(link, origin, lane);
}

/* Its sender is dead. Who gets it from here must not wait for the rest; the origin sends it again.
 */
static void orphan(link_t *link, struct incoming *in)
{
    if (in->ordered)
        take_out_of_order(&link->peers[in->body->origin], in->body->lane, in);
    in->body->broken = true;
    pump_forwards(link, in);
    incoming_free(in);
}

void incoming_abandoned(link_t *link, struct incoming *in)
{
    if (--in->in_flight == 0 && !in->ordered && !in->in_bulk_queue)
        orphan(link, in);
}

static void note_acknowledgement(link_t *link, int from, const struct packet_head *head)
{
    struct peer *peer = &link->peers[from];
    bool news = false;
    for (int lane = 0; lane < LINK_LANES; lane++)
        if ((int32_t)(head->expected[lane] - peer->acked[lane]) > 0) {
            peer->acked[lane] = head->expected[lane];
            news = true;
        }
    if (news && link->retained_head)
        multicast_settle(link);
}

static void take_head(link_t *link, int from, const char *bytes, size_t size)
{
    struct packet_head head;
    struct hop *hops;
    struct incoming *in = packet_unpack(bytes, size, &head, &hops);
    if (!in || head.origin < 0 || head.origin >= link->size) {
        ipp_log(IPP_LOG_ERROR, "a message of %zu bytes from rank %d cannot be taken in: %s", size,
                from, strerror(errno));
        abort(); /* the order from this rank is broken for good: only memory or a wrong build lead
                    here */
    }
    in->from = from;
    enum link_lane lane = in->body->lane;
    struct peer *origin = &link->peers[head.origin];
    note_acknowledgement(link, from, &head);
    if ((int32_t)(in->sequence - origin->expected[lane]) < 0)
        in->duplicate = true;
    else
        put_in_order(origin, lane, in);
    if (head.hop_count > 1 && !in->duplicate)
        in->forward_count = multicast_spread(link, in->body, hops, head.hop_count, in->forward_to);
    free(hops);
    if (in->chunk_count > 0)
        queue_bulk(link, in);
    else if (in->duplicate)
        free_when_idle(in);
    else
        deliver_in_order(link, origin, lane);
}

/* Without the lock while MPI looks: where ranks share cores it yields the processor when it finds
 * nothing, so it is not asked for more than the bells told of. */
bool incoming_probe(link_t *link)
{
    bool happened = false;
    for (int heads = 0; heads < HEADS_PER_PASS && link->misses < link->probes; heads++) {
        int flag = 0, count = 0;
        MPI_Message message;
        MPI_Status status;
        MPI_Improbe(MPI_ANY_SOURCE, LINK_TAG_HEAD, link->comm, &flag, &message, &status);
        if (!flag) {
            if (++link->misses >= link->probes) {
                link->unsettled = link->announced > 0;
                link->announced = 0;
            }
            break;
        }
        happened = true;
        link->announced--;
        link->misses = link->announced > 0 ? 0 : link->probes;
        MPI_Get_count(&status, MPI_BYTE, &count);
        char few[4096], *bytes = count <= (int)sizeof few ? few : malloc((size_t)count);
        if (!bytes)
            abort();
        MPI_Mrecv(bytes, count, MPI_BYTE, &message, MPI_STATUS_IGNORE);
        pthread_mutex_lock(&link->mutex);
        if (!link->peers[status.MPI_SOURCE].lost)
            take_head(link, status.MPI_SOURCE, bytes, (size_t)count);
        pthread_mutex_unlock(&link->mutex);
        if (bytes != few)
            free(bytes);
    }
    return happened;
}

static void drop_bulk(link_t *link, int from, int lane)
{
    struct peer *peer = &link->peers[from];
    for (struct incoming *in = peer->bulk_head[lane], *next; in; in = next) {
        next = in->next_bulk;
        in->in_bulk_queue = false;
        if (!in->ordered)
            orphan(link, in);
    }
    peer->bulk_head[lane] = peer->bulk_tail[lane] = NULL;
}

static void drop_ordered(link_t *link, int from, int lane)
{
    for (int origin = 0; origin < link->size; origin++)
        for (struct incoming *in = link->peers[origin].ordered[lane], *next; in; in = next) {
            next = in->next_ordered;
            if (in->from == from && !complete(in))
                orphan(link, in);
        }
}

/* Call after operations_abandon: what `from` had begun and not finished will come another way or
 * never. */
void incoming_drop_all(link_t *link, int from)
{
    for (int lane = 0; lane < LINK_LANES; lane++) {
        drop_bulk(link, from, lane);
        drop_ordered(link, from, lane);
    }
}
