/* SPDX-License-Identifier: BSD-3-Clause
 * The metadata of replies, as ipyparallel's kernel fills it in: the scheduler and the client read
 * it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mpi_engine/engine.h"

enum way { ALONE, COPY, COALESCED, WAYS };
enum { STATUSES = LINK_ABORTED + 1 };

struct metadata_forms {
    wire_form_t *of[WAYS][STATUSES];
};

static const char *const status_names[STATUSES] = { "ok", "error", "aborted" };

static enum way way_of(const struct request *request)
{
    uint16_t flags = request->envelope.flags;
    return !(flags & LINK_BROADCAST) ? ALONE : flags & LINK_COALESCING ? COALESCED : COPY;
}

struct metadata_forms *metadata_forms_create(const char *uuid)
{
    struct metadata_forms *forms = calloc(1, sizeof *forms);
    for (int way = 0; forms && way < WAYS; way++)
        for (int status = 0; status < STATUSES; status++) {
            forms->of[way][status] = wire_form_create(
                json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b}", "started", "", "original_msg_id",
                          "", "engine", uuid, "status", status_names[status], "dependencies_met", 1,
                          "is_broadcast", way != ALONE, "is_coalescing", way == COALESCED),
                2);
            if (!forms->of[way][status]) {
                metadata_forms_destroy(forms);
                return NULL;
            }
        }
    return forms;
}

void metadata_forms_destroy(struct metadata_forms *forms)
{
    if (!forms)
        return;
    int saved_errno = errno;
    for (int way = 0; way < WAYS; way++)
        for (int status = 0; status < STATUSES; status++)
            wire_form_destroy(forms->of[way][status]);
    free(forms);
    errno = saved_errno;
}

/* Takes `metadata`. */
static ipp_frame_t *add_error(const struct engine *engine, const struct request *request,
                              ipp_frame_t *metadata, ipp_frame_t *content)
{
    json_t *whole = metadata ? wire_json_read(metadata, NULL) : NULL;
    json_t *error = content ? wire_json_read(content, NULL) : NULL;
    if (strcmp(wire_json_string(error, "ename", ""), "UnmetDependency") == 0)
        json_object_set_new(whole, "dependencies_met", json_false());
    json_object_set_new(whole, "engine_info", request_engine_info(engine, request));
    json_decref(error);
    ipp_frame_unref(metadata);
    return wire_json_frame_new(whole);
}

ipp_frame_t *metadata_of_reply(const struct engine *engine, const struct request *request,
                               enum link_status status, ipp_frame_t *content)
{
    enum way way = way_of(request);
    char now[IPP_DATE_LEN];
    const char *started = request->started[0] ? request->started : ipp_date(now);
    struct wire_slice values[] = { { started, strlen(started) }, { "", 0 } };
    if (way == COPY)
        values[1] = wire_copies_id(request->frames.at[FRAME_HEADER], request->id_end);
    ipp_frame_t *metadata = wire_form_fill(engine->metadata->of[way][status], values);
    return status == LINK_ERROR ? add_error(engine, request, metadata, content) : metadata;
}
