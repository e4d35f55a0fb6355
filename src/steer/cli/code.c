/* SPDX-License-Identifier: BSD-3-Clause
 * Code for the engines, and the values that come back with its answers. */
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/text.h"
#include "wire/wire.h"

#define VALUE "value"

json_t *code_content(const char *code, bool silent, bool history, const char *expression)
{
    json_t *expressions = json_object();
    if (expression)
        json_object_set_new(expressions, VALUE, json_string(expression));
    return json_pack("{s:s,s:b,s:b,s:o,s:b}", "code", code, "silent", silent, "store_history",
                     history, "user_expressions", expressions, "allow_stdin", 0);
}

int code_run(struct cli *cli, const char *code, const char *expression)
{
    struct job job = { .cli = cli, .runs_code = true, .unit = "engines" };
    /* Without history IPython takes the last cell that is in it for this one: does it end with a
     * semicolon, this one's result is not shown. */
    json_t *content = code_content(code, false, true, expression);
    if (!content)
        return cli_complain(cli, CLI_USAGE, "the code is not UTF-8");
    if (!cli->options.json)
        job.board = cli_board(cli, cli->options.on);
    int result = job_run(&job, "engines", "execute_request", content);
    if (result == CLI_OK && cli->options.json) {
        result = answers_code(job.future);
        cli_print_json(cli, answers_json(&job));
    } else if (result == CLI_OK) {
        result = answers_show(&job);
    }
    job_clear(&job);
    return result;
}

char *code_call(const char *function, json_t *arguments)
{
    /* A string of JSON's is one of Python's when nothing beyond ASCII is escaped. */
    char *list = json_dumps(arguments, JSON_COMPACT);
    json_t *string = json_string(list);
    char *literal = json_dumps(string, JSON_ENCODE_ANY);
    char *code = cli_format("__import__('ippmpi.engine.terminal', fromlist=['%s']).%s(%s)",
                            function, function, literal ? literal : "''");
    free(literal);
    json_decref(string);
    free(list);
    json_decref(arguments);
    return code;
}

const json_t *code_value(const json_t *content)
{
    json_t *value = json_object_get(json_object_get(content, "user_expressions"), VALUE);
    return json_object_get(value, "data");
}

const char *code_value_text(const json_t *bundle)
{
    return wire_json_string(bundle, "text/plain", "");
}

void code_value_json(json_t *object, const json_t *bundle)
{
    json_t *value = json_object_get(bundle, "application/json");
    if (value)
        json_object_set(object, "value", value);
    json_t *text = json_object_get(bundle, "text/plain"); /* with the NULs that it may have */
    if (text)
        json_object_set(object, "text", text);
}
