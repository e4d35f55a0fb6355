/* SPDX-License-Identifier: BSD-3-Clause
 * A request's way into the outbox. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- JSON ---- */

void request_msg_id(const ipp_steer_t *steer, uint64_t sequence, char out[MSG_ID_LEN])
{
    snprintf(out, MSG_ID_LEN, "%s_%ld_%llu", steer->session, (long)getpid(),
             (unsigned long long)sequence);
}

char *request_header(const ipp_steer_t *steer, const char *type, uint64_t sequence)
{
    char msg_id[MSG_ID_LEN], date[IPP_DATE_LEN];
    request_msg_id(steer, sequence, msg_id);
    json_t *header =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "msg_id", msg_id, "msg_type", type, "username",
                  "ipp", "session", steer->session, "date", ipp_date(date), "version", "5.3");
    char *text = header ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    return text;
}

static json_t *read_object(const char *what, const char *text, ipp_err_t *err)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_ALLOW_NUL, &error);
    if (json_is_object(value))
        return value;
    ipp_err(err, EINVAL, "%s is no JSON object: %s", what, value ? "something else" : error.text);
    json_decref(value);
    return NULL;
}

/* The caller's metadata and ours; the caller frees it. `sizes` may be NULL. */
static char *make_metadata(const ipp_request_t *request, const char *targets, uint64_t transfer,
                           json_t *sizes, ipp_err_t *err)
{
    json_t *metadata =
        request->metadata ? read_object("metadata", request->metadata, err) : json_object();
    if (!metadata)
        return NULL;
    int bad = targets ? json_object_set_new(metadata, "targets", json_string(targets)) : 0;
    if (sizes)
        bad |= json_object_set_new(
            metadata, "transfer",
            json_pack("{s:I, s:O}", "id", (json_int_t)transfer, "sizes", sizes));
    char *text = bad ? NULL : json_dumps(metadata, JSON_COMPACT);
    json_decref(metadata);
    if (!text)
        ipp_err(err, EINVAL, "targets are not in UTF-8, or no memory");
    return text;
}

/* ---- buffers ---- */

/* The caller's release, which its frame carries. */
struct release {
    ipp_release_fn fn;
    void *arg;
};

static void run_release(void *data, void *arg)
{
    struct release *release = arg;
    release->fn(data, release->arg);
    free(release);
}

static ipp_frame_t *frame_of(const ipp_buffer_t *buffer)
{
    if (!buffer->release)
        return ipp_frame_copy(buffer->data, buffer->size);
    struct release *release = malloc(sizeof *release);
    if (!release)
        return NULL;
    *release = (struct release){ buffer->release, buffer->arg };
    ipp_frame_t *frame =
        ipp_frame_adopt((void *)(uintptr_t)buffer->data, buffer->size, run_release, release);
    if (!frame)
        free(release);
    return frame;
}

/* Frames of all buffers. When it fails all are released. */
static int take_buffers(ipp_frames_t *frames, const ipp_request_t *request, ipp_err_t *err)
{
    bool bad = false;
    for (size_t i = 0; i < request->buffer_count; i++) {
        const ipp_buffer_t *buffer = &request->buffers[i];
        ipp_frame_t *frame = bad ? NULL : frame_of(buffer);
        if (!frame && buffer->release)
            buffer->release((void *)(uintptr_t)buffer->data, buffer->arg);
        bad |= !frame || ipp_frames_push(frames, frame) < 0;
    }
    if (!bad)
        return 0;
    ipp_frames_clear(frames);
    return ipp_err(err, ENOMEM, "no memory for the buffers");
}

/* ---- messages ---- */

struct draft {
    const ipp_request_t *request;
    enum wire_channel channel;
    const char *targets; /* NULL: the channel has none */
    ipp_frames_t frames;
    struct outgoing *messages; /* chunks, then the request */
    uint64_t sequence;         /* of the request */
};

static int choose_channel(struct draft *draft, ipp_err_t *err)
{
    const char *name = draft->request->channel ? draft->request->channel : "engines";
    int channel = wire_channel_find(name, strlen(name));
    switch (channel) {
    case WIRE_ENGINES:
    case WIRE_CONTROL:
        draft->targets = draft->request->targets ? draft->request->targets : "all";
        break;
    case WIRE_TASK:
    case WIRE_QUERY:
    case WIRE_SESSION:
        break;
    default:
        return ipp_err(err, EINVAL, "no requests go to channel '%.40s'", name);
    }
    draft->channel = (enum wire_channel)channel;
    return 0;
}

static json_t *sizes_of(const ipp_frames_t *frames, size_t first)
{
    json_t *sizes = json_array();
    for (size_t i = first; sizes && i < frames->count; i++)
        if (json_array_append_new(sizes, json_integer((json_int_t)ipp_frame_size(frames->at[i]))) <
            0) {
            json_decref(sizes);
            return NULL;
        }
    return sizes;
}

static int make_message(struct draft *draft, ipp_steer_t *steer, size_t keep, uint64_t transfer,
                        struct outgoing **out, ipp_err_t *err)
{
    const ipp_request_t *request = draft->request;
    bool chunked = keep < draft->frames.count;
    json_t *sizes = chunked ? sizes_of(&draft->frames, keep) : NULL;
    if (chunked && !sizes)
        return ipp_err(err, ENOMEM, "no memory");
    char *metadata = make_metadata(request, draft->targets, transfer, sizes, err);
    json_decref(sizes);
    if (!metadata)
        return -1;
    char *header = request_header(steer, request->type, draft->sequence);
    if (header)
        *out = outgoing_create(draft->channel, header, metadata,
                               request->content ? request->content : "{}", draft->frames.at, keep);
    int result = *out ? 0 : ipp_err(err, header ? ENOMEM : EINVAL, "no memory, or no UTF-8");
    free(header);
    free(metadata);
    return result;
}

static int make_messages(struct draft *draft, ipp_steer_t *steer, ipp_err_t *err)
{
    struct outgoing **tail = &draft->messages;
    const ipp_frames_t *frames = &draft->frames;
    size_t keep = draft->channel == WIRE_ENGINES ? chunks_keep(frames) : frames->count;
    uint64_t transfer = steer->last_transfer + 1;
    draft->sequence = steer->outbox.last_sequence + 1;
    if (keep < frames->count) {
        int64_t chunks = chunks_make(steer, frames, keep, draft->targets, transfer, &tail);
        if (chunks < 0)
            return ipp_err(err, ENOMEM, "no memory for the chunks");
        draft->sequence += (uint64_t)chunks;
        steer->last_transfer = transfer;
    }
    return make_message(draft, steer, keep, transfer, tail, err);
}

static void drop_messages(struct outgoing *message)
{
    while (message) {
        struct outgoing *next = message->next;
        outgoing_destroy(message);
        message = next;
    }
}

static void post(ipp_steer_t *steer, struct outgoing *message)
{
    while (message) {
        struct outgoing *next = message->next;
        outbox_add(&steer->outbox, message);
        message = next;
    }
}

static int check(struct draft *draft, const ipp_steer_t *steer, ipp_err_t *err)
{
    const char *content = draft->request->content;
    if (steer->state == SESSION_DEAD)
        return ipp_err(err, steer->death, "%s", steer->last_words.text);
    if (content) {
        json_t *object = read_object("content", content, err);
        if (!object)
            return -1;
        json_decref(object);
    }
    return choose_channel(draft, err);
}

ipp_future_t *ipp_steer_send(ipp_steer_t *steer, const ipp_request_t *request, ipp_error_t *err)
{
    struct draft draft = { .request = request };
    struct ipp_future *future = NULL;
    if (take_buffers(&draft.frames, request, inner(err)) < 0)
        return NULL;
    if (check(&draft, steer, inner(err)) < 0 || make_messages(&draft, steer, inner(err)) < 0)
        goto error;
    future = future_create(steer, request);
    if (!future) {
        ipp_err(inner(err), ENOMEM, "no memory");
        goto error;
    }
    future->channel = draft.channel;
    future->sequence = draft.sequence;
    HASH_ADD(hh, steer->futures, sequence, sizeof future->sequence, future);
    post(steer, draft.messages);
    ipp_frames_clear(&draft.frames);
    session_flush(steer);
    steer_rearm(steer);
    return future;
error:
    drop_messages(draft.messages);
    ipp_frames_clear(&draft.frames);
    return NULL;
}

static int take_back(ipp_future_t *future, bool interrupt, ipp_error_t *err)
{
    char msg_id[MSG_ID_LEN];
    if (future->done)
        return 0;
    request_msg_id(future->steer, future->sequence, msg_id);
    json_t *object = json_pack("{s:[s], s:b}", "msg_ids", msg_id, "interrupt", (int)interrupt);
    char *content = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!content)
        return ipp_err(inner(err), ENOMEM, "no memory");
    ipp_request_t request = { .type = "abort_request",
                              .channel = "control",
                              .targets = future->channel == WIRE_TASK ? NULL : future->targets,
                              .content = content };
    ipp_future_t *abort_future = ipp_steer_send(future->steer, &request, err);
    free(content);
    ipp_future_destroy(abort_future);
    return abort_future ? 0 : -1;
}

int ipp_future_cancel(ipp_future_t *future, ipp_error_t *err)
{
    return take_back(future, false, err);
}

int ipp_future_interrupt(ipp_future_t *future, ipp_error_t *err)
{
    return take_back(future, true, err);
}
