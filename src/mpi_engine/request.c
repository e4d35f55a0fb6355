/* SPDX-License-Identifier: BSD-3-Clause
 * Requests taken in, and the messages that answer them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/engine.h"
#include "mpi_engine/together.h"

/* A copy of a broadcast that is answered one by one has a msg_id of its own, "ORIGINAL_UUID", which
 * the client knows. */
static int rename_copy(const struct engine *engine, struct request *request)
{
    ipp_frame_t **header = &request->frames.at[FRAME_HEADER];
    request->id_end = (size_t)request->envelope.value;
    ipp_frame_t *renamed = wire_copy_header(*header, request->id_end, engine->uuid);
    if (!renamed)
        return -1;
    ipp_frame_unref(*header);
    *header = renamed;
    return 0;
}

ipp_frame_t *request_frame_before(struct link_message *msg, uint16_t flag)
{
    ipp_frames_t *frames = &msg->frames;
    if (!(msg->envelope.flags & flag) || frames->count == 0)
        return NULL;
    ipp_frame_t *first = frames->at[0];
    memmove(frames->at, frames->at + 1, --frames->count * sizeof *frames->at);
    return first;
}

/* -1: no memory, or this engine is not among those that run it. */
static int join_gang(const struct engine *engine, struct request *request)
{
    const int32_t *engines = ipp_frame_data(request->gang);
    size_t count = ipp_frame_size(request->gang) / sizeof *engines;
    request->reduction = reduction_new(engine, "task", engines, count);
    if (!request->reduction)
        return -1;
    request->answers = request->reduction->tree.parent < 0;
    return 0;
}

struct request *request_new(const struct engine *engine, struct link_message *msg)
{
    struct request *request = calloc(1, sizeof *request);
    if (request)
        request->gang = request_frame_before(msg, LINK_WIDE);
    if (!request || msg->frames.count < FRAME_BUFFERS)
        goto error;
    request->envelope = msg->envelope;
    request->answers = true;
    request->frames = msg->frames;
    msg->frames = (ipp_frames_t){ 0 };
    request->op = wire_op_info((enum wire_op)request->envelope.op);
    uint16_t flags = request->envelope.flags;
    if ((flags & LINK_BROADCAST) && !(flags & LINK_COALESCING) && rename_copy(engine, request) < 0)
        goto error;
    if (request->op->op == WIRE_OP_REDUCE)
        request->reduction = reduction_of_request(engine, request->frames.at[FRAME_METADATA]);
    if (request->gang && join_gang(engine, request) < 0)
        goto error;
    return request;
error:
    request_free(request);
    errno = EBADMSG;
    return NULL;
}

struct request *request_new_batch(struct link_message *msg)
{
    struct request *request = msg->frames.count == 1 ? calloc(1, sizeof *request) : NULL;
    if (!request)
        return NULL;
    request->envelope = msg->envelope;
    request->frames = msg->frames;
    msg->frames = (ipp_frames_t){ 0 };
    return request;
}

void request_free(struct request *request)
{
    if (!request)
        return;
    int saved_errno = errno;
    if (request->gang && request->reduction)
        together_abandon(request->reduction, request->envelope.request);
    reduction_free(request->reduction, request->envelope.request);
    ipp_frame_unref(request->gang);
    ipp_frames_clear(&request->frames);
    free(request);
    errno = saved_errno;
}

json_t *request_engine_info(const struct engine *engine, const struct request *request)
{
    char method[64];
    const char *type = request->op->request;
    snprintf(method, sizeof method, "%.*s", (int)strcspn(type, "_"), type);
    return json_pack("{s:s, s:i, s:s}", "engine_uuid", engine->uuid, "engine_id", engine->id,
                     "method", method);
}

/* ipyparallel's word for a condition of the task's own: another engine may do. */
static bool is_unmet(ipp_frame_t *content)
{
    json_t *error = wire_json_read(content, NULL);
    bool unmet = strcmp(wire_json_string(error, "ename", ""), "UnmetDependency") == 0;
    json_decref(error);
    return unmet;
}

static void tell_balancer(struct engine *engine, const struct request *request,
                          enum link_status status)
{
    ipp_frames_t frames = { 0 };
    struct link_envelope done = { .kind = LINK_DONE,
                                  .engine = engine->id,
                                  .request = request->envelope.request,
                                  .value = status };
    if (status == LINK_UNMET && !(request->envelope.flags & LINK_KEPT))
        ipp_frames_share(&frames, &request->frames, 0);
    link_send(engine->link, 1, LINK_DATA, &done, &frames);
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
    int bad = ipp_frames_push(&frames, wire_headers_next(engine->headers, request->op->reply));
    bad |= ipp_frames_push(&frames, ipp_frame_ref(request->frames.at[FRAME_HEADER]));
    bad |= ipp_frames_push(&frames, metadata_of_reply(engine, request, status, content));
    bad |= ipp_frames_push(&frames, content);
    bad |= ipp_frames_share(&frames, buffers, 0);
    ipp_frames_clear(buffers);
    if (!bad)
        return link_send(engine->link, 0, LINK_DATA, &envelope, &frames);
    ipp_frames_clear(&frames);
    return -1;
}

json_t *request_error(const struct engine *engine, const struct request *request, const char *ename,
                      const char *text)
{
    return json_pack("{s:s, s:s, s:s, s:[s], s:o}", "status", "error", "ename", ename, "evalue",
                     text, "traceback", text, "engine_info", request_engine_info(engine, request));
}

void request_reply(struct engine *engine, struct request *request, enum link_status status,
                   ipp_frame_t *content, ipp_frames_t *buffers)
{
    bool task = request->envelope.flags & LINK_FROM_BALANCER;
    if (task && !request->gang && status == LINK_ERROR && content && is_unmet(content))
        status = LINK_UNMET;
    bool unwanted = task && atomic_load(&engine->unwanted) == request->envelope.request;
    bool again = status == LINK_UNMET ||
                 (task && status == LINK_ERROR && !unwanted && request->envelope.value > 0);
    bool taken_back = task && atomic_load(&engine->taken_back) == request->envelope.request;
    if (again || taken_back || !request->answers) {
        ipp_frame_unref(content);
        ipp_frames_clear(buffers);
    } else if (send_reply(engine, request, status, content, buffers) < 0) {
        json_t *error =
            request_error(engine, request, "MemoryError",
                          errno == EMSGSIZE ? "the answer's small buffers are more than 2 GiB"
                                            : "the engine has no memory to send the answer");
        if (send_reply(engine, request, LINK_ERROR, wire_json_frame_new(error), buffers) < 0)
            ipp_log(IPP_LOG_ERROR, "the answer to an %s is lost: %s", request->op->request,
                    strerror(errno));
    }
    if (task) /* what is unwanted is not run again */
        tell_balancer(engine, request, unwanted && status == LINK_ERROR ? LINK_ABORTED : status);
}

void request_reply_error(struct engine *engine, struct request *request, const char *ename,
                         const char *text)
{
    json_t *content = request_error(engine, request, ename, text);
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
    bad |= ipp_frames_push(&frames, wire_headers_next(engine->headers, msg_type));
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
