/* SPDX-License-Identifier: BSD-3-Clause
 * An engine's part in a reduction. Whatever becomes of its request, its parent in the tree hears
 * from it once, and what its children say is taken or refused. */
#include <stdlib.h>

#include "mpi_engine/engine.h"

/* The engines that take part, as the bridge lists them; the caller frees them. */
static int *read_engines(ipp_frame_t *metadata, size_t *count)
{
    json_t *object = wire_json_read(metadata, NULL);
    const json_t *list = json_object_get(object, "engines");
    *count = json_array_size(list);
    int *engines = calloc(*count + 1, sizeof *engines);
    for (size_t i = 0; engines && i < *count; i++)
        engines[i] = (int)json_integer_value(json_array_get(list, i));
    json_decref(object);
    return engines;
}

struct reduction *reduction_new(const struct engine *engine, const char *method, const int *engines,
                                size_t count)
{
    struct reduction *reduction = calloc(1, sizeof *reduction);
    if (!reduction || partials_tree(&reduction->tree, engines, count, engine->id) < 0) {
        free(reduction);
        return NULL;
    }
    reduction->engine = engine;
    reduction->method = method;
    return reduction;
}

struct reduction *reduction_of_request(const struct engine *engine, ipp_frame_t *metadata)
{
    size_t count;
    int *engines = read_engines(metadata, &count);
    struct reduction *reduction = engines ? reduction_new(engine, "reduce", engines, count) : NULL;
    free(engines);
    return reduction;
}

int reduction_send(struct reduction *reduction, uint64_t number, int status, ipp_frames_t *frames)
{
    const struct engine *engine = reduction->engine;
    struct link_envelope envelope = {
        .kind = LINK_PARTIAL, .engine = engine->id, .request = number, .value = status
    };
    reduction->sent = true;
    return link_send(engine->link, reduction->tree.parent + IPP_SERVICE_RANKS, LINK_DATA, &envelope,
                     frames);
}

bool reduction_take(struct reduction *reduction, uint64_t number, int neighbour, int *status,
                    ipp_frames_t *frames)
{
    if (!partials_take(reduction->engine->partials, number, neighbour, status, frames))
        return false;
    for (int i = 0; i < reduction->tree.child_count; i++)
        if (reduction->tree.children[i] == neighbour)
            reduction->taken |= 1U << i;
    return true;
}

/* ---- waiting ---- */

struct awaited {
    const struct reduction *reduction;
    uint64_t number;
    int neighbour;
    const atomic_bool *enough;
    bool or_work;
};

bool reduction_lost(const struct reduction *reduction, int neighbour)
{
    return link_is_lost(reduction->engine->link, neighbour + IPP_SERVICE_RANKS);
}

static bool nothing_yet(void *arg)
{
    const struct awaited *awaited = arg;
    const struct engine *engine = awaited->reduction->engine;
    return !atomic_load(awaited->enough) &&
           !(awaited->or_work && run_queue_pending(engine->queue)) &&
           !partials_has(engine->partials, awaited->number, awaited->neighbour) &&
           !reduction_lost(awaited->reduction, awaited->neighbour);
}

void reduction_wait(const struct reduction *reduction, uint64_t number, int neighbour,
                    const atomic_bool *enough, bool or_work, int64_t deadline_ms)
{
    struct awaited awaited = { reduction, number, neighbour, enough, or_work };
    drive_while(reduction->engine->drive, nothing_yet, &awaited, deadline_ms);
}

/* ---- ended early ---- */

static void send_nothing(struct reduction *reduction, uint64_t number)
{
    const struct engine *engine = reduction->engine;
    const char *text = "its part was aborted, or ended before it had a value";
    json_t *content =
        json_pack("{s:s, s:s, s:s, s:[s], s:{s:s, s:i, s:s}}", "status", "error", "ename",
                  "EngineError", "evalue", text, "traceback", text, "engine_info", "engine_uuid",
                  engine->uuid, "engine_id", engine->id, "method", reduction->method);
    ipp_frames_t frames = { 0 };
    ipp_frames_push(&frames, wire_json_frame_new(content));
    reduction_send(reduction, number, LINK_ERROR, &frames);
}

void reduction_free(struct reduction *reduction, uint64_t number)
{
    if (!reduction)
        return;
    const struct partials_tree *tree = &reduction->tree;
    if (tree->parent >= 0 && !reduction->sent && !reduction->over)
        send_nothing(reduction, number);
    for (int i = 0; i < tree->child_count && !reduction->over; i++)
        if (!(reduction->taken & 1U << i) && !reduction_lost(reduction, tree->children[i]))
            partials_refuse(reduction->engine->partials, number, tree->children[i]);
    free(reduction);
}
