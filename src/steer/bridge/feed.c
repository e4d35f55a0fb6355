/* SPDX-License-Identifier: BSD-3-Clause
 * What sessions get unasked: output of engines, and events of the cluster. */
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

static struct session *session_of_parent(struct bridge *b, ipp_frame_t *parent)
{
    json_t *header = b->sessions ? wire_json_read(parent, NULL) : NULL;
    const char *label = wire_json_string(header, "session", "");
    struct session *s = label[0] ? session_of_label(b, label) : NULL;
    json_decref(header);
    return s;
}

bool feed_output(struct bridge *b, uint64_t number, int engine, ipp_frame_t *topic,
                 const ipp_frames_t *frames)
{
    const struct pending *p = pending_find(b, number);
    /* What is printed after the answer is its session's still. */
    struct session *own = p ? p->from.session : session_of_parent(b, frames->at[1]);
    for (struct session *s = b->sessions; s; s = s->hh.next)
        if (s->output == OUTPUT_ALL || (s == own && s->output == OUTPUT_OWN))
            session_publish(b, s, p && s == own ? p->from.sequence : 0, engine, topic, frames);
    return own || (p && !p->from.client);
}

/* ---- events ---- */

static void tell(struct bridge *b, struct session *s, const json_t *event)
{
    ipp_frames_t frames = { 0 };
    ipp_frame_t *topic = ipp_frame_copy("event", strlen("event"));
    if (topic && compose(b, &frames, "event", NULL, json_object(), json_deep_copy(event)))
        session_publish(b, s, 0, ANY_ENGINE, topic, &frames);
    ipp_frames_clear(&frames);
    ipp_frame_unref(topic);
}

static enum event_sort sort_of(const char *event)
{
    if (strcmp(event, "attached") == 0 || strcmp(event, "detached") == 0)
        return EVENTS_COMING_AND_GOING;
    return strcmp(event, "refused") == 0 || strcmp(event, "denied") == 0 ? EVENTS_REFUSED
                                                                         : EVENTS_OTHER;
}

void feed_event(struct bridge *b, const char *event, bool to_all, json_t *details)
{
    char date[IPP_DATE_LEN];
    json_object_set_new(details, "event", json_string(event));
    json_object_set_new(details, "time", json_string(ipp_date(date)));
    if (!details)
        return;
    for (struct session *s = b->sessions; s; s = s->hh.next)
        if (to_all || s->events)
            tell(b, s, details);
    struct event_ring *ring = &b->events[sort_of(event)];
    uint64_t slot = ring->count++ % EVENTS_KEPT;
    json_decref(ring->at[slot]);
    ring->at[slot] = details;
    ring->order[slot] = b->event_count++;
}

/* The ring whose event after the first next[ring] comes first; NULL: there is none. */
static struct event_ring *earliest(struct bridge *b, const uint64_t next[EVENT_SORTS])
{
    struct event_ring *found = NULL;
    uint64_t lowest = UINT64_MAX;
    for (int i = 0; i < EVENT_SORTS; i++) {
        struct event_ring *ring = &b->events[i];
        if (next[i] < ring->count && ring->order[next[i] % EVENTS_KEPT] < lowest) {
            lowest = ring->order[next[i] % EVENTS_KEPT];
            found = ring;
        }
    }
    return found;
}

void feed_replay(struct bridge *b, struct session *s)
{
    uint64_t next[EVENT_SORTS];
    struct event_ring *ring;
    for (int i = 0; i < EVENT_SORTS; i++)
        next[i] = b->events[i].count > EVENTS_KEPT ? b->events[i].count - EVENTS_KEPT : 0;
    while ((ring = earliest(b, next)))
        tell(b, s, ring->at[next[ring - b->events]++ % EVENTS_KEPT]);
}

void feed_clear(struct bridge *b)
{
    for (int i = 0; i < EVENT_SORTS; i++)
        for (int k = 0; k < EVENTS_KEPT; k++)
            json_decref(b->events[i].at[k]);
}
