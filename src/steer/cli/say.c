/* SPDX-License-Identifier: BSD-3-Clause
 * Saying things in a terminal or to another program. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steer/cli/cli.h"
#include "steer/cli/target.h"
#include "steer/cli/text.h"
#include "wire/wire.h"

void cli_hide_progress(void *cli)
{
    struct progress *progress = ((struct cli *)cli)->progress;
    if (progress)
        progress_hide(progress);
}

int cli_complain(struct cli *cli, int code, const char *format, ...)
{
    va_list arguments;
    cli_hide_progress(cli);
    fflush(stdout);
    fputs("ipp-steer: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    va_start(arguments, format);
    vsnprintf(cli->complaint, sizeof cli->complaint, format, arguments);
    va_end(arguments);
    return code;
}

/* What was cut in the middle of a character is no UTF-8 any more. */
static json_t *complaint_json(const struct cli *cli)
{
    json_t *text = NULL;
    size_t length = strlen(cli->complaint);
    for (size_t cut = 0; !text && cut <= 4 && cut <= length; cut++)
        text = json_stringn(cli->complaint, length - cut);
    return text ? text : json_string("standard error says why");
}

void cli_json_failure(struct cli *cli)
{
    if (!cli->options.json || cli->said_json)
        return;
    if (!cli->complaint[0])
        snprintf(cli->complaint, sizeof cli->complaint, "standard error says why");
    cli_print_json(cli, json_pack("{s:s,s:o}", "status", "error", "error", complaint_json(cli)));
}

void cli_print_json(struct cli *cli, json_t *value)
{
    cli_hide_progress(cli);
    cli->said_json = true;
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
    fflush(stdout);
    json_decref(value);
}

void cli_print_json_line(struct cli *cli, json_t *value)
{
    cli->said_json = true;
    json_dumpf(value, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(value);
}

struct board *cli_board(struct cli *cli, const char *targets)
{
    struct board_style style = {
        .labels = target_single(targets) < 0,
        .colour_out = cli->colour_out,
        .colour_err = cli->colour_err,
        .before = cli_hide_progress,
        .arg = cli,
        .out = stdout,
        .err = stderr,
    };
    return board_create(&style);
}

json_t *cli_about(struct cli *cli)
{
    json_t *about = json_loads(ipp_steer_about(cli->steer), JSON_ALLOW_NUL, NULL);
    return about ? about : json_object();
}

bool cli_is_observer(struct cli *cli)
{
    json_t *about = cli_about(cli);
    bool observer = strcmp(wire_json_string(about, "role", ""), "observer") == 0;
    json_decref(about);
    return observer;
}

static int read_stream(FILE *file, struct text *text)
{
    char part[65536];
    size_t size;
    while ((size = fread(part, 1, sizeof part, file)) > 0)
        text_add(text, part, size);
    return ferror(file) ? -1 : 0;
}

int cli_read_bytes(const char *path, struct text *bytes, ipp_err_t *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    int result = file ? read_stream(file, bytes) : -1, saved_errno = errno;
    if (file && !standard)
        fclose(file);
    if (result == 0)
        return 0;
    text_clear(bytes);
    return ipp_err(err, saved_errno, "cannot read %s: %s", path, strerror(saved_errno));
}

char *cli_read_file(const char *path, ipp_err_t *err)
{
    struct text text = { 0 };
    if (cli_read_bytes(path, &text, err) < 0)
        return NULL;
    if (memchr(text_string(&text), '\0', text.size)) {
        text_clear(&text);
        ipp_err(err, EINVAL, "cannot run %s: it is not text", path);
        return NULL;
    }
    text_add(&text, "", 0);
    return text.at;
}
