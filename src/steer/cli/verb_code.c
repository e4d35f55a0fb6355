/* SPDX-License-Identifier: BSD-3-Clause
 * The verbs that run code on the engines named: exec, run, apply. */
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/text.h"
#include "steer/cli/value.h"

int verb_exec(struct cli *cli)
{
    return code_run(cli, cli->argv[0], NULL);
}

int verb_run(struct cli *cli)
{
    ipp_err_t err;
    const char *path = strcmp(cli->argv[0], "-") == 0 ? "<stdin>" : cli->argv[0];
    char *source = cli_read_file(cli->argv[0], &err);
    if (!source)
        return cli_complain(cli, CLI_USAGE, "%s", err.text);
    json_t *arguments = json_array(), *request = NULL;
    bool text = true;
    for (int i = 1; i < cli->argc; i++)
        text &= json_array_append_new(arguments, json_string(cli->argv[i])) == 0;
    if (text)
        request = json_pack("[s,s,O]", path, source, arguments);
    json_decref(arguments);
    free(source);
    if (!request)
        return cli_complain(cli, CLI_USAGE, "cannot run %s: it or an argument is not UTF-8", path);
    char *code = code_call("script", request);
    int result = code_run(cli, code, NULL);
    free(code);
    return result;
}

/* ---- apply ---- */

/* [name, [argument, ...]] from the command line: arguments as text, for numbers of any size. NULL
 * when it is not UTF-8, which has been said. */
static json_t *call_arguments(struct cli *cli)
{
    json_t *words = json_array();
    for (int i = 0; i < cli->argc; i++)
        if (json_array_append_new(words, json_string(cli->argv[i])) < 0) {
            cli_complain(cli, 0, "'%s' is not UTF-8", cli->argv[i]);
            json_decref(words);
            return NULL;
        }
    json_t *name = json_incref(json_array_get(words, 0));
    json_array_remove(words, 0);
    return json_pack("[o,o]", name, words);
}

/* The values among the answers: onto the board, or with --json into `list`. */
static void show_values(struct job *job, json_t *list)
{
    size_t count = ipp_future_count(job->future);
    for (size_t i = 0; i < count; i++) {
        const ipp_answer_t *answer = ipp_future_answer(job->future, i);
        json_t *content = answer_content(answer);
        const json_t *value = answer->status == IPP_OK ? code_value(content) : NULL;
        if (value && job->board)
            board_add(job->board, BOARD_RESULT, answer->engine, code_value_text(value),
                      ipp_now_ms());
        if (value && list)
            code_value_json(json_array_get(list, i), value);
        json_decref(content);
    }
}

static int show_call(struct job *job)
{
    if (!job->cli->options.json) {
        show_values(job, NULL);
        return answers_show(job);
    }
    json_t *list = answers_json(job);
    show_values(job, list);
    cli_print_json(job->cli, list);
    return answers_code(job->future);
}

int verb_apply(struct cli *cli)
{
    struct job job = { .cli = cli, .runs_code = true, .unit = "engines" };
    json_t *arguments = call_arguments(cli);
    if (!arguments)
        return CLI_USAGE;
    if (!cli->options.json)
        job.board = cli_board(cli, cli->options.on);
    char *code = code_call("call", arguments), *value = code_call("result", json_array());
    int result =
        job_run(&job, "engines", "execute_request", code_content(code, true, false, value));
    free(value);
    free(code);
    if (result == CLI_OK)
        result = show_call(&job);
    job_clear(&job);
    return result;
}
