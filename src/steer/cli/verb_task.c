/* SPDX-License-Identifier: BSD-3-Clause
 * The verb `task`: one C task of an application, bytes in and bytes out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/text.h"

static int write_bytes(struct cli *cli, const void *data, size_t size)
{
    const char *path = cli->options.output;
    FILE *file = path ? fopen(path, "we") : stdout;
    bool bad = !file || fwrite(data, 1, size, file) < size;
    if (file && file != stdout)
        bad |= fclose(file) == EOF;
    return bad ? cli_complain(cli, CLI_FAILED, "cannot write %s: %s", path ? path : "the result",
                              strerror(errno))
               : CLI_OK;
}

static int show(struct job *job)
{
    struct cli *cli = job->cli;
    const ipp_answer_t *answer = ipp_future_answer(job->future, 0);
    bool fine = answer->status == IPP_OK && answer->buffer_count > 0;
    int code = fine && (cli->options.output || !cli->options.json)
                   ? write_bytes(cli, answer->buffers[0].data, answer->buffers[0].size)
                   : CLI_OK;
    if (cli->options.json) {
        json_t *told = answer_json(answer);
        if (fine)
            json_object_set_new(told, "size", json_integer((json_int_t)answer->buffers[0].size));
        cli_print_json(cli, told);
        return code == CLI_OK ? answers_code(job->future) : code;
    }
    return fine ? code : answers_show(job);
}

int verb_task(struct cli *cli)
{
    ipp_error_t err;
    ipp_err_t unread;
    struct text bytes = { 0 };
    struct job job = { .cli = cli, .runs_code = true };
    if (cli->argc > 1 && cli_read_bytes(cli->argv[1], &bytes, &unread) < 0)
        return cli_complain(cli, CLI_USAGE, "%s", unread.text);
    ipp_buffer_t payload = { .data = bytes.at, .size = bytes.size };
    job.future = ipp_steer_task(cli->steer, cli->argv[0], &payload, NULL, &err);
    text_clear(&bytes);
    if (!job.future)
        return cli_complain(cli, CLI_USAGE, "%s", err.text);
    int code = job_wait(&job);
    if (code == CLI_OK)
        code = show(&job);
    job_clear(&job);
    return code;
}
