/* SPDX-License-Identifier: BSD-3-Clause
 * Requests taken in, and the messages that answer them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/engine.h"

/* A copy of a broadcast that is answered one by one has a msg_id of its own, "ORIGINAL_UUID", which
 * the client knows. */
static int rename_copy(const struct engine *engine, struct request *request, json_t *header)
{
    ipp_frame_t *renamed =
        wire_copy_rename(header, engine->uuid) < 0 ? NULL : wire_json_frame(header);
    if (!renamed)
        return -1;
    ipp_frame_unref(request->frames.at[FRAME_HEADER]);
    request->frames.at[FRAME_HEADER] = renamed;
    return 0;
}

struct request *request_new(const struct engine *engine, struct link_message *msg)
{
    struct request *request = calloc(1, sizeof *request);
    json_t *header = NULL;
    if (!request || msg->frames.count < FRAME_BUFFERS)
        goto error;
    request->envelope = msg->envelope;
    request->frames = msg->frames;
    msg->frames = (ipp_frames_t){ 0 };
    header = wire_json_read(request->frames.at[FRAME_HEADER], NULL);
    if (!header)
        goto error;
    uint16_t flags = request->envelope.flags;
    if ((flags & LINK_BROADCAST) && !(flags & LINK_COALESCING) &&
        rename_copy(engine, request, header) < 0)
        goto error;
    request->msg_id = strdup(wire_json_string(header, "msg_id", ""));
    request->msg_type = strdup(wire_json_string(header, "msg_type", ""));
    if (!request->msg_id || !request->msg_type)
        goto error;
    if (request->envelope.op == WIRE_OP_REDUCE)
        request->reduction = reduction_new(engine, request->frames.at[FRAME_METADATA]);
    json_decref(header);
    return request;
error:
    json_decref(header);
    request_free(request);
    errno = EBADMSG;
    return NULL;
}

void request_free(struct request *request)
{
    if (!request)
        return;
    int saved_errno = errno;
    reduction_free(request->reduction, request->envelope.request);
    ipp_frames_clear(&request->frames);
    free(request->msg_id);
    free(request->msg_type);
    free(request);
    errno = saved_errno;
}

static const char *const status_names[] = { "ok", "error", "aborted" };

static json_t *engine_info(const struct engine *engine, const struct request *request)
{
    char method[64];
    snprintf(method, sizeof method, "%.*s", (int)strcspn(request->msg_type, "_"),
             request->msg_type);
    return json_pack("{s:s, s:i, s:s}", "engine_uuid", engine->uuid, "engine_id", engine->id,
                     "method", method);
}

/* As ipyparallel's kernel fills it in; the scheduler and the client read it. */
static ipp_frame_t *reply_metadata(const struct engine *engine, const struct request *request,
                                   enum link_status status, ipp_frame_t *content)
{
    bool broadcast = request->envelope.flags & LINK_BROADCAST;
    json_t *asked = broadcast ? wire_json_read(request->frames.at[FRAME_METADATA], NULL) : NULL;
    char now[IPP_DATE_LEN];
    json_t *metadata = json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:s}", "engine", engine->uuid,
                                 "status", status_names[status], "started",
                                 request->started[0] ? request->started : ipp_date(now),
                                 "dependencies_met", 1, "is_broadcast", broadcast, "is_coalescing",
                                 (request->envelope.flags & LINK_COALESCING) != 0,
                                 "original_msg_id", wire_json_string(asked, "original_msg_id", ""));
    json_decref(asked);
    if (status == LINK_ERROR) {
        json_t *error = content ? wire_json_read(content, NULL) : NULL;
        if (strcmp(wire_json_string(error, "ename", ""), "UnmetDependency") == 0)
            json_object_set_new(metadata, "dependencies_met", json_false());
        json_object_set_new(metadata, "engine_info", engine_info(engine, request));
        json_decref(error);
    }
    return wire_json_frame_new(metadata);
}

static ipp_frame_t *reply_header(const struct engine *engine, const struct request *request)
{
    char type[64];
    const char *suffix = strstr(request->msg_type, "_request");
    size_t stem = suffix ? (size_t)(suffix - request->msg_type) : strlen(request->msg_type);
    snprintf(type, sizeof type, "%.*s_reply", (int)stem, request->msg_type);
    return wire_header_frame(type, engine->uuid);
}

static void tell_balancer(struct engine *engine, const struct request *request,
                          enum link_status status)
{
    struct link_envelope done = { .kind = LINK_DONE,
                                  .engine = engine->id,
                                  .request = request->envelope.request,
                                  .value = status };
    link_send(engine->link, 1, LINK_DATA, &done, NULL);
}

/* Takes content and buffers. -1: nothing was sent. */
static int send_reply(struct engine *engine, const struct request *request, enum link_status status,
                      ipp_frame_t *content, ipp_frames_t *buffers)
{
    struct link_envelope envelope = { .kind = LINK_REPLY,
                                      .flags = request->envelope.flags,
                                      .engine = engine->id,
                                      .request = request->envelope.request,
                                      .value = status,
                                      .op = request->envelope.op };
    ipp_frames_t frames = { 0 };
    int bad = ipp_frames_push(&frames, reply_header(engine, request));
    bad |= ipp_frames_push(&frames, ipp_frame_ref(request->frames.at[FRAME_HEADER]));
    bad |= ipp_frames_push(&frames, reply_metadata(engine, request, status, content));
    bad |= ipp_frames_push(&frames, content);
    bad |= ipp_frames_share(&frames, buffers, 0);
    ipp_frames_clear(buffers);
    if (!bad)
        return link_send(engine->link, 0, LINK_DATA, &envelope, &frames);
    ipp_frames_clear(&frames);
    return -1;
}

static json_t *error_content(const struct engine *engine, const struct request *request,
                             const char *ename, const char *text)
{
    return json_pack("{s:s, s:s, s:s, s:[s], s:o}", "status", "error", "ename", ename, "evalue",
                     text, "traceback", text, "engine_info", engine_info(engine, request));
}

void request_reply(struct engine *engine, struct request *request, enum link_status status,
                   ipp_frame_t *content, ipp_frames_t *buffers)
{
    bool task = request->envelope.flags & LINK_FROM_BALANCER;
    if (task && status == LINK_ERROR && request->envelope.value > 0) { /* it will be tried again */
        ipp_frame_unref(content);
        ipp_frames_clear(buffers);
    } else if (send_reply(engine, request, status, content, buffers) < 0) {
        json_t *error =
            error_content(engine, request, "MemoryError",
                          errno == EMSGSIZE ? "the answer's small buffers are more than 2 GiB"
                                            : "the engine has no memory to send the answer");
        if (send_reply(engine, request, LINK_ERROR, wire_json_frame_new(error), buffers) < 0)
            ipp_log(IPP_LOG_ERROR, "the answer to %s is lost: %s", request->msg_id,
                    strerror(errno));
    }
    if (task)
        tell_balancer(engine, request, status);
}

void request_reply_error(struct engine *engine, struct request *request, const char *ename,
                         const char *text)
{
    json_t *content = error_content(engine, request, ename, text);
    ipp_frames_t none = { 0 };
    request_reply(engine, request, LINK_ERROR, wire_json_frame_new(content), &none);
}

void request_publish(struct engine *engine, uint64_t number, ipp_frame_t *parent,
                     const char *msg_type, ipp_frame_t *content, ipp_frame_t *metadata,
                     ipp_frames_t *buffers)
{
    struct link_envelope envelope = { .kind = LINK_PUBLISH,
                                      .engine = engine->id,
                                      .request = number };
    char topic[96];
    int length = snprintf(topic, sizeof topic, "engine.%d.%s", engine->id, msg_type);
    ipp_frames_t frames = { 0 };
    int bad = ipp_frames_push_copy(&frames, topic, (size_t)length);
    bad |= ipp_frames_push(&frames, wire_header_frame(msg_type, engine->uuid));
    bad |= ipp_frames_push(&frames, ipp_frame_ref(parent));
    bad |= metadata ? ipp_frames_push(&frames, metadata) : ipp_frames_push_copy(&frames, "{}", 2);
    bad |= ipp_frames_push(&frames, content);
    if (buffers) {
        bad |= ipp_frames_share(&frames, buffers, 0);
        ipp_frames_clear(buffers);
    }
    if (bad || link_send(engine->link, 0, LINK_DATA, &envelope, &frames) < 0)
        ipp_log(IPP_LOG_WARNING, "a %s message is lost: %s", msg_type, strerror(errno));
    ipp_frames_clear(&frames);
}
