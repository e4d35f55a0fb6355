/* SPDX-License-Identifier: BSD-3-Clause
 * What goes back to clients: replies of engines, replies of the bridge's own, and the idle status
 * owed for each. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

enum { ANSWER_HEADER, ANSWER_PARENT };

/* One answer from `engine` (-1: the bridge itself), and whether it is the last to its request. */
static void answer_send(struct bridge *b, const struct origin *to, int engine,
                        enum link_status status, bool last, ipp_frames_t *frames)
{
    if (to->session)
        session_answer(b, to, engine, status, last, frames);
    else if (to->client)
        send_signed(b, to->channel, to->client, frames);
    ipp_frames_clear(frames);
}

/* Who has asked by ipyparallel's sockets waits for it after each answer. */
static void answer_idle(struct bridge *b, const struct origin *to, int engine, ipp_frame_t *parent)
{
    if (!to->session && to->client)
        publish_idle(b, engine, parent);
}

static enum link_status status_of(const json_t *content)
{
    const char *status = wire_json_string(content, "status", "ok");
    return strcmp(status, "ok") == 0        ? LINK_OK
           : strcmp(status, "aborted") == 0 ? LINK_ABORTED
                                            : LINK_ERROR;
}

/* A client's own words may be cut inside a character, or be no UTF-8 at all. */
static json_t *mended(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(copy);
}

static json_t *error_content(const char *ename, const char *text)
{
    json_t *evalue = mended(text);
    json_t *content =
        json_pack("{s:s, s:s, s:O, s:[s++]}", "status", "error", "ename", ename, "evalue", evalue,
                  "traceback", ename, ": ", json_string_value(evalue));
    json_decref(evalue);
    return content;
}

void answer_own(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                const char *msg_type, json_t *content)
{
    ipp_frames_t frames = { 0 };
    enum link_status status = status_of(content);
    json_t *metadata = json_pack("{s:s}", "status", wire_json_string(content, "status", "ok"));
    if (compose(b, &frames, msg_type, asked->header, metadata, content))
        answer_send(b, to, ANY_ENGINE, status, true, &frames);
}

static void refuse_copy(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                        const char *uuid, const char *msg_type, json_t *content)
{
    json_t *header = json_copy(asked->header_json);
    const char *original = wire_json_string(header, "msg_id", "");
    json_t *metadata =
        json_pack("{s:s, s:s, s:b, s:b, s:s}", "status", "error", "engine", uuid, "is_broadcast", 1,
                  "is_coalescing", 0, "original_msg_id", original);
    wire_copy_rename(header, uuid);
    ipp_frame_t *parent = wire_json_frame_new(header);
    ipp_frames_t frames = { 0 };
    if (compose(b, &frames, msg_type, parent, metadata, json_incref(content)))
        answer_send(b, to, ANY_ENGINE, LINK_ERROR, false, &frames);
    answer_idle(b, to, ANY_ENGINE, parent);
    ipp_frame_unref(parent);
}

/* False when no copy can be known. */
static bool refuse_copies(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                          const char *msg_type, json_t *content)
{
    json_t *metadata = wire_json_read(asked->metadata, NULL);
    json_t *names = copies_awaited(metadata), *unused;
    const char *uuid;
    json_object_foreach(names, uuid, unused)
    {
        refuse_copy(b, to, asked, uuid, msg_type, content);
    }
    bool known = json_object_size(names) > 0;
    json_decref(names);
    json_decref(metadata);
    return known;
}

void answer_error(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                  const char *msg_type, const char *ename, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *content = error_content(ename, text);
    if (to->channel != WIRE_BROADCAST || !refuse_copies(b, to, asked, msg_type, content)) {
        answer_own(b, to, asked, msg_type, json_incref(content));
        if (to->channel != WIRE_QUERY && to->channel != WIRE_CONTROL)
            answer_idle(b, to, ANY_ENGINE, asked->header);
    }
    json_decref(content);
}

void answer_aborted(struct bridge *b, const struct origin *to, const wire_msg_t *asked,
                    const struct wire_op_info *op)
{
    answer_own(b, to, asked, op->reply, json_pack("{s:s}", "status", "aborted"));
    answer_idle(b, to, ANY_ENGINE, asked->header);
}

/* ---- answers of engines ---- */

static bool owes_idle(const struct pending *p)
{
    return p->op->destination == WIRE_TO_RUN;
}

/* A session gets each engine's answer as it comes. */
static bool answers_together(const struct pending *p)
{
    return (p->flags & LINK_COALESCING) && p->from.channel == WIRE_BROADCAST;
}

/* The one answer to all parts. */
static void answer_together(struct bridge *b, struct pending *p)
{
    ipp_frames_t merged = { 0 };
    if (coalesce(b, p, &merged) == 0 ||
        compose(b, &merged, p->op->reply, p->header, json_pack("{s:s}", "status", "error"),
                error_content("MemoryError",
                              "the bridge has no memory to put the engines' answers together")))
        answer_send(b, &p->from, ANY_ENGINE, LINK_OK, true, &merged);
    answer_idle(b, &p->from, ANY_ENGINE, p->header);
}

static void part_done(struct bridge *b, struct pending *p, struct part *part)
{
    part->answered = true;
    b->awaited--;
    if (--p->waiting > 0)
        return;
    if (answers_together(p))
        answer_together(b, p);
    b->last_work_ms = ipp_now_ms();
    if (p->from.channel == WIRE_TASK)
        ended_add(b, p->msg_id, p->number);
    pending_free(b, p);
}

void answer_part(struct bridge *b, struct pending *p, struct part *part, enum link_status status,
                 ipp_frames_t *answer)
{
    if (answers_together(p)) {
        part->answer = *answer;
        *answer = (ipp_frames_t){ 0 };
        part_done(b, p, part);
        return;
    }
    ipp_frame_t *parent = ipp_frame_ref(answer->at[ANSWER_PARENT]);
    answer_send(b, &p->from, part->engine, status, p->waiting == 1, answer);
    if (owes_idle(p))
        answer_idle(b, &p->from, part->engine, parent);
    ipp_frame_unref(parent);
    part_done(b, p, part);
}

/* The header that this part's answer belongs to: a copy of a broadcast has a msg_id of its own. */
static ipp_frame_t *part_parent(struct bridge *b, const struct pending *p, const struct part *part)
{
    if (!(p->flags & LINK_BROADCAST) || (p->flags & LINK_COALESCING))
        return ipp_frame_ref(p->header);
    return wire_copy_header(p->header, p->id_end, b->engines[part->engine].uuid);
}

static json_t *part_metadata(struct bridge *b, const struct pending *p, const struct part *part,
                             const char *status)
{
    char date[IPP_DATE_LEN];
    json_t *metadata =
        json_pack("{s:s, s:b, s:s, s:b, s:b, s:s}", "status", status, "dependencies_met", 1,
                  "started", ipp_date(date), "is_broadcast", (p->flags & LINK_BROADCAST) != 0,
                  "is_coalescing", (p->flags & LINK_COALESCING) != 0, "original_msg_id", p->msg_id);
    if (part->engine >= 0)
        json_object_set_new(metadata, "engine", json_string(b->engines[part->engine].uuid));
    return metadata;
}

/* Instead of an engine; takes `content`. */
static void answer_part_own(struct bridge *b, struct pending *p, struct part *part, json_t *content)
{
    ipp_frames_t frames = { 0 };
    ipp_frame_t *parent = part_parent(b, p, part);
    json_t *metadata = part_metadata(b, p, part, wire_json_string(content, "status", "error"));
    enum link_status status = status_of(content);
    bool made = compose(b, &frames, p->op->reply, parent, metadata, content);
    ipp_frame_unref(parent);
    if (made)
        answer_part(b, p, part, status, &frames);
    else
        part_done(b, p, part);
}

void answer_part_aborted(struct bridge *b, struct pending *p, struct part *part)
{
    answer_part_own(b, p, part, json_pack("{s:s}", "status", "aborted"));
}

void answer_part_error(struct bridge *b, struct pending *p, struct part *part, const char *ename,
                       const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    answer_part_own(b, p, part, error_content(ename, text));
}

void answer_rest_error(struct bridge *b, struct pending *p, const char *ename, const char *text)
{
    for (size_t i = 0, left = p->waiting; left > 0; i++) {
        if (p->parts[i].answered)
            continue;
        left--; /* with the last one the request goes */
        answer_part_own(b, p, &p->parts[i], error_content(ename, text));
    }
}
