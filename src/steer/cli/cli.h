/* SPDX-License-Identifier: BSD-3-Clause
 * The door of ipp-steer: what its verbs share. */
#ifndef IPP_CLI_H
#define IPP_CLI_H

#include <ippsteer.h>
#include <jansson.h>

#include "base/base.h"
#include "steer/cli/board.h"
#include "steer/cli/progress.h"

/* Exit codes, as in ipp-steer(1). */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* an engine failed, or the answer is an error */
    CLI_USAGE = 2,
    CLI_NO_CONNECTION = 3,
    CLI_INTERRUPTED = 130, /* given up by the second Ctrl-C */
};

/* ---- the command line (options.c) ---- */

struct cli_options {
    const char *cluster_id, *profile, *connection_file, *ssh;
    const char *on;     /* NULL: not given */
    const char *output; /* FILE of -o */
    const char *signal, *role, *expires, *revoke, *explain;
    int timeout_s; /* 0: the library's */
    int chunk;     /* items of a map that travel together; 0: not given */
    bool json, follow, list, all, help, version;
    unsigned given; /* bit enum cli_option of those that were given */
};

/* Options that only some verbs take. */
enum cli_option {
    CLI_JSON = 1 << 0,
    CLI_ON = 1 << 1,
    CLI_OUTPUT = 1 << 2,
    CLI_FOLLOW = 1 << 3,
    CLI_SIGNAL = 1 << 4,
    CLI_ROLE = 1 << 5,
    CLI_EXPIRES = 1 << 6,
    CLI_LIST = 1 << 7,
    CLI_REVOKE = 1 << 8,
    CLI_CHUNK = 1 << 9,
    CLI_ALL = 1 << 10,
    CLI_EXPLAIN = 1 << 11,
};

struct cli {
    struct cli_options options;
    int argc; /* arguments of the verb */
    const char **argv;
    ipp_steer_t *steer;
    bool colour_out, colour_err, terminal_out, terminal_err;
    struct progress *progress; /* hidden before anything is printed; NULL: none */
    bool said_json;            /* with --json: something has been printed */
    char complaint[1024];      /* the last one */
};

/* Options anywhere, arguments in order; negative numbers are arguments. argv[0] of the result is
 * the verb. -1 when getopt_long has complained. */
int cli_options_parse(struct cli_options *options, int argc, char **argv, const char **arguments,
                      int *count);

struct cli_verb {
    const char *name;
    int (*run)(struct cli *cli);
    unsigned takes;  /* enum cli_option */
    int least, most; /* arguments; most -1: any number */
    const char *usage, *doc;
};

/* ---- saying (say.c) ---- */

/* One line on stderr, "ipp-steer: ...". Returns `code`. */
int cli_complain(struct cli *cli, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Indented JSON and a newline on stdout; takes the reference. */
void cli_print_json(struct cli *cli, json_t *value);
/* Before anything else is printed: the bar goes. For board_style too. */
void cli_hide_progress(void *cli);
/* One line of JSON on stdout, of many; takes the reference. */
void cli_print_json_line(struct cli *cli, json_t *value);
/* With --json, when nothing has been printed: {"status": "error", "error": the last complaint}. */
void cli_json_failure(struct cli *cli);
/* On a board with this style; labels unless --on names a single engine. */
struct board *cli_board(struct cli *cli, const char *targets);
/* What ipp_steer_about says, parsed; the caller's. */
json_t *cli_about(struct cli *cli);
/* Whether the role is the one that may only look. */
bool cli_is_observer(struct cli *cli);

/* ---- signals (interrupt.c) ---- */

/* From now on Ctrl-C is counted and wakes `steer`; NULL: as before the first call. */
void cli_interrupts_catch(ipp_steer_t *steer);
/* How often since the last call. */
int cli_interrupts(void);
/* Whether there has been any since cli_interrupts_catch. */
bool cli_was_interrupted(void);
/* Called, in a signal handler, before SIGTERM, SIGHUP or SIGQUIT ends this program; NULL: nothing.
 */
void cli_at_end(void (*function)(void));

/* ---- requests (job.c) ---- */

/* A request under way. Start it with {0} and these set: */
struct job {
    struct cli *cli;
    const char *targets; /* NULL: --on, or all */
    bool runs_code;      /* Ctrl-C interrupts the engines; otherwise it takes the request back */
    struct board *board; /* output goes there; NULL: it is recorded (with --json) */
    const char *unit;    /* of the progress bar, which counts answers; NULL: no bar */
    /* The rest is job.c's. */
    ipp_future_t *future;
    json_t *records; /* by engine id: stdout, stderr, result, display; with a board: said, what came
                        last on stderr */
    int interrupts;
};

/* `content` is taken. -1 when it could not be sent, which has been said. */
int job_send(struct job *job, const char *channel, const char *type, json_t *content,
             const ipp_buffer_t *buffers, size_t buffer_count);
/* Waits for all answers. CLI_OK when they are there (whatever they say), CLI_NO_CONNECTION,
 * CLI_INTERRUPTED; said already. */
int job_wait(struct job *job);
/* job_send and job_wait. */
int job_run(struct job *job, const char *channel, const char *type, json_t *content);
void job_clear(struct job *job);
/* Puts output onto the board, or into the records, of the job that is `arg`. */
void job_on_output(const ipp_output_t *output, void *arg);

/* One answer of the bridge's: content of the reply, the caller's. NULL: it failed, which has been
 * said; *code is the exit code. */
json_t *job_ask(struct cli *cli, const char *channel, const char *type, json_t *content, int *code);

/* Ids of the living engines that `spec` (NULL: all) means, as target_resolve. -1: said why not, of
 * an engine that is gone what has become of it. */
int cli_targets(struct cli *cli, const char *spec, int **ids, size_t *count);

/* ---- answers (answers.c) ---- */

/* The content parsed; never NULL. The caller's. */
json_t *answer_content(const ipp_answer_t *answer);
/* What went wrong in an answer that is not ok: "ENAME: EVALUE", or with `whole` the traceback, if
 * it has one. The caller frees it. */
char *answer_complaint(const ipp_answer_t *answer, bool whole);
/* Puts errors on the job's board (or says them), and shows all that is on it. CLI_OK or CLI_FAILED
 * from all answers. */
int answers_show(struct job *job);
/* One object for each answer: engine, status, what was recorded, and for errors ename, evalue,
 * traceback. The caller's. */
json_t *answers_json(struct job *job);
/* Like answers_json, for one answer. */
json_t *answer_json(const ipp_answer_t *answer);
/* CLI_FAILED when one of them is not ok. */
int answers_code(const ipp_future_t *future);

/* ---- running code (code.c) ---- */

/* Content of an execute_request. `expression`, which may be NULL, is evaluated after it and comes
 * back in the reply. */
json_t *code_content(const char *code, bool silent, bool history, const char *expression);
/* Runs `code` as --on says, shows output, results and errors; --json: prints answers_json. */
int code_run(struct cli *cli, const char *code, const char *expression);
/* An expression of Python's that calls ippmpi.engine.terminal's `function` with JSON arguments,
 * which are taken; as code for code_content. The caller frees it. */
char *code_call(const char *function, json_t *arguments);
/* The value of `expression` in the reply's content: {"text/plain", "application/json"}; borrowed.
 * NULL when there is none. */
const json_t *code_value(const json_t *content);
/* The value as text: what print would show. Borrowed. */
const char *code_value_text(const json_t *bundle);
/* Sets "value" in `object`, where the value is one that JSON has, and "text". */
void code_value_json(json_t *object, const json_t *bundle);

/* ---- verbs ---- */

int verb_connect(struct cli *cli);
int verb_status(struct cli *cli);
int verb_engines(struct cli *cli);
int verb_task(struct cli *cli);
int verb_tasks(struct cli *cli);
int verb_top(struct cli *cli);
int verb_exec(struct cli *cli);
int verb_run(struct cli *cli);
int verb_apply(struct cli *cli);
int verb_map(struct cli *cli);
int verb_push(struct cli *cli);
int verb_pull(struct cli *cli);
int verb_scatter(struct cli *cli);
int verb_gather(struct cli *cli);
int verb_reduce(struct cli *cli);
int verb_interrupt(struct cli *cli);
int verb_kill(struct cli *cli);
int verb_shutdown(struct cli *cli);
int verb_events(struct cli *cli);
int verb_logs(struct cli *cli);
int verb_invite(struct cli *cli);

/* Reads all of a file ("-": standard input) into an empty *bytes, the caller's. -1 with a text and
 * errno. */
struct text;
int cli_read_bytes(const char *path, struct text *bytes, ipp_err_t *err);
/* The same of text, of any size; the caller frees it. NULL with a
 * text and errno. */
char *cli_read_file(const char *path, ipp_err_t *err);

#endif
