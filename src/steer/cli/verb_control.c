/* SPDX-License-Identifier: BSD-3-Clause
 * The verbs that stop things: interrupt, kill, shutdown. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"

static int control(struct cli *cli, const char *type, json_t *content)
{
    struct job job = { .cli = cli };
    int code = job_run(&job, "control", type, content);
    if (code == CLI_OK && cli->options.json) {
        code = answers_code(job.future);
        cli_print_json(cli, answers_json(&job));
    } else if (code == CLI_OK) {
        code = answers_show(&job);
    }
    job_clear(&job);
    return code;
}

int verb_interrupt(struct cli *cli)
{
    return control(cli, "signal_request", json_pack("{s:s}", "sig", "SIGINT"));
}

/* {"sig": number or "SIGNAME"}; NULL for what is no signal. */
static json_t *signal_content(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end != text && !*end)
        return number > 0 && number < SIGRTMAX ? json_pack("{s:i}", "sig", (int)number) : NULL;
    const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcmp(known, name) == 0)
            return json_pack("{s:s++}", "sig", "SIG", name, "");
    }
    return NULL;
}

int verb_kill(struct cli *cli)
{
    if (!cli->options.on)
        return cli_complain(cli, CLI_USAGE, "kill wants --on ENGINES; shutdown ends them all");
    if (!cli->options.signal)
        return control(cli, "shutdown_request", json_pack("{s:b}", "restart", 0));
    json_t *content = signal_content(cli->options.signal);
    if (!content)
        return cli_complain(cli, CLI_USAGE, "--signal %s: no such signal", cli->options.signal);
    return control(cli, "signal_request", content);
}

int verb_shutdown(struct cli *cli)
{
    int code;
    json_t *answer =
        job_ask(cli, "registration", "shutdown_request", json_pack("{s:b}", "restart", 0), &code);
    if (answer && cli->options.json)
        cli_print_json(cli, json_incref(answer));
    json_decref(answer);
    return code;
}
