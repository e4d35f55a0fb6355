/* SPDX-License-Identifier: BSD-3-Clause
 * The one reply to a coalescing broadcast: all results one after the other, or the first error with
 * word of the others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

enum { ANSWER_HEADER, ANSWER_PARENT, ANSWER_METADATA, ANSWER_CONTENT, ANSWER_BUFFERS };

static json_t *targets_of(struct bridge *b, const struct pending *p)
{
    json_t *targets = json_array();
    for (size_t i = 0; i < p->part_count; i++)
        json_array_append_new(
            targets, json_pack("[s, i]", b->engines[p->parts[i].engine].uuid, p->parts[i].engine));
    return targets;
}

/* Reads what each part said: how many failed, how many were aborted, and which part speaks for all.
 */
static const struct part *survey(const struct pending *p, int *failed, int *aborted)
{
    const struct part *speaker = &p->parts[0];
    *failed = *aborted = 0;
    for (size_t i = 0; i < p->part_count; i++) {
        if (p->parts[i].answer.count <= ANSWER_CONTENT)
            continue; /* no memory for its error: the others speak */
        json_t *content = wire_json_read(p->parts[i].answer.at[ANSWER_CONTENT], NULL);
        const char *status = wire_json_string(content, "status", "error");
        if (strcmp(status, "error") == 0 && (*failed)++ == 0)
            speaker = &p->parts[i];
        else if (strcmp(status, "aborted") == 0 && (*aborted)++ == 0 && *failed == 0)
            speaker = &p->parts[i];
        json_decref(content);
    }
    return speaker;
}

/* "[ID:METHOD]: ENAME: EVALUE", as ipyparallel writes the errors of many engines. */
static json_t *error_line(const struct pending *p, const struct part *part, const json_t *content)
{
    char place[64];
    const char *request = p->op->request;
    snprintf(place, sizeof place, "[%d:%.*s]: ", part->engine, (int)strcspn(request, "_"), request);
    const json_t *evalue = json_object_get(content, "evalue");
    return json_pack("s+++%", place, wire_json_string(content, "ename", "Error"), ": ",
                     json_is_string(evalue) ? json_string_value(evalue) : "",
                     json_string_length(evalue));
}

/* Adds a line to the traceback for each failed part but the one whose traceback it is. */
static void list_others(const struct pending *p, const struct part *speaker, json_t *traceback)
{
    for (const struct part *part = p->parts; part < p->parts + p->part_count; part++) {
        if (part == speaker || part->answer.count <= ANSWER_CONTENT)
            continue;
        json_t *content = wire_json_read(part->answer.at[ANSWER_CONTENT], NULL);
        if (strcmp(wire_json_string(content, "status", "error"), "error") == 0)
            json_array_append_new(traceback, error_line(p, part, content));
        json_decref(content);
    }
}

/* The client makes one RemoteError of it, of evalue, traceback and engine_info: evalue says how
 * many failed, the traceback how. */
static ipp_frame_t *content_for_all(const struct pending *p, const struct part *speaker, int failed)
{
    if (failed < 2)
        return ipp_frame_ref(speaker->answer.at[ANSWER_CONTENT]);
    char others[80];
    json_t *content = wire_json_read(speaker->answer.at[ANSWER_CONTENT], NULL);
    const json_t *evalue = json_object_get(content, "evalue");
    snprintf(others, sizeof others, " (and errors on %d more of %zu engines)", failed - 1,
             p->part_count);
    json_object_set_new(content, "evalue",
                        json_pack("s%+", json_is_string(evalue) ? json_string_value(evalue) : "",
                                  json_string_length(evalue), others));
    list_others(p, speaker, json_object_get(content, "traceback"));
    return wire_json_frame_new(content);
}

int coalesce(struct bridge *b, struct pending *p, ipp_frames_t *out)
{
    int failed, aborted;
    const struct part *speaker = survey(p, &failed, &aborted);
    if (speaker->answer.count <= ANSWER_CONTENT)
        return -1;
    json_t *metadata = wire_json_read(speaker->answer.at[ANSWER_METADATA], NULL);
    json_object_set_new(metadata, "is_broadcast", json_true());
    json_object_set_new(metadata, "is_coalescing", json_true());
    json_object_set_new(metadata, "original_msg_id", json_string(p->msg_id));
    json_object_set_new(metadata, "broadcast_targets", targets_of(b, p));
    int bad = ipp_frames_push(out, ipp_frame_ref(speaker->answer.at[ANSWER_HEADER]));
    bad |= ipp_frames_push(out, ipp_frame_ref(p->header));
    bad |= ipp_frames_push(out, wire_json_frame_new(metadata));
    bad |= ipp_frames_push(out, content_for_all(p, speaker, failed));
    for (size_t i = 0; i < p->part_count && failed == 0 && aborted == 0; i++)
        bad |= ipp_frames_share(out, &p->parts[i].answer, ANSWER_BUFFERS);
    if (bad)
        ipp_frames_clear(out);
    return bad ? -1 : 0;
}
