/* SPDX-License-Identifier: BSD-3-Clause
 * map: a function over arguments or lines, on whichever engine is free, results in order.
 *
 * Items travel in chunks, a task each. Chunks are kept in the order of their items until they have
 * been printed; both those under way and those that wait for a slow one before them are bounded,
 * and so is what is read ahead to know how many there are: the input may be endless. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steer/cli/map.h"
#include "steer/cli/target.h"
#include "steer/cli/text.h"
#include "steer/cli/value.h"
#include "wire/wire.h"

#define PER_ENGINE 4      /* chunks under way */
#define KEPT_MAX 4096     /* chunks not printed yet */
#define CHUNK_MAX 1000    /* items */
#define CHUNK_SECONDS 0.1 /* as much work as is lost to imbalance at the end */
#define TICK_MS 100
#define AGAIN_MS 50 /* where others fill the queue: until the next attempt */
#define AHEAD_BYTES ((size_t)16 << 20)

/* ---- input ---- */

static enum lines_state next_text(struct map *map, const char **text)
{
    if (map->cli->argc < 2)
        return lines_next(&map->lines, text);
    if (map->next_argument == map->cli->argc)
        return LINES_END;
    *text = map->cli->argv[map->next_argument++];
    return LINES_ONE;
}

static size_t chunk_size(const struct map *map)
{
    if (map->cli->options.chunk)
        return (size_t)map->cli->options.chunk;
    double seconds = (double)(ipp_now_ms() - map->begin_ms) / 1000;
    double each = seconds > 0 ? (double)map->answered / seconds / (double)map->engines : 0;
    double size = each * CHUNK_SECONDS;
    return size < 1 ? 1 : size > CHUNK_MAX ? CHUNK_MAX : (size_t)size;
}

/* Up to a chunk of arguments; empty when there are none now. */
static json_t *next_items(struct map *map)
{
    json_t *items = json_array();
    const char *text;
    for (size_t size = chunk_size(map); json_array_size(items) < size && !map->stopped;) {
        enum lines_state state = next_text(map, &text);
        map->input_ended |= state == LINES_END;
        if (state != LINES_ONE)
            break;
        if (json_array_append_new(items, json_string(text)) < 0) {
            map->code = cli_complain(map->cli, CLI_USAGE, "'%s' is not UTF-8", text);
            map->stopped = true;
            break;
        }
    }
    return items;
}

/* ---- sending ---- */

/* The content of a request for these items, whose reference it takes. */
static char *chunk_content(const struct map *map, json_t *items)
{
    char *code = code_call("each", json_pack("[s,o]", map->cli->argv[0], items));
    char *value = code_call("result", json_array());
    json_t *content = code_content(code, true, false, value);
    char *text = json_dumps(content, JSON_COMPACT);
    json_decref(content);
    free(value);
    free(code);
    return text ? text : cli_strdup("{}");
}

static int send_content(struct map *map, struct chunk *chunk)
{
    ipp_error_t err;
    struct ipp_request request = { .type = "execute_request",
                                   .channel = "task",
                                   .content = chunk->content,
                                   .metadata = map->metadata,
                                   .on_output = job_on_output,
                                   .output_arg = &map->job };
    chunk->future = ipp_steer_send(map->cli->steer, &request, &err);
    if (chunk->future) {
        map->under_way++;
        return 0;
    }
    map->code = cli_complain(map->cli, CLI_NO_CONNECTION, "%s", err.text);
    map->stopped = true;
    return -1;
}

static void add_chunk(struct map *map, struct chunk *chunk)
{
    if (map->tail)
        map->tail->next = chunk;
    else
        map->head = chunk;
    map->tail = chunk;
    map->sent += (int64_t)chunk->count;
    map->kept++;
}

static void free_chunk(struct chunk *chunk)
{
    ipp_future_destroy(chunk->future);
    free(chunk->content);
    free(chunk);
}

static bool has_room(const struct map *map)
{
    return !map->stopped && map->under_way < map->window;
}

/* The first of those that a full queue has refused. False: none can be sent now. */
static bool send_again(struct map *map)
{
    struct chunk *chunk = map->head;
    if (!has_room(map) || map->refused == 0 || ipp_now_ms() < map->again_ms)
        return false;
    while (chunk->future)
        chunk = chunk->next;
    if (send_content(map, chunk) < 0)
        return false;
    map->refused--;
    return true;
}

/* False: nothing more can be sent now. */
static bool send_chunk(struct map *map)
{
    if (map->refused > 0)
        return send_again(map);
    if (!has_room(map) || map->input_ended || map->kept >= KEPT_MAX)
        return false;
    json_t *items = next_items(map);
    size_t count = json_array_size(items);
    if (count == 0) {
        json_decref(items);
        return false;
    }
    struct chunk *chunk = cli_realloc(NULL, 1, sizeof *chunk);
    *chunk =
        (struct chunk){ .first = map->sent, .count = count, .content = chunk_content(map, items) };
    if (send_content(map, chunk) < 0) {
        map->unsent = true;
        free_chunk(chunk);
        return false;
    }
    add_chunk(map, chunk);
    return true;
}

/* ---- answers ---- */

/* Nothing has run: the queue of tasks is full. */
static bool was_refused(const struct chunk *chunk)
{
    if (ipp_future_failure(chunk->future) || ipp_future_count(chunk->future) == 0 ||
        ipp_future_answer(chunk->future, 0)->status != IPP_ERROR)
        return false;
    json_t *content = answer_content(ipp_future_answer(chunk->future, 0));
    bool refused = strcmp(wire_json_string(content, "ename", ""), "TaskRejectError") == 0;
    json_decref(content);
    return refused;
}

/* Fewer are sent from now on: as many as were taken. */
static void on_refused(struct map *map, struct chunk *chunk)
{
    ipp_future_destroy(chunk->future);
    chunk->future = NULL;
    map->refused++;
    map->window = map->under_way > 0 ? map->under_way : 1;
    map->successes = 0;
    map->again_ms = map->under_way > 0 ? 0 : ipp_now_ms() + AGAIN_MS;
}

static void on_answered(struct map *map, struct chunk *chunk)
{
    chunk->taken = true;
    free(chunk->content);
    chunk->content = NULL;
    map->again_ms = 0;
    if (map->window < PER_ENGINE * map->engines && ++map->successes >= map->window) {
        map->window++;
        map->successes = 0;
    }
}

static void take_answers(struct map *map)
{
    for (struct chunk *chunk = map->head; chunk; chunk = chunk->next) {
        if (!chunk->future || chunk->taken || !ipp_future_done(chunk->future))
            continue;
        map->under_way--;
        if (!map->stopped && was_refused(chunk))
            on_refused(map, chunk);
        else
            on_answered(map, chunk);
    }
}

/* ---- printing ---- */

static void drop_head(struct map *map)
{
    struct chunk *chunk = map->head;
    map->head = chunk->next;
    if (!map->head)
        map->tail = NULL;
    map->kept--;
    if (!chunk->future)
        map->refused--;
    free_chunk(chunk);
}

static void print_done(struct map *map)
{
    bool printed = false;
    int64_t answered = map->sent;
    take_answers(map);
    for (; map->head && (map->head->taken || (map->stopped && !map->head->future));
         printed = true) {
        map_print_chunk(map, map->head, "the queue of tasks was full");
        drop_head(map);
    }
    for (const struct chunk *chunk = map->head; chunk; chunk = chunk->next)
        if (!chunk->taken)
            answered -= (int64_t)chunk->count;
    map->answered = answered;
    if (printed)
        fflush(stdout);
}

/* ---- the loop ---- */

static void on_interrupt(struct map *map)
{
    ipp_error_t err;
    map->stopped = true;
    map->code = CLI_FAILED;
    cli_complain(map->cli, 0,
                 "taking back what waits, interrupting what runs; Ctrl-C again to leave");
    for (const struct chunk *chunk = map->head; chunk; chunk = chunk->next)
        if (chunk->future && !ipp_future_done(chunk->future))
            ipp_future_interrupt(chunk->future, &err);
}

static int wait_ms(const struct map *map)
{
    int wait = ipp_steer_timeout(map->cli->steer),
        board = board_wait_ms(map->job.board, ipp_now_ms());
    if (board >= 0 && (wait < 0 || board < wait))
        wait = board;
    int errors = map_wait_ms(map);
    if (errors >= 0 && (wait < 0 || errors < wait))
        wait = errors;
    if (map->refused > 0 && map->again_ms > 0) {
        int64_t left = map->again_ms - ipp_now_ms();
        if (wait < 0 || left < wait)
            wait = left < 0 ? 0 : (int)left;
    }
    if (map->bar.terminal && (wait < 0 || wait > TICK_MS))
        wait = TICK_MS;
    return wait;
}

static bool reads_ahead(const struct map *map)
{
    return map->cli->argc < 2 && !map->stopped && !map->lines.ended &&
           lines_waiting(&map->lines) < AHEAD_BYTES;
}

/* For answers, and for input while there is room for it. */
static int wait_for_something(struct map *map)
{
    ipp_error_t err;
    bool reading = reads_ahead(map);
    struct pollfd fds[] = { { .fd = ipp_steer_fd(map->cli->steer), .events = POLLIN },
                            { .fd = reading ? map->lines.fd : -1, .events = POLLIN } };
    poll(fds, 2, wait_ms(map));
    if (reading)
        lines_fill(&map->lines, AHEAD_BYTES);
    if (ipp_steer_progress(map->cli->steer, 0, &err) >= 0)
        return 0;
    map->code = cli_complain(map->cli, CLI_NO_CONNECTION, "%s", err.text);
    return -1;
}

static void tick(struct map *map)
{
    int64_t now = ipp_now_ms();
    board_flush(map->job.board, now, false);
    map->bar.done = (double)map->answered;
    map->bar.total =
        map->cli->argc > 1 ? map->cli->argc - 1 : lines_total(&map->lines, &map->bar.about);
    map_say_errors(map, false);
    progress_tick(&map->bar, now);
}

static void run(struct map *map)
{
    int interrupts = 0;
    for (;;) {
        while (send_chunk(map))
            continue;
        if (!map->head && (map->input_ended || map->stopped))
            return;
        if (wait_for_something(map) < 0)
            return;
        print_done(map);
        int more = cli_interrupts();
        if (interrupts == 0 && more > 0)
            on_interrupt(map);
        interrupts += more;
        if (interrupts > 1) {
            map->code = CLI_INTERRUPTED;
            return;
        }
        tick(map);
    }
}

/* ---- what was not run ---- */

static bool input_is_left(struct map *map)
{
    if (map->cli->argc > 1)
        return map->next_argument < map->cli->argc;
    lines_fill(&map->lines, 1);
    return !map->lines.ended || lines_waiting(&map->lines) > 0;
}

/* Each item that has no result is named, whatever has ended the loop. */
static void account(struct map *map)
{
    const char *why =
        map->code == CLI_NO_CONNECTION ? "the connection is gone" : "it was not waited for";
    for (; map->head; drop_head(map))
        map_print_chunk(map, map->head, why);
    map_say_errors(map, true);
    fflush(stdout);
    if (map->cli->argc < 2 && map->lines.error) {
        cli_complain(map->cli, 0, "cannot read the standard input: %s", strerror(map->lines.error));
        map->code = map->code == CLI_OK ? CLI_USAGE : map->code;
    }
    if (map->code != CLI_OK && (map->unsent || input_is_left(map)))
        cli_complain(map->cli, 0, "items from %lld on were not run", (long long)map->sent);
}

/* ---- made and ended ---- */

/* {"targets": [uuid, ...]} of the engines that --on names. -1 when there are none, said. */
static int choose_engines(struct map *map)
{
    int *ids;
    char key[16];
    if (cli_targets(map->cli, map->cli->options.on, &ids, &map->engines) < 0) {
        map->code = CLI_FAILED;
        return -1;
    }
    json_t *about = cli_about(map->cli), *engines = json_object_get(about, "engines");
    json_t *uuids = json_array(), *metadata = json_pack("{s:o}", "targets", uuids);
    for (size_t i = 0; i < map->engines; i++) {
        snprintf(key, sizeof key, "%d", ids[i]);
        json_array_append(uuids, json_object_get(json_object_get(engines, key), "uuid"));
    }
    map->metadata = map->cli->options.on ? json_dumps(metadata, JSON_COMPACT) : NULL;
    free(ids);
    json_decref(metadata);
    json_decref(about);
    return 0;
}

int verb_map(struct cli *cli)
{
    struct map map = { .cli = cli, .next_argument = 1 };
    struct board_style style = { .labels = true,
                                 .colour_out = cli->colour_err,
                                 .colour_err = cli->colour_err,
                                 .before = cli_hide_progress,
                                 .arg = cli,
                                 .out = stderr,
                                 .err = stderr };
    json_t *name = json_string(cli->argv[0]);
    json_decref(name);
    if (!name)
        return cli_complain(cli, CLI_USAGE, "'%s' is not UTF-8", cli->argv[0]);
    if (choose_engines(&map) < 0)
        return map.code;
    map.job = (struct job){ .cli = cli, .board = board_create(&style) };
    map.begin_ms = ipp_now_ms();
    map.window = PER_ENGINE * map.engines;
    progress_start(&map.bar, "items", cli->terminal_err, map.begin_ms);
    cli->progress = &map.bar;
    lines_start(&map.lines, STDIN_FILENO);
    run(&map);
    board_flush(map.job.board, ipp_now_ms(), true);
    account(&map);
    progress_leave(&map.bar, ipp_now_ms());
    cli->progress = NULL;
    job_clear(&map.job);
    lines_clear(&map.lines);
    free(map.metadata);
    return map.code;
}
