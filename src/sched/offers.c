/* SPDX-License-Identifier: BSD-3-Clause
 * What an engine is offered: a heap of the lanes with targets that include it, the one with the
 * oldest task on top. An offer may be out of date in one direction only: its lane's first task is
 * younger. */
#include "sched/sched_lane.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

int offers_reserve(struct offers *offers, int lanes)
{
    if (lanes > INT_MAX / 2 - offers->lanes) {
        errno = ENOMEM;
        return -1;
    }
    int needed = offers->lanes + lanes;
    if (needed <= offers->capacity)
        return 0;
    int capacity = needed < 4 ? 4 : 2 * needed;
    struct offer *heap = realloc(offers->heap, (size_t)capacity * sizeof *heap);
    if (!heap)
        return -1;
    offers->heap = heap;
    offers->capacity = capacity;
    return 0;
}

static void place(struct offers *offers, int at, struct offer offer)
{
    offers->heap[at] = offer;
    offer.lane->places[offer.member] = at;
}

/* Puts the offer where it belongs on the way from the hole `at` to the root. */
static void sift_up(struct offers *offers, int at, struct offer offer)
{
    while (at > 0 && offers->heap[(at - 1) / 2].order > offer.order) {
        place(offers, at, offers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(offers, at, offer);
}

static void sift_down(struct offers *offers, int at, struct offer offer)
{
    const struct offer *heap = offers->heap;
    for (;;) {
        int child = 2 * at + 1;
        if (child + 1 < offers->count && heap[child + 1].order < heap[child].order)
            child++;
        if (child >= offers->count || heap[child].order >= offer.order)
            break;
        place(offers, at, heap[child]);
        at = child;
    }
    place(offers, at, offer);
}

void offers_make(struct offers *offers, struct lane *lane, int member)
{
    struct offer offer = { lane->waiting.head->order, lane, member };
    int at = lane->places[member];
    if (at < 0)
        sift_up(offers, offers->count++, offer);
    else if (offers->heap[at].order > offer.order)
        sift_up(offers, at, offer);
}

void offers_withdraw(struct offers *offers, int at)
{
    struct offer gone = offers->heap[at];
    struct offer last = offers->heap[--offers->count];
    gone.lane->places[gone.member] = -1;
    if (at == offers->count)
        return;
    if (at > 0 && offers->heap[(at - 1) / 2].order > last.order)
        sift_up(offers, at, last);
    else
        sift_down(offers, at, last);
}

void offers_forget(struct offers *offers)
{
    for (int i = 0; i < offers->count; i++)
        offers->heap[i].lane->places[offers->heap[i].member] = -1;
    free(offers->heap);
    *offers = (struct offers){ 0 };
}

struct lane *offers_best(struct offers *offers)
{
    while (offers->count > 0) {
        struct offer top = offers->heap[0];
        if (!top.lane->waiting.head) {
            offers_withdraw(offers, 0);
        } else if (top.order != top.lane->waiting.head->order) {
            top.order = top.lane->waiting.head->order;
            sift_down(offers, 0, top);
        } else {
            return top.lane;
        }
    }
    return NULL;
}
