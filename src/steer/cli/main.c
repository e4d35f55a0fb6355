/* SPDX-License-Identifier: BSD-3-Clause
 * ipp-steer: works with the engines of a cluster from a terminal. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "steer/cli/cli.h"
#include "steer/cli/target.h"
#include "steer/cli/text.h"
#include "wire/wire.h"

#define ANY -1

static const struct cli_verb verbs[] = {
    { "connect", verb_connect, CLI_ON, 0, 0, "[--on ENGINES]",
      "a prompt on all engines, or a script from standard input" },
    { "status", verb_status, CLI_JSON, 0, 0, "", "the cluster in a few lines" },
    { "engines", verb_engines, CLI_JSON | CLI_ON, 0, 0, "[--on ENGINES]",
      "each engine: host, process, place, group, load" },
    { "tasks", verb_tasks, CLI_JSON | CLI_ON | CLI_ALL | CLI_EXPLAIN, 0, 0,
      "[--on ENGINES] [--all] | --explain ID",
      "what runs and waits on each engine, --all: and what is done; or why one waits" },
    { "top", verb_top, CLI_JSON | CLI_ON, 0, 0, "[--on ENGINES]",
      "engines and queues, live; q leaves" },
    { "exec", verb_exec, CLI_JSON | CLI_ON, 1, 1, "[--on ENGINES] CODE", "run Python code" },
    { "run", verb_run, CLI_JSON | CLI_ON, 1, ANY, "[--on ENGINES] FILE [ARG...]",
      "run a file of this machine (-: standard input)" },
    { "apply", verb_apply, CLI_JSON | CLI_ON, 1, ANY, "[--on ENGINES] FUNCTION [ARG...]",
      "call a function: NAME, MODULE:NAME or an expression" },
    { "map", verb_map, CLI_JSON | CLI_ON | CLI_CHUNK, 1, ANY,
      "[--on ENGINES] [--chunk N] FUNCTION [ARG...]",
      "call it for each argument, or line of standard input" },
    { "push", verb_push, CLI_JSON | CLI_ON, 1, ANY, "[--on ENGINES] NAME=FILE.npy|VALUE...",
      "bind names to values" },
    { "pull", verb_pull, CLI_JSON | CLI_ON | CLI_OUTPUT, 1, 1, "[--on ENGINES] NAME [-o FILE.npy]",
      "fetch a value from each engine (%d in FILE: its id)" },
    { "scatter", verb_scatter, CLI_JSON | CLI_ON, 1, 1, "[--on ENGINES] NAME=FILE.npy",
      "hand out an array's rows" },
    { "gather", verb_gather, CLI_JSON | CLI_ON | CLI_OUTPUT, 1, 1,
      "[--on ENGINES] NAME [-o FILE.npy]", "put the engines' rows together" },
    { "reduce", verb_reduce, CLI_JSON | CLI_ON | CLI_OUTPUT, 2, 2,
      "[--on ENGINES] NAME sum|prod|min|max|and|or|FUNCTION [-o FILE.npy]",
      "combine the engines' values" },
    { "task", verb_task, CLI_JSON | CLI_OUTPUT, 1, 2, "NAME [FILE] [-o FILE]",
      "run a C task of an application; payload (-: standard input) and result are bytes" },
    { "interrupt", verb_interrupt, CLI_JSON | CLI_ON, 0, 0, "[--on ENGINES]",
      "KeyboardInterrupt in what runs" },
    { "kill", verb_kill, CLI_JSON | CLI_ON | CLI_SIGNAL, 0, 0, "--on ENGINES [--signal NAME]",
      "end engines, or send them a signal" },
    { "shutdown", verb_shutdown, CLI_JSON, 0, 0, "", "end the whole cluster" },
    { "events", verb_events, CLI_JSON | CLI_FOLLOW, 0, 0, "[--follow]",
      "who came and went, and which engines were lost" },
    { "logs", verb_logs, CLI_JSON | CLI_FOLLOW, 0, 0, "[--follow]",
      "the cluster's log; with -f also events, and what everybody's code prints" },
    { "invite", verb_invite, CLI_JSON | CLI_ROLE | CLI_EXPIRES | CLI_OUTPUT | CLI_LIST | CLI_REVOKE,
      0, 1, "NAME --role observer|operator [--expires 2h] [-o FILE] | --list | --revoke NAME",
      "let others in" },
};
#define VERB_COUNT (sizeof verbs / sizeof *verbs)

/* In the order of enum cli_option. */
static const char *const option_names[] = { "--json",   "--on",    "-o",        "--follow",
                                            "--signal", "--role",  "--expires", "--list",
                                            "--revoke", "--chunk", "--all",     "--explain" };

static int usage(FILE *to, int code)
{
    fprintf(to, "Usage: ipp-steer [CLUSTER] VERB [OPTION...] [ARGUMENT...]\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].doc);
    fputs(
        "\nCLUSTER:  --cluster-id ID, --profile NAME, --connection-file FILE, --ssh [USER@]HOST;\n"
        "          --timeout SECONDS (10) for the connection\n"
        "ENGINES:  all, or ids, ranges and groups: --on 0-3,7,ocean\n"
        "Each verb but connect takes --json.  ipp-steer VERB --help; man ipp-steer\n",
        to);
    return code;
}

static int usage_of(FILE *to, const struct cli_verb *verb, int code)
{
    fprintf(to, "Usage: ipp-steer [CLUSTER] %s %s%s\n", verb->name, verb->usage,
            verb->takes & CLI_JSON ? " [--json]" : "");
    fprintf(to, "  %s\n", verb->doc);
    return code;
}

static const struct cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* 0, or CLI_USAGE with a line said. */
static int check_usage(struct cli *cli, const struct cli_verb *verb)
{
    const char *complaint = cli->options.on ? target_complaint(cli->options.on) : NULL;
    for (size_t i = 0; i < sizeof option_names / sizeof *option_names; i++)
        if (cli->options.given & ~verb->takes & 1U << i)
            return cli_complain(cli, CLI_USAGE, "%s takes no %s", verb->name, option_names[i]);
    if (complaint)
        return cli_complain(cli, CLI_USAGE, "--on %s: %s", cli->options.on, complaint);
    if (cli->argc < verb->least)
        cli_complain(cli, 0, "%s wants %s", verb->name, verb->usage);
    else if (verb->most != ANY && cli->argc > verb->most)
        cli_complain(cli, 0, "%s: what is '%s'?", verb->name, cli->argv[verb->most]);
    else
        return 0;
    return usage_of(stderr, verb, CLI_USAGE);
}

/* ---- connecting ---- */

/* What ipp_steer_connect calls `where`; the caller frees it. NULL: two clusters were named. */
static char *where(const struct cli_options *options)
{
    const char *file = options->connection_file,
               *id = options->cluster_id ? options->cluster_id : "";
    const char *ssh = options->ssh ? options->ssh : "";
    if (file && (options->cluster_id || options->profile))
        return NULL;
    if (!file && !options->ssh)
        return cli_strdup(id);
    /* A file without a slash is not a cluster's id. */
    return cli_format("%s%s%s%s%s", options->ssh ? "ssh://" : "", ssh,
                      options->ssh && (file || id[0]) ? "/" : "",
                      file && !strchr(file, '/') ? "./" : "", file ? file : id);
}

/* Who can read the file can come in: on a machine of many users that is a line worth. */
static void warn_of_readers(struct cli *cli)
{
    struct stat stat_of_file;
    const struct cli_options *options = &cli->options;
    char *path = options->connection_file ? cli_strdup(options->connection_file)
                 : options->ssh           ? NULL
                                : wire_connection_path(options->profile, options->cluster_id, NULL);
    if (path && stat(path, &stat_of_file) == 0 && stat_of_file.st_mode & (S_IRGRP | S_IROTH))
        cli_complain(cli, 0,
                     "warning: %s holds a key, and others than its owner may read it (mode %04o): "
                     "chmod 600 keeps it secret",
                     path, (unsigned)stat_of_file.st_mode & 07777);
    free(path);
}

static int open_connection(struct cli *cli)
{
    ipp_error_t err;
    ipp_steer_options_t options = {
        .profile = cli->options.profile,
        .client = "ipp-steer of " PACKAGE_STRING,
        .timeout_ms = cli->options.timeout_s * 1000,
    };
    char *target = where(&cli->options);
    if (!target)
        return cli_complain(cli, CLI_USAGE,
                            "--connection-file names a cluster, and another "
                            "option does too");
    warn_of_readers(cli);
    cli->steer = ipp_steer_connect(target, &options, &err);
    free(target);
    return cli->steer ? 0 : cli_complain(cli, CLI_NO_CONNECTION, "%s", err.text);
}

static int run_verb(struct cli *cli, const struct cli_verb *verb)
{
    int code = open_connection(cli);
    if (code != CLI_OK)
        return code;
    cli_interrupts_catch(cli->steer);
    code = verb->run(cli);
    cli_interrupts_catch(NULL);
    ipp_steer_close(cli->steer);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        fprintf(stderr, "ipp-steer: cannot write the output: %s\n", strerror(errno));
        code = code == CLI_OK ? CLI_FAILED : code;
    }
    return code;
}

static bool colour_on(int fd)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(fd) && !(no && no[0]) && !(terminal && strcmp(terminal, "dumb") == 0);
}

static int run_line(struct cli *cli)
{
    const char *word = cli->argc > 0 ? cli->argv[0] : NULL;
    if (cli->options.version) {
        puts("ipp-steer of " PACKAGE_STRING);
        return CLI_OK;
    }
    if (!word || strcmp(word, "help") == 0)
        return cli->options.help || word ? usage(stdout, CLI_OK) : usage(stderr, CLI_USAGE);
    const struct cli_verb *verb = find_verb(word);
    if (!verb)
        return cli_complain(cli, CLI_USAGE, "no verb '%s'; ipp-steer --help lists them", word);
    if (cli->options.help)
        return usage_of(stdout, verb, CLI_OK);
    cli->argc--;
    cli->argv++;
    int code = check_usage(cli, verb);
    return code ? code : run_verb(cli, verb);
}

int main(int argc, char **argv)
{
    struct cli cli = { .colour_out = colour_on(STDOUT_FILENO),
                       .colour_err = colour_on(STDERR_FILENO),
                       .terminal_out = isatty(STDOUT_FILENO),
                       .terminal_err = isatty(STDERR_FILENO) };
    const char **words = cli_realloc(NULL, (size_t)argc + 1, sizeof *words);
    static char name[] = "ipp-steer";
    argv[0] = name; /* for getopt_long's complaints, also under libtool */
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* jansson and ours write numbers as JSON has them */
    cli.argv = words;
    int code = cli_options_parse(&cli.options, argc, argv, words, &cli.argc) < 0 ? CLI_USAGE
                                                                                 : run_line(&cli);
    if (code != CLI_OK)
        cli_json_failure(&cli);
    free(words);
    return code;
}
