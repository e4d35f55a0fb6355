/* SPDX-License-Identifier: BSD-3-Clause
 * Values by name, each engine its own: push and pull. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "steer/cli/cli.h"
#include "steer/cli/mapped.h"
#include "steer/cli/pulled.h"
#include "steer/cli/target.h"
#include "steer/cli/value.h"
#include "wire/wire.h"

/* ---- push ---- */

static bool is_npy(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".npy") == 0;
}

/* A path that leads to one; a plain word is text, whatever lies about. */
static bool is_file(const char *text)
{
    struct stat found;
    return strpbrk(text, "./") && stat(text, &found) == 0 && S_ISREG(found.st_mode);
}

/* One NAME=FILE.npy or NAME=VALUE: an entry of the content, and its buffer. NULL with a text. */
static json_t *push_entry(const char *word, ipp_buffer_t *buffer, ipp_err_t *err)
{
    size_t length;
    if (!value_split(word, &length)) {
        ipp_err(err, 0, "'%s' is not NAME=FILE.npy or NAME=VALUE", word);
        return NULL;
    }
    const char *value = word + length + 1;
    json_t *entry = json_pack("{s:s%}", "name", word, length), *told;
    if (is_npy(value)) {
        struct mapped *mapped = mapped_open(value, err);
        told = mapped ? mapped_describe(mapped, -1) : NULL;
        if (mapped)
            *buffer = mapped_buffer(mapped, 0, mapped_array(mapped)->size);
        mapped_close(mapped);
    } else {
        *buffer = (ipp_buffer_t){ .data = "", .size = 0 };
        told = value_parse(value, err);
        if (json_is_string(told) && is_file(value)) {
            json_decref(told);
            told = NULL;
            ipp_err(err, EINVAL,
                    "%s is a file, and not called .npy as those that are read are; text is put in "
                    "double quotes: '%.*s=\"...\"'",
                    value, (int)length, word);
        }
    }
    if (told && json_object_set_new(entry, is_npy(value) ? "array" : "json", told) == 0)
        return entry;
    json_decref(entry);
    return NULL;
}

static void release_all(const ipp_buffer_t *buffers, int count)
{
    for (int i = 0; i < count; i++)
        if (buffers[i].release)
            buffers[i].release(NULL, buffers[i].arg);
}

/* The content of a push_request and its buffers, one for each argument; NULL when it was said why
 * not. */
static json_t *push_content(struct cli *cli, ipp_buffer_t *buffers)
{
    json_t *names = json_array();
    for (int i = 0; i < cli->argc; i++) {
        ipp_err_t err;
        json_t *entry = push_entry(cli->argv[i], &buffers[i], &err);
        if (!entry) {
            release_all(buffers, i);
            json_decref(names);
            cli_complain(cli, 0, "%s", err.text);
            return NULL;
        }
        json_array_append_new(names, entry);
    }
    return json_pack("{s:o}", "names", names);
}

static int finish(struct job *job)
{
    int code = job_wait(job);
    if (code != CLI_OK)
        return code;
    if (!job->cli->options.json)
        return answers_show(job);
    cli_print_json(job->cli, answers_json(job));
    return answers_code(job->future);
}

int verb_push(struct cli *cli)
{
    struct job job = { .cli = cli, .unit = "engines" };
    ipp_buffer_t *buffers = cli_realloc(NULL, (size_t)cli->argc, sizeof *buffers);
    json_t *content = push_content(cli, buffers);
    int code = CLI_USAGE;
    if (content)
        code = job_send(&job, "engines", "push_request", content, buffers, (size_t)cli->argc) < 0
                   ? CLI_NO_CONNECTION
                   : finish(&job);
    job_clear(&job);
    free(buffers);
    return code;
}

/* ---- pull ---- */

/* FILE with the engine's id for its %d; the caller frees it. */
static char *file_of(const char *pattern, int engine)
{
    const char *place = strstr(pattern, "%d");
    return place ? cli_format("%.*s%d%s", (int)(place - pattern), pattern, engine, place + 2)
                 : cli_strdup(pattern);
}

/* What -o cannot hold is an error at the caller, with the engine named. `told`: of --json, or NULL.
 */
static int save_one(struct cli *cli, const ipp_answer_t *answer, json_t *told)
{
    ipp_err_t err;
    struct pulled pulled;
    pulled_read(&pulled, answer);
    char *path = file_of(cli->options.output, answer->engine);
    struct npy_piece piece = { pulled.array.data, pulled.array.size };
    int result = 0;
    if (pulled.kind != PULLED_ARRAY)
        result = ipp_err(&err, 0, "engine %d: %s is no array of plain numbers or text",
                         answer->engine, cli->argv[0]);
    else
        result = npy_write(path, &pulled.array, &piece, 1, &err);
    if (result < 0) {
        cli_complain(cli, 0, "%s", err.text);
    } else if (told) {
        json_object_set_new(told, "file", json_string(path));
        pulled_describe(told, &pulled);
    }
    free(path);
    pulled_clear(&pulled);
    return result < 0 ? CLI_FAILED : CLI_OK;
}

static int save_all(struct job *job)
{
    size_t count = ipp_future_count(job->future);
    int code = job->cli->options.json ? CLI_OK : answers_show(job);
    if (count > 1 && !strstr(job->cli->options.output, "%d"))
        return cli_complain(job->cli, CLI_USAGE,
                            "%zu engines have answered: -o wants a %%d in the file's name, "
                            "for their ids",
                            count);
    json_t *list = job->cli->options.json ? answers_json(job) : NULL;
    for (size_t i = 0; i < count; i++) {
        const ipp_answer_t *answer = ipp_future_answer(job->future, i);
        if (answer->status != IPP_OK ||
            save_one(job->cli, answer, json_array_get(list, i)) != CLI_OK)
            code = CLI_FAILED;
    }
    if (list)
        cli_print_json(job->cli, list);
    return code;
}

static void show_one(struct job *job, const ipp_answer_t *answer, const json_t *texts, json_t *to)
{
    struct pulled pulled;
    struct text text = { 0 };
    char key[16];
    snprintf(key, sizeof key, "%d", answer->engine);
    pulled_read(&pulled, answer);
    pulled.shown = json_object_get(texts, key);
    if (to)
        pulled_json(to, &pulled);
    else
        pulled_print(&text, &pulled);
    if (!to && answer->status == IPP_OK)
        board_add(job->board, BOARD_RESULT, answer->engine, text_string(&text), ipp_now_ms());
    text_clear(&text);
    pulled_clear(&pulled);
}

static int show_all(struct job *job)
{
    json_t *texts = json_object(), *list = job->cli->options.json ? answers_json(job) : NULL;
    char *asked = pulled_wanting_python(job);
    bool ask = asked[0] && !cli_is_observer(job->cli);
    int code = ask ? pulled_ask(job->cli, asked, texts) : CLI_OK;
    size_t count = ipp_future_count(job->future);
    for (size_t i = 0; i < count; i++)
        show_one(job, ipp_future_answer(job->future, i), texts, json_array_get(list, i));
    if (list)
        cli_print_json(job->cli, list);
    else
        answers_show(job);
    free(asked);
    json_decref(texts);
    return code == CLI_OK ? answers_code(job->future) : code;
}

int verb_pull(struct cli *cli)
{
    struct job job = { .cli = cli, .unit = "engines" };
    json_t *content = json_pack("{s:[s]}", "names", cli->argv[0]);
    if (!content)
        return cli_complain(cli, CLI_USAGE, "'%s' is not UTF-8", cli->argv[0]);
    if (!cli->options.json)
        job.board = cli_board(cli, cli->options.on);
    int code = job_run(&job, "engines", "pull_request", content);
    if (code == CLI_OK)
        code = cli->options.output ? save_all(&job) : show_all(&job);
    job_clear(&job);
    return code;
}
