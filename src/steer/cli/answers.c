/* SPDX-License-Identifier: BSD-3-Clause
 * Answers: what they say, as text and as JSON, and the exit code that follows. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/text.h"
#include "wire/wire.h"

json_t *answer_content(const ipp_answer_t *answer)
{
    json_t *content = json_loads(answer->content, JSON_ALLOW_NUL, NULL);
    return content ? content : json_object();
}

static void print_error(struct text *out, const json_t *content, bool whole)
{
    size_t index;
    json_t *line, *traceback = whole ? json_object_get(content, "traceback") : NULL;
    json_array_foreach(traceback, index, line)
    {
        if (json_is_string(line))
            text_print(out, "%s%s", out->size > 0 ? "\n" : "", json_string_value(line));
    }
    if (out->size == 0)
        text_print(out, "%s: %s", wire_json_string(content, "ename", "error"),
                   wire_json_string(content, "evalue", ""));
}

/* Engines count their cells, each on its own: "In [14]" becomes "In", so that equal errors fold. */
static void drop_cell_numbers(char *text)
{
    for (char *at = text; (at = strstr(at, "In")) != NULL; at += 2) {
        char *open = at + 2 + (at[2] == ' '), *end;
        if (*open != '[' || !isdigit((unsigned char)open[1]))
            continue;
        end = open + 1 + strspn(open + 1, "0123456789");
        if (*end == ']')
            memmove(at + 2, end + 1, strlen(end + 1) + 1);
    }
}

char *answer_complaint(const ipp_answer_t *answer, bool whole)
{
    struct text out = { 0 };
    json_t *content = answer_content(answer);
    if (answer->status == IPP_ABORTED)
        text_add_string(&out, "aborted: it was taken back before it ran");
    else
        print_error(&out, content, whole);
    drop_cell_numbers(out.at);
    json_decref(content);
    return out.at;
}

int answers_code(const ipp_future_t *future)
{
    size_t count = ipp_future_count(future);
    for (size_t i = 0; i < count; i++)
        if (ipp_future_answer(future, i)->status != IPP_OK)
            return CLI_FAILED;
    return count > 0 ? CLI_OK : CLI_FAILED;
}

/* IPython prints some errors and answers with them too. */
static bool said_already(const struct job *job, int engine, const char *complaint)
{
    char key[16];
    snprintf(key, sizeof key, "%d", engine);
    const char *said = wire_json_string(json_object_get(job->records, key), "said", "");
    size_t length = strlen(complaint), end = strlen(said);
    while (end > 0 && said[end - 1] == '\n')
        end--;
    return length > 0 && end >= length && strncmp(said + end - length, complaint, length) == 0;
}

static void show_complaint(struct job *job, const ipp_answer_t *answer)
{
    char *complaint = answer_complaint(answer, job->runs_code);
    if (said_already(job, answer->engine, complaint)) {
        free(complaint);
        return;
    }
    if (job->board && answer->engine >= 0)
        board_add(job->board, BOARD_ERROR, answer->engine, complaint, ipp_now_ms());
    else
        cli_complain(job->cli, 0, "%s", complaint);
    free(complaint);
}

int answers_show(struct job *job)
{
    size_t count = ipp_future_count(job->future);
    struct board *own = job->board ? NULL : cli_board(job->cli, job->targets);
    if (own)
        job->board = own;
    for (size_t i = 0; i < count; i++)
        if (ipp_future_answer(job->future, i)->status != IPP_OK)
            show_complaint(job, ipp_future_answer(job->future, i));
    board_flush(job->board, ipp_now_ms(), true);
    if (own) {
        board_destroy(own);
        job->board = NULL;
    }
    return answers_code(job->future);
}

/* Without the colours that IPython gives a traceback. */
static json_t *plain(const json_t *value)
{
    size_t index;
    json_t *item;
    if (json_is_array(value)) {
        json_t *list = json_array();
        json_array_foreach((json_t *)value, index, item)
        {
            json_array_append_new(list, plain(item));
        }
        return list;
    }
    if (!json_is_string(value))
        return json_deep_copy(value);
    char *text = cli_strdup(json_string_value(value));
    text_strip_escapes(text);
    json_t *string = json_string(text);
    free(text);
    return string;
}

json_t *answer_json(const ipp_answer_t *answer)
{
    static const char *const names[] = { "ok", "error", "aborted" };
    static const char *const kept[] = { "ename", "evalue", "traceback" };
    json_t *object = json_object(), *content = answer_content(answer);
    json_object_set_new(object, "engine",
                        answer->engine < 0 ? json_null() : json_integer(answer->engine));
    json_object_set_new(object, "status", json_string(names[answer->status]));
    for (size_t i = 0; answer->status == IPP_ERROR && i < sizeof kept / sizeof *kept; i++)
        if (json_object_get(content, kept[i]))
            json_object_set_new(object, kept[i], plain(json_object_get(content, kept[i])));
    json_decref(content);
    return object;
}

/* What was recorded of an engine, as an answer has it. */
static void add_record(json_t *object, const json_t *record)
{
    const char *key;
    json_t *value, *piece;
    size_t index;
    json_object_foreach((json_t *)record, key, value)
    {
        struct text whole = { 0 };
        if (strcmp(key, "stdout") != 0 && strcmp(key, "stderr") != 0) {
            json_object_set(object, key, value);
            continue;
        }
        json_array_foreach(value, index, piece)
        {
            text_add(&whole, json_string_value(piece), json_string_length(piece));
        }
        json_object_set_new(object, key, json_stringn(text_string(&whole), whole.size));
        text_clear(&whole);
    }
}

json_t *answers_json(struct job *job)
{
    json_t *list = json_array();
    char key[16];
    size_t count = ipp_future_count(job->future);
    for (size_t i = 0; i < count; i++) {
        const ipp_answer_t *answer = ipp_future_answer(job->future, i);
        json_t *object = answer_json(answer);
        snprintf(key, sizeof key, "%d", answer->engine);
        add_record(object, json_object_get(job->records, key));
        json_array_append_new(list, object);
    }
    return list;
}
