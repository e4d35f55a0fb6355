/* SPDX-License-Identifier: BSD-3-Clause
 * connect: a prompt on the engines. */
#include "steer/cli/connect.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steer/cli/prompt.h"
#include "steer/cli/target.h"
#include "wire/wire.h"

#define COMPLETE_LIMIT_MS 2000

/* ---- asking the engines ---- */

int talk_run(struct talk *talk, const char *code)
{
    struct job job = { .cli = talk->cli,
                       .targets = talk->targets,
                       .runs_code = true,
                       .unit = "engines",
                       .board = cli_board(talk->cli, talk->targets) };
    json_t *content = code_content(code, false, true, NULL);
    int result = content ? job_run(&job, "engines", "execute_request", content)
                         : cli_complain(talk->cli, CLI_FAILED, "the code is not UTF-8");
    if (result == CLI_OK)
        result = answers_show(&job);
    job_clear(&job);
    return result;
}

bool talk_first_engine(struct talk *talk, char out[16])
{
    int *ids;
    size_t count;
    json_t *about = cli_about(talk->cli);
    int result =
        target_resolve(talk->targets, json_object_get(about, "engines"), &ids, &count, NULL);
    json_decref(about);
    if (result < 0)
        return false;
    snprintf(out, 16, "%d", ids[0]);
    free(ids);
    return true;
}

json_t *talk_ask_soon(struct talk *talk, const char *type, json_t *content, int limit_ms)
{
    char target[16];
    json_t *answer = NULL;
    struct job job = { .cli = talk->cli, .targets = target };
    if (!talk_first_engine(talk, target)) {
        json_decref(content);
        return NULL;
    }
    if (job_send(&job, "engines", type, content, NULL, 0) == 0) {
        if (ipp_future_wait(job.future, limit_ms, NULL) != 1)
            ipp_future_cancel(job.future, NULL); /* nobody waits for it any more */
        else if (answers_code(job.future) == CLI_OK)
            answer = answer_content(ipp_future_answer(job.future, 0));
    }
    job_clear(&job);
    return answer;
}

/* ---- lines of ours ---- */

static void choose(struct talk *talk, const char *spec, int *code)
{
    int *ids;
    size_t count;
    if (cli_targets(talk->cli, spec, &ids, &count) < 0) {
        *code = CLI_FAILED;
        return;
    }
    free(ids);
    free(talk->targets);
    talk->targets = cli_strdup(spec);
}

static const char help[] =
    "  %on 0-3,7 | GROUP | all   choose the engines; %on alone says which\n"
    "  %help, %quit              this; leave (or Ctrl-D)\n"
    "Everything else runs on the engines, in IPython: names, magics, !commands.\n"
    "Tab completes. Ctrl-C interrupts the engines, a second one leaves them alone.\n";

bool talk_command(struct talk *talk, const char *line, bool *quit, int *code)
{
    static const char *const ends[] = { "%quit", "%exit", "quit", "exit", "quit()", "exit()" };
    char *copy = cli_strdup(line), *rest = copy;
    const char *word, *spec = "";
    bool ours = true;
    while ((word = strsep(&rest, " \t\r")) && !*word)
        continue;
    word = word ? word : "";
    if (rest)
        spec = rest + strspn(rest, " \t\r");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        *quit |= !*spec && strcmp(word, ends[i]) == 0;
    if (*quit) {
        ours = true;
    } else if (strcmp(word, "%on") == 0) {
        if (*spec)
            choose(talk, spec, code);
        else
            printf("%s\n", talk->targets);
    } else if (strcmp(word, "%help") == 0) {
        fputs(help, stdout);
    } else {
        ours = false;
    }
    free(copy);
    return ours;
}

/* ---- statements ---- */

/* Python's rule of thumb, for when no engine has time to say. */
static bool looks_whole(const char *code)
{
    size_t length = strlen(code);
    const char *last = strrchr(code, '\n');
    last = last ? last + 1 : code;
    if (length > 0 && (code[length - 1] == ':' || code[length - 1] == '\\'))
        return false;
    return last == code || !*last || (*last != ' ' && *last != '\t');
}

/* Whether the lines so far can run. *indent: what the next line should begin with; the caller frees
 * it. */
static bool is_whole(struct talk *talk, char **indent)
{
    json_t *answer =
        talk_ask_soon(talk, "is_complete_request",
                      json_pack("{s:s}", "code", text_string(&talk->code)), COMPLETE_LIMIT_MS);
    const char *status = wire_json_string(answer, "status", "unknown");
    bool unknown = strcmp(status, "unknown") == 0;
    bool whole =
        unknown ? looks_whole(text_string(&talk->code)) : strcmp(status, "incomplete") != 0;
    *indent = cli_strdup(whole ? "" : wire_json_string(answer, "indent", ""));
    json_decref(answer);
    return whole;
}

/* A line of spaces ends a block as an empty one does: the prompt has put them there. */
static void add_line(struct talk *talk, const char *line)
{
    if (talk->code.size > 0)
        text_add_string(&talk->code, "\n");
    if (line[strspn(line, " \t")])
        text_add_string(&talk->code, line);
}

static int take_line(struct talk *talk, struct prompt *prompt, const char *line, bool *quit)
{
    int code = CLI_OK;
    char *indent;
    bool blank = !line[strspn(line, " \t")];
    if (talk->code.size == 0 && (blank || talk_command(talk, line, quit, &code)))
        return CLI_OK;
    if (prompt_pasting(prompt)) {
        text_print(&talk->code, "%s%s", talk->code.size > 0 ? "\n" : "", line);
        return CLI_OK;
    }
    add_line(talk, line);
    if (!is_whole(talk, &indent)) {
        prompt_indent(prompt, indent);
        free(indent);
        return CLI_OK;
    }
    free(indent);
    code = talk_run(talk, text_string(&talk->code));
    if (code == CLI_INTERRUPTED)
        putchar('\n'); /* behind the terminal's ^C */
    text_clear(&talk->code);
    return code;
}

/* ---- the conversation ---- */

static void greet(struct talk *talk)
{
    json_t *about = cli_about(talk->cli);
    printf("%zu engines, Python %s, you are %s. %%help helps, Ctrl-D leaves.\n",
           json_object_size(json_object_get(about, "engines")),
           wire_json_string(about, "python", "?"), wire_json_string(about, "role", "?"));
    if (cli_is_observer(talk->cli))
        fputs(
            "An observer sees status, output and events, and pulls arrays and plain values:\n"
            "  ipp-steer status, engines, tasks, top, events -f, logs -f, pull NAME, gather NAME\n"
            "What is typed here is refused: only operators run code.\n",
            stdout);
    json_decref(about);
}

static int converse(struct talk *talk)
{
    struct prompt *prompt = prompt_create(talk);
    bool quit = false;
    int code = CLI_OK;
    if (!prompt)
        return cli_complain(talk->cli, CLI_FAILED, "this terminal cannot be used");
    greet(talk);
    while (!quit && code != CLI_NO_CONNECTION) {
        const char *line;
        cli_interrupts();
        switch (prompt_read(prompt, &line)) {
        case PROMPT_LINE:
            code = take_line(talk, prompt, line, &quit);
            break;
        case PROMPT_INTERRUPTED:
            text_clear(&talk->code);
            break;
        case PROMPT_END:
            quit = true;
            break;
        case PROMPT_NO_CONNECTION:
            code = CLI_NO_CONNECTION;
            break;
        }
    }
    prompt_destroy(prompt);
    return code == CLI_NO_CONNECTION ? code : CLI_OK;
}

int verb_connect(struct cli *cli)
{
    const char *on = cli->options.on ? cli->options.on : "all";
    struct talk talk = { .cli = cli, .targets = cli_strdup("all") };
    int code = CLI_OK;
    choose(&talk, on, &code);
    if (code == CLI_OK && !isatty(STDIN_FILENO)) {
        code = script_run(&talk);
    } else if (code == CLI_OK) {
        code = converse(&talk);
    }
    text_clear(&talk.code);
    free(talk.targets);
    return code;
}
