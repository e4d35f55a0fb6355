/* SPDX-License-Identifier: BSD-3-Clause
 * The usual requests: source code, arrays, interrupts, subscriptions. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sends with `content`, whose reference it takes. */
static ipp_future_t *send_json(ipp_steer_t *steer, ipp_request_t *request, json_t *content,
                               ipp_error_t *err)
{
    char *text = content ? json_dumps(content, JSON_COMPACT) : NULL;
    ipp_future_t *future = NULL;
    json_decref(content);
    request->content = text;
    if (text)
        future = ipp_steer_send(steer, request, err);
    else
        ipp_err(inner(err), EINVAL, "%s: a text that is not in UTF-8", request->type);
    free(text);
    return future;
}

ipp_future_t *ipp_steer_execute(ipp_steer_t *steer, const char *targets, const char *code,
                                ipp_output_fn on_output, void *arg, ipp_error_t *err)
{
    ipp_request_t request = {
        .type = "execute_request", .targets = targets, .on_output = on_output, .output_arg = arg
    };
    return send_json(steer, &request,
                     json_pack("{s:s, s:b, s:b, s:{}, s:b}", "code", code, "silent", 0,
                               "store_history", 1, "user_expressions", "allow_stdin", 0),
                     err);
}

ipp_future_t *ipp_steer_task(ipp_steer_t *steer, const char *name, const ipp_buffer_t *payload,
                             const char *wants, ipp_error_t *err)
{
    ipp_request_t request = { .type = "task_request",
                              .channel = "task",
                              .metadata = wants,
                              .buffers = payload,
                              .buffer_count = payload ? 1 : 0 };
    return send_json(steer, &request, json_pack("{s:s}", "name", name), err);
}

ipp_future_t *ipp_steer_interrupt(ipp_steer_t *steer, const char *targets, ipp_error_t *err)
{
    ipp_request_t request = { .type = "signal_request", .channel = "control", .targets = targets };
    return send_json(steer, &request, json_pack("{s:s}", "sig", "SIGINT"), err);
}

ipp_future_t *ipp_steer_subscribe(ipp_steer_t *steer, const char *output, bool events,
                                  ipp_output_fn fn, void *arg, ipp_error_t *err)
{
    ipp_request_t request = { .type = "subscribe_request", .channel = "session" };
    ipp_future_t *future = send_json(
        steer, &request, json_pack("{s:s, s:b}", "output", output, "events", (int)events), err);
    if (future) {
        steer->on_event = fn;
        steer->event_arg = arg;
    }
    return future;
}

ipp_future_t *ipp_steer_pull(ipp_steer_t *steer, const char *targets, const char *name,
                             ipp_error_t *err)
{
    ipp_request_t request = { .type = "pull_request", .targets = targets };
    return send_json(steer, &request, json_pack("{s:[s]}", "names", name), err);
}

ipp_future_t *ipp_steer_reduce(ipp_steer_t *steer, const char *targets, const char *name,
                               const char *op, ipp_error_t *err)
{
    ipp_request_t request = { .type = "reduce_request", .targets = targets };
    return send_json(steer, &request, json_pack("{s:s, s:s}", "name", name, "op", op), err);
}
