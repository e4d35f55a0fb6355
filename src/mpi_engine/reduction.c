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

struct reduction *reduction_new(const struct engine *engine, ipp_frame_t *metadata)
{
    struct reduction *reduction = calloc(1, sizeof *reduction);
    size_t count;
    int *engines = read_engines(metadata, &count);
    if (!reduction || !engines || partials_tree(&reduction->tree, engines, count, engine->id) < 0) {
        free(reduction);
        reduction = NULL;
    } else {
        reduction->engine = engine;
    }
    free(engines);
    return reduction;
}

int reduction_send(struct reduction *reduction, uint64_t number, enum link_status status,
                   ipp_frames_t *frames)
{
    const struct engine *engine = reduction->engine;
    struct link_envelope envelope = {
        .kind = LINK_PARTIAL, .engine = engine->id, .request = number, .value = status
    };
    reduction->sent = true;
    return link_send(engine->link, reduction->tree.parent + IPP_SERVICE_RANKS, LINK_DATA, &envelope,
                     frames);
}

bool reduction_take(struct reduction *reduction, uint64_t number, int child, int *status,
                    ipp_frames_t *frames)
{
    if (!partials_take(reduction->engine->partials, number, child, status, frames))
        return false;
    for (int i = 0; i < reduction->tree.child_count; i++)
        if (reduction->tree.children[i] == child)
            reduction->taken |= 1U << i;
    return true;
}

static void send_nothing(struct reduction *reduction, uint64_t number)
{
    const struct engine *engine = reduction->engine;
    const char *text = "its request was aborted, or ended before it had a value";
    json_t *content =
        json_pack("{s:s, s:s, s:s, s:[s], s:{s:s, s:i, s:s}}", "status", "error", "ename",
                  "EngineError", "evalue", text, "traceback", text, "engine_info", "engine_uuid",
                  engine->uuid, "engine_id", engine->id, "method", "reduce");
    ipp_frames_t frames = { 0 };
    ipp_frames_push(&frames, wire_json_frame_new(content));
    reduction_send(reduction, number, LINK_ERROR, &frames);
}

void reduction_free(struct reduction *reduction, uint64_t number)
{
    if (!reduction)
        return;
    const struct partials_tree *tree = &reduction->tree;
    if (tree->parent >= 0 && !reduction->sent)
        send_nothing(reduction, number);
    for (int i = 0; i < tree->child_count; i++)
        if (!(reduction->taken & 1U << i) &&
            !link_is_lost(reduction->engine->link, tree->children[i] + IPP_SERVICE_RANKS))
            partials_refuse(reduction->engine->partials, number, tree->children[i]);
    free(reduction);
}
