/* SPDX-License-Identifier: BSD-3-Clause
 * A client that has just connected may ask for something before its subscription to iopub has
 * arrived on its own connection: what is published for it meanwhile would be lost, `status: idle`
 * too, for which it then waits for ever. So it is held back until a subscription arrives, or for
 * PATIENCE_MS with clients that do not subscribe. */
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

#define PATIENCE_MS 1000

struct held {
    struct held *next;
    ipp_frame_t *topic;
    ipp_frames_t frames;
};

struct newcomer {
    struct newcomer *next;
    char *session;
    int64_t deadline_ms;
    struct held *first, **last;
};

void gate_expect(struct bridge *b, const char *session)
{
    struct newcomer *n = calloc(1, sizeof *n);
    if (!n || !(n->session = strdup(session))) {
        free(n);
        return;
    }
    n->deadline_ms = ipp_now_ms() + PATIENCE_MS;
    n->last = &n->first;
    struct newcomer **at = &b->newcomers;
    while (*at)
        at = &(*at)->next;
    *at = n;
}

/* Takes the newcomer that waits longest, and sends what was held for it. */
static void let_in(struct bridge *b)
{
    struct newcomer *n = b->newcomers;
    b->newcomers = n->next;
    if (b->newcomers_subscribed > 0)
        b->newcomers_subscribed--;
    for (struct held *held = n->first, *next; held; held = next) {
        next = held->next;
        send_signed(b, WIRE_IOPUB, held->topic, &held->frames);
        ipp_frame_unref(held->topic);
        free(held);
    }
    free(n->session);
    free(n);
}

/* Who has subscribed is not said: nobody is let in before as many have as are waited for. */
void gate_subscribed(struct bridge *b)
{
    int waiting = 0;
    for (struct newcomer *n = b->newcomers; n; n = n->next)
        waiting++;
    if (++b->newcomers_subscribed < waiting)
        return;
    gate_open(b);
}

static struct newcomer *find(const struct bridge *b, ipp_frame_t *parent)
{
    json_t *header = wire_json_read(parent, NULL);
    const char *session = wire_json_string(header, "session", "");
    struct newcomer *n = b->newcomers;
    while (n && strcmp(n->session, session) != 0)
        n = n->next;
    json_decref(header);
    return n;
}

void gate_publish(struct bridge *b, ipp_frame_t *topic, ipp_frames_t *frames)
{
    struct newcomer *n = b->newcomers ? find(b, frames->at[1]) : NULL;
    struct held *held = n ? calloc(1, sizeof *held) : NULL;
    if (!held) {
        send_signed(b, WIRE_IOPUB, topic, frames);
        return;
    }
    held->topic = ipp_frame_ref(topic);
    held->frames = *frames;
    *frames = (ipp_frames_t){ 0 };
    *n->last = held;
    n->last = &held->next;
}

int gate_tick(struct bridge *b)
{
    int64_t now = ipp_now_ms();
    while (b->newcomers && b->newcomers->deadline_ms <= now)
        let_in(b);
    return b->newcomers ? (int)(b->newcomers->deadline_ms - now) : -1;
}

void gate_open(struct bridge *b)
{
    b->newcomers_subscribed = 0;
    while (b->newcomers)
        let_in(b);
}
