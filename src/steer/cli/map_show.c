/* SPDX-License-Identifier: BSD-3-Clause
 * What comes out of `map`: one result for each item, in order; errors folded. No item is passed
 * over in silence. */
#include <stdlib.h>
#include <string.h>

#include "steer/cli/map.h"
#include "wire/wire.h"

#define ERRORS_HELD_MS 2000
#define ERRORS_MAX 64 /* different ones that are held: looking for an equal one takes time */
#define IDS_MAX 60    /* characters */

/* ---- errors ---- */

static void say_group(struct map *map, const struct fold_group *group)
{
    struct text ids = { 0 };
    fold_ids(&ids, group->ids, group->count, IDS_MAX);
    if (group->count > 1 && ids.at[ids.size - 1] != ')') /* not cut */
        text_print(&ids, " (%zu)", group->count);
    cli_complain(map->cli, 0, "item%s %s: %s", group->count > 1 ? "s" : "", ids.at, group->said);
    text_clear(&ids);
}

int map_wait_ms(const struct map *map)
{
    if (map->errors.count == 0)
        return -1;
    int64_t left = map->errors_since_ms + ERRORS_HELD_MS - ipp_now_ms();
    return left > 0 ? (int)left : 0;
}

void map_say_errors(struct map *map, bool all)
{
    if (map->errors.count == 0 || (!all && map->errors.count < ERRORS_MAX && map_wait_ms(map) > 0))
        return;
    fold_finish(&map->errors);
    for (size_t i = 0; i < map->errors.count; i++)
        say_group(map, &map->errors.groups[i]);
    fold_clear(&map->errors);
}

static void hold_error(struct map *map, int64_t index, const json_t *item)
{
    char *said = cli_format("%s: %s", wire_json_string(item, "ename", "error"),
                            wire_json_string(item, "evalue", ""));
    if (map->errors.count == 0)
        map->errors_since_ms = ipp_now_ms();
    fold_add(&map->errors, index, said);
    free(said);
    map_say_errors(map, false);
}

/* ---- items ---- */

static void print_item(struct map *map, int64_t index, int engine, json_t *item)
{
    bool ok = strcmp(wire_json_string(item, "status", ""), "ok") == 0;
    if (map->cli->options.json) {
        json_object_set_new(item, "index", json_integer(index));
        json_object_set_new(item, "engine", engine < 0 ? json_null() : json_integer(engine));
        cli_print_json_line(map->cli, json_incref(item));
    } else if (ok) {
        const json_t *text = json_object_get(item, "text");
        fwrite(json_string_value(text), 1, json_string_length(text), stdout);
        putchar('\n');
    } else {
        hold_error(map, index, item);
    }
    if (!ok)
        map->code = map->code == CLI_OK ? CLI_FAILED : map->code;
}

static void print_all(struct map *map, const struct chunk *chunk, int engine, json_t *item)
{
    for (size_t i = 0; i < chunk->count; i++)
        print_item(map, chunk->first + (int64_t)i, engine, item);
}

static json_t *failed_item(const char *status, const char *ename, const char *evalue)
{
    return json_pack("{s:s,s:s,s:s}", "status", status, "ename", ename, "evalue", evalue);
}

/* ---- chunks ---- */

/* Whether a whole chunk's error says nothing of the others. What is none of these would fail them
 * all: the function is not there, one may not run it, or no engine is left. */
static bool is_passing(const char *ename)
{
    static const char *const passing[] = { "EngineError",     "KeyboardInterrupt", "MemoryError",
                                           "TaskRejectError", "TaskTimeout",       "SystemExit" };
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (strcmp(ename, passing[i]) == 0)
            return true;
    return false;
}

/* Of a request that has run, and whose value could not be fetched behind it. */
static json_t *lost_value(const json_t *content)
{
    const json_t *values = json_object_get(content, "user_expressions");
    const json_t *value = json_object_iter_value(json_object_iter((json_t *)values));
    return failed_item("error", wire_json_string(value, "ename", "ValueError"),
                       wire_json_string(value, "evalue", "the results did not come"));
}

static void print_failed(struct map *map, const struct chunk *chunk, const ipp_answer_t *answer,
                         const json_t *content)
{
    json_t *item;
    if (answer->status == IPP_ABORTED)
        item = failed_item("aborted", "Aborted", "it was taken back before it ran");
    else if (answer->status == IPP_OK)
        item = lost_value(content);
    else
        item = answer_json(answer);
    if (answer->status == IPP_ERROR && !is_passing(wire_json_string(content, "ename", "")))
        map->stopped = true;
    print_all(map, chunk, answer->engine, item);
    json_decref(item);
}

static void print_unanswered(struct map *map, const struct chunk *chunk, const char *why)
{
    const char *failure = chunk->future ? ipp_future_failure(chunk->future) : NULL;
    json_t *item = failed_item("error", "NoAnswer", failure ? failure : why);
    print_all(map, chunk, -1, item);
    json_decref(item);
}

void map_print_chunk(struct map *map, const struct chunk *chunk, const char *why)
{
    if (map->cli->terminal_out)
        cli_hide_progress(map->cli);
    if (!chunk->future || !ipp_future_done(chunk->future) || ipp_future_failure(chunk->future) ||
        ipp_future_count(chunk->future) == 0) {
        print_unanswered(map, chunk, why);
        return;
    }
    const ipp_answer_t *answer = ipp_future_answer(chunk->future, 0);
    json_t *content = answer_content(answer), *item;
    json_t *items = json_object_get(code_value(content), "application/json");
    size_t index;
    if (answer->status != IPP_OK || json_array_size(items) != chunk->count)
        print_failed(map, chunk, answer, content);
    else
        json_array_foreach(items, index, item)
        {
            print_item(map, chunk->first + (int64_t)index, answer->engine, item);
        }
    json_decref(content);
}
