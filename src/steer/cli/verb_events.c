/* SPDX-License-Identifier: BSD-3-Clause
 * What the cluster says unasked: events, logs, and what everybody's code prints. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/log_tail.h"
#include "steer/cli/text.h"
#include "wire/wire.h"

struct feed {
    struct cli *cli;
    struct board *board; /* what code prints */
    struct log_tail log; /* pid 0: none is read */
};

/* "2026-01-31 12:00:00" of a date. */
static void print_time(const char *date)
{
    const char *t = strchr(date, 'T');
    if (t && strlen(t) > 8)
        printf("%.*s %.8s  ", (int)(t - date), date, t + 1);
}

static void print_event(const json_t *event)
{
    const char *key;
    json_t *value;
    print_time(wire_json_string(event, "time", ""));
    printf("%-14s", wire_json_string(event, "event", "?"));
    json_object_foreach((json_t *)event, key, value)
    {
        if (strcmp(key, "time") == 0 || strcmp(key, "event") == 0 || json_is_null(value))
            continue;
        char *dump = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        printf(" %s=%s", key, dump ? dump : json_string_value(value));
        free(dump);
    }
    putchar('\n');
}

static void print_message_json(struct cli *cli, const ipp_output_t *output, json_t *content)
{
    json_t *line = json_object();
    if (strcmp(output->type, "event") != 0) {
        json_object_set_new(line, "type", json_string(output->type));
        json_object_set_new(line, "engine", json_integer(output->engine));
    }
    json_object_update(line, content);
    cli_print_json_line(cli, line);
}

static void print_output(struct feed *feed, const ipp_output_t *output, const json_t *content)
{
    const json_t *data = json_object_get(content, "data");
    bool error = strcmp(wire_json_string(content, "name", ""), "stderr") == 0;
    if (strcmp(output->type, "stream") == 0)
        board_add(feed->board, error ? BOARD_STDERR : BOARD_STDOUT, output->engine,
                  wire_json_string(content, "text", ""), ipp_now_ms());
    else if (data)
        board_add(feed->board, BOARD_RESULT, output->engine,
                  wire_json_string(data, "text/plain", ""), ipp_now_ms());
    else if (strcmp(output->type, "error") == 0) {
        char *line = cli_format("%s: %s", wire_json_string(content, "ename", "error"),
                                wire_json_string(content, "evalue", ""));
        board_add(feed->board, BOARD_ERROR, output->engine, line, ipp_now_ms());
        free(line);
    }
}

static void on_message(const ipp_output_t *output, void *arg)
{
    struct feed *feed = arg;
    json_t *content = json_loads(output->content, JSON_ALLOW_NUL, NULL);
    if (output->lost > 0)
        cli_complain(feed->cli, 0, "%llu messages were lost: this terminal was too slow",
                     (unsigned long long)output->lost);
    if (feed->cli->options.json)
        print_message_json(feed->cli, output, content);
    else if (strcmp(output->type, "event") == 0)
        print_event(content);
    else
        print_output(feed, output, content);
    fflush(stdout);
    json_decref(content);
}

/* The recent events stand before the answer of a request that was sent after the subscription. */
static int recent(struct cli *cli)
{
    int code;
    json_decref(job_ask(cli, "registration", "load_request", json_pack("{s:n}", "targets"), &code));
    return code;
}

/* ---- the log ---- */

static void print_log(struct feed *feed)
{
    const char *line;
    while (lines_next(&feed->log.lines, &line) == LINES_ONE) {
        if (feed->cli->options.json) {
            cli_print_json_line(feed->cli,
                                json_pack("{s:s,s:s+}", "type", "log", "text", line, "\n"));
        } else {
            puts(line);
        }
    }
    fflush(stdout);
}

/* A guest has no log; an owner's file does not say where it is. */
static int start_log(struct feed *feed)
{
    ipp_err_t err;
    struct cli *cli = feed->cli;
    if (cli->options.connection_file)
        return cli_complain(cli, CLI_FAILED,
                            "the log is not found by --connection-file: on the cluster's host, "
                            "ipp-cluster logs shows it");
    if (log_tail_start(&feed->log, &cli->options, &err) < 0)
        return cli_complain(cli, CLI_FAILED, "%s", err.text);
    return CLI_OK;
}

static int whole_log(struct cli *cli)
{
    struct feed feed = { .cli = cli };
    if (start_log(&feed) != CLI_OK)
        return CLI_FAILED;
    while (!feed.log.lines.ended && cli_interrupts() == 0) {
        struct pollfd fd = { .fd = feed.log.lines.fd, .events = POLLIN };
        poll(&fd, 1, -1);
        print_log(&feed);
    }
    return log_tail_stop(&feed.log) ? CLI_OK : CLI_FAILED;
}

/* ---- following ---- */

static int least(int left, int right)
{
    return left < 0 ? right : right < 0 || left < right ? left : right;
}

/* For the cluster, or the log. */
static int wait_for_something(struct feed *feed, ipp_error_t *err)
{
    int wait = least(board_wait_ms(feed->board, ipp_now_ms()), ipp_steer_timeout(feed->cli->steer));
    bool log = feed->log.pid > 0 && !feed->log.lines.ended;
    struct pollfd fds[] = { { .fd = ipp_steer_fd(feed->cli->steer), .events = POLLIN },
                            { .fd = log ? feed->log.lines.fd : -1, .events = POLLIN } };
    poll(fds, 2, wait);
    if (log)
        print_log(feed);
    return ipp_steer_progress(feed->cli->steer, 0, err);
}

static int follow(struct feed *feed)
{
    ipp_error_t err;
    while (cli_interrupts() == 0) {
        if (wait_for_something(feed, &err) < 0) {
            board_flush(feed->board, ipp_now_ms(), true);
            return cli_complain(feed->cli, errno == ECONNRESET ? CLI_OK : CLI_NO_CONNECTION, "%s",
                                err.text);
        }
        board_flush(feed->board, ipp_now_ms(), false);
        if (ferror(stdout))
            return CLI_FAILED;
    }
    return CLI_OK; /* Ctrl-C is how one leaves */
}

static int subscribe(struct cli *cli, const char *output, bool log)
{
    ipp_error_t err;
    struct feed feed = { .cli = cli, .board = cli_board(cli, NULL) };
    struct job job = { .cli = cli };
    job.future = ipp_steer_subscribe(cli->steer, output, true, on_message, &feed, &err);
    int code = job.future ? job_wait(&job) : cli_complain(cli, CLI_NO_CONNECTION, "%s", err.text);
    if (code == CLI_OK && answers_code(job.future) != CLI_OK)
        code = answers_show(&job);
    else if (code == CLI_OK)
        code = recent(cli);
    job_clear(&job);
    if (code == CLI_OK && log)
        start_log(&feed); /* without it there still are events and output */
    if (code == CLI_OK && cli->options.follow)
        code = follow(&feed);
    if (feed.log.pid > 0)
        log_tail_stop(&feed.log);
    board_flush(feed.board, ipp_now_ms(), true);
    /* Nothing may come for `feed` any more. */
    ipp_future_destroy(ipp_steer_subscribe(cli->steer, "own", false, NULL, NULL, &err));
    board_destroy(feed.board);
    return code;
}

int verb_events(struct cli *cli)
{
    return subscribe(cli, "own", false);
}

int verb_logs(struct cli *cli)
{
    return cli->options.follow ? subscribe(cli, "all", true) : whole_log(cli);
}
