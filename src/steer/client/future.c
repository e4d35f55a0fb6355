/* SPDX-License-Identifier: BSD-3-Clause
 * Requests that are awaited, and the answers and output that come for them. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* ---- copies that end with a NUL ---- */

static char *text_of(ipp_frame_t *frame)
{
    size_t size = ipp_frame_size(frame);
    char *text = malloc(size + 1);
    if (text) {
        memcpy(text, ipp_frame_data(frame), size);
        text[size] = '\0';
    }
    return text;
}

static size_t aligned(size_t size)
{
    return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

/* ---- answers ---- */

static size_t answer_size(const struct incoming *message)
{
    size_t size = aligned(sizeof(struct answer)) +
                  aligned(message->buffer_count * sizeof(ipp_buffer_t)) +
                  ipp_frame_size(message->content) + 1 + ipp_frame_size(message->metadata) + 1;
    size = aligned(size);
    for (size_t i = 0; i < message->buffer_count; i++)
        if (ipp_frame_size(message->buffers[i]) <= WIRE_PACKED_BYTES)
            size += aligned(ipp_frame_size(message->buffers[i]));
    return size;
}

static char *put_text(char *at, ipp_frame_t *frame)
{
    size_t size = ipp_frame_size(frame);
    memcpy(at, ipp_frame_data(frame), size);
    at[size] = '\0';
    return at + size + 1;
}

/* Small buffers are copied to `at`, the others stay where they are and are shared. */
static int put_buffers(struct answer *answer, ipp_buffer_t *buffers, char *at,
                       const struct incoming *message)
{
    for (size_t i = 0; i < message->buffer_count; i++) {
        ipp_frame_t *frame = message->buffers[i];
        size_t size = ipp_frame_size(frame);
        buffers[i] = (ipp_buffer_t){ .data = ipp_frame_data(frame), .size = size };
        if (size <= WIRE_PACKED_BYTES) {
            memcpy(at, ipp_frame_data(frame), size);
            buffers[i].data = at;
            at += aligned(size);
        } else if (ipp_frames_push(&answer->frames, ipp_frame_ref(frame)) < 0) {
            return -1;
        }
    }
    return 0;
}

static void answer_destroy(struct answer *answer)
{
    ipp_frames_clear(&answer->frames);
    free(answer->dtype);
    free(answer->shape);
    free(answer);
}

static enum ipp_status status_of(uint32_t flags)
{
    return flags & WIRE_HEAD_ERROR ? IPP_ERROR : flags & WIRE_HEAD_ABORTED ? IPP_ABORTED : IPP_OK;
}

/* One allocation, but for large buffers. */
static struct answer *answer_create(const struct incoming *message)
{
    struct answer *answer = malloc(answer_size(message));
    if (!answer)
        return NULL;
    ipp_buffer_t *buffers = (ipp_buffer_t *)((char *)answer + aligned(sizeof *answer));
    char *content = (char *)buffers + aligned(message->buffer_count * sizeof(ipp_buffer_t));
    char *metadata = put_text(content, message->content);
    char *end = put_text(metadata, message->metadata);
    *answer = (struct answer){ .shown = { .engine = message->head.engine,
                                          .status = status_of(message->head.flags),
                                          .content = content,
                                          .metadata = metadata,
                                          .buffers = buffers,
                                          .buffer_count = message->buffer_count } };
    if (put_buffers(answer, buffers, (char *)answer + aligned((size_t)(end - (char *)answer)),
                    message) < 0) {
        answer_destroy(answer);
        return NULL;
    }
    return answer;
}

static int by_engine(const void *a, const void *b)
{
    int left = (*(struct answer *const *)a)->shown.engine;
    int right = (*(struct answer *const *)b)->shown.engine;
    return (left > right) - (left < right);
}

/* ---- the life of a future ---- */

struct ipp_future *future_create(ipp_steer_t *steer, const ipp_request_t *request)
{
    struct ipp_future *future = calloc(1, sizeof *future);
    if (!future)
        return NULL;
    future->steer = steer;
    future->on_output = request->on_output;
    future->output_arg = request->output_arg;
    if (request->targets && strcmp(request->targets, "all") != 0 &&
        !(future->targets = strdup(request->targets))) {
        free(future);
        return NULL;
    }
    return future;
}

void future_free(struct ipp_future *future)
{
    if (!future)
        return;
    for (uint32_t i = 0; i < future->count; i++)
        answer_destroy(future->answers[i]);
    free(future->answers);
    free(future->targets);
    free(future);
}

/* Out of the table, and the caller told; it may destroy the future then. */
static void finish(struct ipp_future *future, const char *failure)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash's links confuse it */
    HASH_DEL(future->steer->futures, future);
    if (future->abandoned) {
        future_free(future);
        return;
    }
    if (future->count > 1)
        qsort(future->answers, future->count, sizeof(struct answer *), by_engine);
    future->failure = failure;
    future->done = true;
    if (future->on_done)
        future->on_done(future, future->done_arg);
}

void future_fail_all(ipp_steer_t *steer, const char *failure)
{
    while (steer->futures)
        finish(steer->futures, failure);
}

static int keep(struct ipp_future *future, struct answer *answer)
{
    if (future->count == future->capacity) {
        uint32_t capacity = future->capacity ? future->capacity * 2 : 1;
        struct answer **answers = realloc(future->answers, capacity * sizeof(struct answer *));
        if (!answers)
            return -1;
        future->answers = answers;
        future->capacity = capacity;
    }
    future->answers[future->count++] = answer;
    return 0;
}

static struct ipp_future *find(ipp_steer_t *steer, uint64_t sequence)
{
    struct ipp_future *future = NULL;
    if (sequence != 0)
        HASH_FIND(hh, steer->futures, &sequence, sizeof sequence, future);
    return future;
}

void future_answer(ipp_steer_t *steer, const struct incoming *message)
{
    struct ipp_future *future = find(steer, message->head.request);
    bool last = message->head.flags & WIRE_HEAD_LAST;
    if (!future)
        return;
    if (!future->abandoned) {
        struct answer *answer = answer_create(message);
        if (!answer || keep(future, answer) < 0) {
            if (answer)
                answer_destroy(answer);
            finish(future, "no memory for an answer");
            return;
        }
    }
    if (last)
        finish(future, NULL);
}

/* ---- output ---- */

static uint64_t lost_before(const char *metadata)
{
    if (!strstr(metadata, "\"lost\""))
        return 0;
    json_t *object = json_loads(metadata, JSON_ALLOW_NUL, NULL);
    json_int_t lost = json_integer_value(json_object_get(object, "lost"));
    json_decref(object);
    return lost > 0 ? (uint64_t)lost : 0;
}

static void show(const struct incoming *message, const char *type, ipp_output_fn fn, void *arg)
{
    char *content = text_of(message->content), *metadata = text_of(message->metadata);
    ipp_buffer_t *buffers = calloc(message->buffer_count + 1, sizeof *buffers);
    if (content && metadata && buffers) {
        for (size_t i = 0; i < message->buffer_count; i++)
            buffers[i] = (ipp_buffer_t){ .data = ipp_frame_data(message->buffers[i]),
                                         .size = ipp_frame_size(message->buffers[i]) };
        ipp_output_t output = { .engine = message->head.engine,
                                .type = type,
                                .content = content,
                                .metadata = metadata,
                                .buffers = buffers,
                                .buffer_count = message->buffer_count,
                                .lost = lost_before(metadata) };
        fn(&output, arg);
    }
    free(content);
    free(metadata);
    free(buffers);
}

/* What the library itself has to know of. */
static void note_event(ipp_steer_t *steer, ipp_frame_t *content)
{
    json_t *event = wire_json_read(content, NULL);
    const char *name = wire_json_string(event, "event", "");
    if (strcmp(name, "engine_lost") == 0 || strcmp(name, "engine_retired") == 0)
        about_engine_gone(steer, json_integer_value(json_object_get(event, "id")));
    else if (strcmp(name, "shutdown") == 0)
        steer->ending = true;
    json_decref(event);
}

void future_output(ipp_steer_t *steer, const struct incoming *message)
{
    struct ipp_future *future = find(steer, message->head.request);
    ipp_output_fn fn = future ? future->on_output : NULL;
    void *arg = future ? future->output_arg : NULL;
    json_t *header = wire_json_read(message->header, NULL);
    const char *type = wire_json_string(header, "msg_type", "");
    if (strcmp(type, "event") == 0)
        note_event(steer, message->content);
    if (message->head.request == 0) {
        fn = steer->on_event;
        arg = steer->event_arg;
    }
    if (fn && !(future && future->abandoned))
        show(message, type, fn, arg);
    json_decref(header);
}

/* ---- the door ---- */

bool ipp_future_done(const ipp_future_t *future)
{
    return future->done;
}

size_t ipp_future_count(const ipp_future_t *future)
{
    return future->count;
}

const ipp_answer_t *ipp_future_answer(const ipp_future_t *future, size_t index)
{
    return &future->answers[index]->shown;
}

const char *ipp_future_failure(const ipp_future_t *future)
{
    return future->failure;
}

void ipp_future_on_done(ipp_future_t *future, void (*done)(ipp_future_t *future, void *arg),
                        void *arg)
{
    future->on_done = done;
    future->done_arg = arg;
    if (future->done && done)
        done(future, arg);
}

void ipp_future_destroy(ipp_future_t *future)
{
    if (!future)
        return;
    if (future->done)
        future_free(future);
    else
        future->abandoned = true;
}

size_t ipp_steer_outstanding(const ipp_steer_t *steer)
{
    return HASH_COUNT(steer->futures);
}

int ipp_future_wait(ipp_future_t *future, int timeout_ms, ipp_error_t *err)
{
    ipp_steer_t *steer = future->steer;
    int64_t end = ipp_now_ms() + timeout_ms;
    int left = timeout_ms;
    steer->woken = false;
    while (!future->done) {
        if (ipp_steer_progress(steer, left, err) < 0 && !future->done)
            return -1;
        if (future->done)
            break;
        if (steer->woken || (timeout_ms >= 0 && ipp_now_ms() >= end))
            return 0;
        int64_t rest = end - ipp_now_ms();
        left = timeout_ms < 0 ? -1 : rest > 0 ? (int)rest : 0;
    }
    if (!future->failure)
        return 1;
    return ipp_err(inner(err), steer->death ? steer->death : ENOMEM, "%s", future->failure);
}
