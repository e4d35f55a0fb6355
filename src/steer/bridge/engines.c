/* SPDX-License-Identifier: BSD-3-Clause
 * The engines as clients know them: they come, complete requests, and go. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Clients hear of a loss on another socket than of its answers: these go first, so that the client
 * does not make up answers of its own. */
#define FAREWELL_AFTER_MS 200

int engines_create(struct bridge *b)
{
    b->engine_count = link_size(b->link) - IPP_SERVICE_RANKS;
    b->engines = calloc((size_t)b->engine_count, sizeof *b->engines);
    if (!b->engines)
        return -1;
    for (int id = 0; id < b->engine_count; id++)
        b->engines[id].id = id;
    return 0;
}

void engines_destroy(struct bridge *b)
{
    HASH_CLEAR(hh, b->by_uuid);
    for (int id = 0; b->engines && id < b->engine_count; id++) {
        json_decref(b->engines[id].about);
        for (int i = 0; i < COMPLETED_KEPT; i++)
            free(b->engines[id].completed_ids[i]);
    }
    free(b->engines);
}

struct engine_entry *engine_by_uuid(struct bridge *b, const void *uuid, size_t size)
{
    struct engine_entry *engine;
    HASH_FIND(hh, b->by_uuid, uuid, size, engine);
    return engine;
}

void engine_arrived(struct bridge *b, int id, ipp_frame_t *about)
{
    struct engine_entry *engine = &b->engines[id];
    engine->about = wire_json_read(about, NULL);
    snprintf(engine->uuid, sizeof engine->uuid, "%s", wire_json_string(engine->about, "uuid", ""));
    engine->state = ENGINE_ALIVE;
    HASH_ADD_KEYPTR(hh, b->by_uuid, engine->uuid, strlen(engine->uuid), engine);
    if (json_is_false(json_object_get(engine->about, "ipyparallel")) && !b->said_no_ipyparallel) {
        ipp_log(IPP_LOG_WARNING,
                "engine %d: the Python of %s has no ipyparallel: apply, push, pull and map will "
                "fail until "
                "it is installed there",
                id, wire_json_string(engine->about, "executable", "?"));
        b->said_no_ipyparallel = true;
    }
    b->engines_alive++;
    if (++b->engines_arrived == b->engine_count)
        life_all_arrived(b);
}

void engine_completed(struct engine_entry *engine, const char *msg_id)
{
    char **slot = &engine->completed_ids[engine->completed++ % COMPLETED_KEPT];
    free(*slot);
    *slot = strdup(msg_id);
}

json_t *engines_about(struct bridge *b)
{
    json_t *about = json_object();
    for (int id = 0; id < b->engine_count; id++) {
        char key[16];
        snprintf(key, sizeof key, "%d", id);
        if (b->engines[id].state == ENGINE_ALIVE)
            json_object_set(about, key, b->engines[id].about);
    }
    return about;
}

/* Of a death the bridge knows before anybody else, of a shutdown perhaps after the balancer. */
const char *engine_fate(const struct engine_entry *engine)
{
    return engine->state == ENGINE_LOST ? "died" : "was shut down";
}

static void fail_parts_of(struct bridge *b, const struct engine_entry *engine)
{
    struct pending *p, *next;
    HASH_ITER(hh, b->pending, p, next)
    {
        for (size_t i = 0; i < p->part_count; i++) {
            if (p->parts[i].engine != engine->id || p->parts[i].answered)
                continue;
            answer_part_error(b, p, &p->parts[i], "EngineError",
                              "engine %d %s while it had this request", engine->id,
                              engine_fate(engine));
            break; /* an engine has one part; the entry may be gone now */
        }
    }
}

/* With the last engine go the tasks, wherever they are: what the balancer says of them would come
 * behind the end of the cluster. */
static void fail_tasks(struct bridge *b, const struct engine_entry *engine)
{
    struct pending *p, *next;
    HASH_ITER(hh, b->pending, p, next)
    {
        if (p->parts[0].engine != ANY_ENGINE)
            continue;
        p->parts[0].engine = engine->id;
        answer_part_error(b, p, &p->parts[0], "EngineError",
                          "engine %d, the last one, %s before this task was done", engine->id,
                          engine_fate(engine));
    }
}

void engine_gone(struct bridge *b, int id, enum engine_state state)
{
    struct engine_entry *engine = &b->engines[id];
    if (engine->state != ENGINE_ALIVE)
        return;
    engine->state = state;
    b->engines_alive--;
    fail_parts_of(b, engine);
    if (state == ENGINE_LOST && b->engines_alive == 0)
        fail_tasks(b, engine);
    feed_event(b, state == ENGINE_LOST ? "engine_lost" : "engine_retired", true,
               json_pack("{s:i}", "id", id));
    engine->farewell_ms = ipp_now_ms() + FAREWELL_AFTER_MS;
    if (state == ENGINE_LOST) {
        b->losses++;
        b->rebuild_ms = engine->farewell_ms;
    }
    if (b->engines_alive == 0 && b->engines_arrived == b->engine_count)
        life_last_engine_gone(b, state);
}

static void say_farewell(struct bridge *b, struct engine_entry *engine)
{
    engine->farewell_ms = 0;
    if (b->sockets)
        publish(b, WIRE_NOTIFICATION, "unregistration_notification", "unregistration_notification",
                NULL, json_pack("{s:i, s:s}", "id", engine->id, "uuid", engine->uuid));
}

/* Deaths come in groups, a host's engines at once: a communicator with a dead member is never
 * complete. */
static void tell_rebuild(struct bridge *b)
{
    b->rebuild_ms = 0;
    struct link_envelope envelope = { .kind = LINK_REBUILD, .engine = -1, .value = b->losses };
    ranks_tell_all(b, LINK_CONTROL, &envelope);
}

int engines_tick(struct bridge *b)
{
    int64_t now = ipp_now_ms(), next = -1;
    if (b->rebuild_ms && b->rebuild_ms <= now)
        tell_rebuild(b);
    else if (b->rebuild_ms)
        next = b->rebuild_ms - now;
    if (b->engines_alive == b->engine_count)
        return -1;
    for (int id = 0; id < b->engine_count; id++) {
        struct engine_entry *engine = &b->engines[id];
        if (engine->farewell_ms == 0)
            continue;
        if (engine->farewell_ms <= now)
            say_farewell(b, engine);
        else if (next < 0 || engine->farewell_ms - now < next)
            next = engine->farewell_ms - now;
    }
    return (int)next;
}
