/* SPDX-License-Identifier: BSD-3-Clause
 * A request under way: sent, waited for, interrupted, with what its engines print meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/target.h"
#include "steer/cli/text.h"
#include "wire/wire.h"

#define BAR_TICK_MS 200

/* ---- output ---- */

static json_t *record_of(struct job *job, int engine)
{
    char key[16];
    snprintf(key, sizeof key, "%d", engine);
    if (!job->records)
        job->records = json_object();
    json_t *record = json_object_get(job->records, key);
    if (!record) {
        record = json_object();
        json_object_set_new(job->records, key, record);
    }
    return record;
}

/* Pieces, which answers_json joins: output may be long. */
static void record_piece(json_t *record, const char *key, json_t *piece)
{
    json_t *list = json_object_get(record, key);
    if (!list) {
        list = json_array();
        json_object_set_new(record, key, list);
    }
    json_array_append(list, piece);
}

static void on_stream(struct job *job, int engine, const json_t *content)
{
    const char *text = wire_json_string(content, "text", "");
    bool error = strcmp(wire_json_string(content, "name", "stdout"), "stderr") == 0;
    if (job->board) {
        board_add(job->board, error ? BOARD_STDERR : BOARD_STDOUT, engine, text, ipp_now_ms());
        if (error)
            json_object_set(record_of(job, engine), "said", json_object_get(content, "text"));
    } else {
        record_piece(record_of(job, engine), error ? "stderr" : "stdout",
                     json_object_get(content, "text"));
    }
}

/* A result or something displayed: a bundle of forms, of which a terminal shows the plain text. */
static void on_shown(struct job *job, int engine, const json_t *content, bool result)
{
    json_t *data = json_object_get(content, "data");
    if (job->board) {
        board_add(job->board, BOARD_RESULT, engine, wire_json_string(data, "text/plain", ""),
                  ipp_now_ms());
    } else if (result) {
        json_object_set(record_of(job, engine), "result", data);
    } else {
        record_piece(record_of(job, engine), "display", data);
    }
}

static void on_progress(struct job *job, const json_t *content)
{
    struct progress *bar = job->cli->progress;
    if (!bar)
        return;
    text_clear(&bar->note);
    text_print(&bar->note, "%g/%g %s", json_number_value(json_object_get(content, "done")),
               json_number_value(json_object_get(content, "total")),
               wire_json_string(content, "text", ""));
}

void job_on_output(const ipp_output_t *output, void *arg)
{
    struct job *job = arg;
    json_t *content = json_loads(output->content, JSON_ALLOW_NUL, NULL);
    if (output->lost > 0)
        cli_complain(job->cli, 0, "%llu messages were lost: this terminal was too slow",
                     (unsigned long long)output->lost);
    if (strcmp(output->type, "stream") == 0)
        on_stream(job, output->engine, content);
    else if (strcmp(output->type, "execute_result") == 0)
        on_shown(job, output->engine, content, true);
    else if (strcmp(output->type, "display_data") == 0)
        on_shown(job, output->engine, content, false);
    else if (strcmp(output->type, "progress") == 0)
        on_progress(job, content);
    json_decref(content); /* errors come with the answers too */
}

/* ---- sending ---- */

int job_send(struct job *job, const char *channel, const char *type, json_t *content,
             const ipp_buffer_t *buffers, size_t buffer_count)
{
    ipp_error_t err;
    char *text = json_dumps(content, 0);
    json_decref(content);
    if (!job->targets)
        job->targets = job->cli->options.on;
    struct ipp_request request = {
        .type = type,
        .channel = channel,
        .targets = job->targets,
        .content = text ? text : "{}",
        .buffers = buffers,
        .buffer_count = buffer_count,
        .on_output = job_on_output,
        .output_arg = job,
    };
    job->future = ipp_steer_send(job->cli->steer, &request, &err);
    free(text);
    if (job->future)
        return 0;
    cli_complain(job->cli, 0, "%s", err.text);
    return -1;
}

/* ---- waiting ---- */

static void interrupt_engines(struct job *job)
{
    ipp_error_t err;
    if (!job->runs_code) {
        cli_complain(job->cli, 0, "taking the request back; Ctrl-C again to leave");
        ipp_future_cancel(job->future, &err);
        return;
    }
    cli_complain(job->cli, 0, "interrupting the engines; Ctrl-C again to leave them");
    if (ipp_future_interrupt(job->future, &err) < 0)
        cli_complain(job->cli, 0, "%s", err.text);
}

/* True: the second one, leave. */
static bool interrupted(struct job *job)
{
    int before = job->interrupts;
    job->interrupts += cli_interrupts();
    if (before == 0 && job->interrupts > 0)
        interrupt_engines(job);
    return job->interrupts > 1;
}

static int least_wait(const struct job *job)
{
    int wait = job->board ? board_wait_ms(job->board, ipp_now_ms()) : -1;
    if (job->cli->progress && job->cli->progress->terminal && (wait < 0 || wait > BAR_TICK_MS))
        return BAR_TICK_MS;
    return wait;
}

static int wait_loop(struct job *job)
{
    ipp_error_t err;
    while (!ipp_future_done(job->future)) {
        int happened = ipp_steer_progress(job->cli->steer, least_wait(job), &err);
        if (happened < 0 && !ipp_future_done(job->future))
            return cli_complain(job->cli, CLI_NO_CONNECTION, "%s", err.text);
        int64_t now = ipp_now_ms();
        if (job->board)
            board_flush(job->board, now, false);
        if (interrupted(job))
            return CLI_INTERRUPTED;
        if (job->cli->progress) {
            job->cli->progress->done = (double)ipp_future_count(job->future);
            progress_tick(job->cli->progress, now);
        }
    }
    const char *failure = ipp_future_failure(job->future);
    return failure ? cli_complain(job->cli, CLI_NO_CONNECTION, "%s", failure) : CLI_OK;
}

/* How many answers there will be; 0 when that cannot be known. */
static size_t expected(const struct job *job)
{
    int *ids;
    size_t count = 0;
    json_t *about = cli_about(job->cli);
    if (target_resolve(job->targets, json_object_get(about, "engines"), &ids, &count, NULL) == 0)
        free(ids);
    json_decref(about);
    return count;
}

int job_wait(struct job *job)
{
    struct progress bar;
    if (job->unit) {
        progress_start(&bar, job->unit, job->cli->terminal_err, ipp_now_ms());
        bar.total = bar.terminal ? (double)expected(job) : 0;
        job->cli->progress = &bar;
    }
    int code = wait_loop(job);
    if (job->unit) {
        progress_end(&bar);
        job->cli->progress = NULL;
    }
    if (code != CLI_OK && job->board)
        board_flush(job->board, ipp_now_ms(), true);
    return code;
}

int job_run(struct job *job, const char *channel, const char *type, json_t *content)
{
    if (job_send(job, channel, type, content, NULL, 0) < 0)
        return CLI_NO_CONNECTION;
    return job_wait(job);
}

void job_clear(struct job *job)
{
    ipp_future_destroy(job->future);
    json_decref(job->records);
    board_destroy(job->board);
    *job = (struct job){ 0 };
}

json_t *job_ask(struct cli *cli, const char *channel, const char *type, json_t *content, int *code)
{
    struct job job = { .cli = cli };
    json_t *answer = NULL;
    *code = job_run(&job, channel, type, content);
    if (*code == CLI_OK && answers_code(job.future) == CLI_OK)
        answer = answer_content(ipp_future_answer(job.future, 0));
    else if (*code == CLI_OK)
        *code = answers_show(&job);
    job_clear(&job);
    return answer;
}

/* What the bridge says of an engine that is not there: that it died, or never was. No request for
 * it can wait anywhere. */
static void complain_of(struct cli *cli, int id, const char *otherwise)
{
    char target[16];
    snprintf(target, sizeof target, "%d", id);
    struct job job = { .cli = cli, .targets = target };
    int code = job_run(&job, "engines", "pull_request", json_pack("{s:[]}", "names"));
    const ipp_answer_t *answer = code == CLI_OK && ipp_future_count(job.future) > 0
                                     ? ipp_future_answer(job.future, 0)
                                     : NULL;
    json_t *content = answer ? answer_content(answer) : NULL;
    if (code == CLI_OK)
        cli_complain(cli, 0, "%s", wire_json_string(content, "evalue", otherwise));
    json_decref(content);
    job_clear(&job);
}

int cli_targets(struct cli *cli, const char *spec, int **ids, size_t *count)
{
    ipp_err_t err;
    json_t *about = cli_about(cli), *engines = json_object_get(about, "engines");
    int result = target_resolve(spec, engines, ids, count, &err);
    int missing = result < 0 && errno == ENOENT ? target_missing(spec, engines) : -1;
    if (missing >= 0)
        complain_of(cli, missing, err.text);
    else if (result < 0)
        cli_complain(cli, 0, "%s", err.text);
    json_decref(about);
    return result;
}
