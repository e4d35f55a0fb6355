/* SPDX-License-Identifier: BSD-3-Clause
 * One to many: each rank passes a message on to a few others, and the origin keeps it
 * until all have it. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "link/link_private.h"

static bool has_it(const link_t *link, const struct hop *hop, enum link_lane lane)
{
    const struct peer *peer = &link->peers[hop->rank];
    return peer->lost || (int32_t)(peer->acked[lane] - hop->sequence) > 0;
}

static void retained_free(struct retained *retained)
{
    body_unref(retained->body);
    free(retained->hops);
    free(retained);
}

/* Lets go of what everybody has. Multicasts are kept in order; an older one that is not settled
 * holds no newer back. */
void multicast_settle(link_t *link)
{
    struct retained **at = &link->retained_head;
    link->retained_tail = NULL;
    while (*at) {
        struct retained *r = *at;
        while (r->settled < r->hop_count && has_it(link, &r->hops[r->settled], r->body->lane))
            r->settled++;
        if (r->settled == r->hop_count) {
            *at = r->next;
            retained_free(r);
        } else {
            link->retained_tail = r;
            at = &r->next;
        }
    }
}

static size_t degree_for(const struct body *body)
{
    return body->bulk_bytes > 0 ? TREE_DEGREE_BULK : TREE_DEGREE_SMALL;
}

static bool below(size_t position, size_t top, size_t degree)
{
    while (position > top)
        position = tree_parent(position, degree);
    return position == top;
}

static void resend_below(link_t *link, const struct retained *r, size_t top)
{
    for (size_t i = top + 1; i < r->hop_count; i++)
        if (below(i, top, degree_for(r->body)) && !has_it(link, &r->hops[i], r->body->lane))
            outgoing_post(link, r->body, &r->hops[i], 1);
}

void multicast_resend_past(link_t *link, int lost)
{
    for (struct retained *r = link->retained_head; r; r = r->next)
        for (size_t i = 1; i < r->hop_count; i++)
            if (r->hops[i].rank == lost)
                resend_below(link, r, i);
    multicast_settle(link);
}

int multicast_spread(link_t *link, struct body *body, const struct hop *hops, size_t hop_count,
                     int children[TREE_DEGREE_MAX])
{
    size_t *positions = link_calloc(hop_count, sizeof *positions);
    struct hop *subtree = link_calloc(hop_count, sizeof *subtree);
    int count = 0;
    size_t degree = degree_for(body);
    for (size_t child = 1; child <= degree && child < hop_count; child++) {
        size_t below_count = tree_subtree(child, hop_count, degree, positions);
        for (size_t i = 0; i < below_count; i++)
            subtree[i] = hops[positions[i]];
        /* A dead child is no reason to stop: the origin resends to those below it. */
        if (!link->peers[subtree[0].rank].lost &&
            outgoing_post(link, body, subtree, below_count) == 0)
            children[count++] = subtree[0].rank;
    }
    free(positions);
    free(subtree);
    return count;
}

static struct hop *number_hops(link_t *link, const int *ranks, size_t count, enum link_lane lane,
                               size_t *hop_count)
{
    struct hop *hops = link_calloc(count + 1, sizeof *hops);
    hops[0] = (struct hop){ .rank = link->rank };
    *hop_count = 1;
    for (size_t i = 0; i < count; i++)
        if (!link->peers[ranks[i]].lost)
            hops[(*hop_count)++] = (struct hop){ ranks[i], ++link->peers[ranks[i]].sent[lane] };
    return hops;
}

static void retain(link_t *link, struct body *body, struct hop *hops, size_t hop_count)
{
    struct retained *r = link_calloc(1, sizeof *r);
    *r = (struct retained){
        .body = body_ref(body), .hops = hops, .hop_count = hop_count, .settled = 1
    };
    if (link->retained_tail)
        link->retained_tail->next = r;
    else
        link->retained_head = r;
    link->retained_tail = r;
}

int multicast_start(link_t *link, struct body *body, const int *ranks, size_t count)
{
    if (packet_size(body, count + 1) > INT_MAX) {
        errno = EMSGSIZE;
        return -1;
    }
    size_t hop_count;
    struct hop *hops = number_hops(link, ranks, count, body->lane, &hop_count);
    int children[TREE_DEGREE_MAX];
    bool has_inner_ranks = hop_count > degree_for(body) + 1;
    body->acknowledge = has_inner_ranks;
    if (has_inner_ranks)
        retain(link, body, hops, hop_count);
    multicast_spread(link, body, hops, hop_count, children);
    if (!has_inner_ranks)
        free(hops);
    return 0;
}

void multicast_forget_all(link_t *link)
{
    for (struct retained *r = link->retained_head, *next; r; r = next) {
        next = r->next;
        retained_free(r);
    }
    link->retained_head = link->retained_tail = NULL;
}
