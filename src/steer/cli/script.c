/* SPDX-License-Identifier: BSD-3-Clause
 * connect with piped standard input: a script. It is run whole, as a cell of IPython's is; lines
 * that begin with %on cut it in parts, each for other engines. The first part that fails ends it.
 */
#include <stdlib.h>
#include <string.h>

#include "steer/cli/connect.h"

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static int run_part(struct talk *talk, struct text *part)
{
    int code = is_blank(text_string(part)) ? CLI_OK : talk_run(talk, part->at);
    text_clear(part);
    return code;
}

int script_run(struct talk *talk)
{
    ipp_err_t err;
    struct text part = { 0 };
    char *script = cli_read_file("-", &err);
    int code = script ? CLI_OK : cli_complain(talk->cli, CLI_USAGE, "%s", err.text);
    char *rest = script, *line;
    bool quit = false;
    while (code == CLI_OK && !quit && (line = strsep(&rest, "\n"))) {
        bool ours = strncmp(line, "%on", 3) == 0 && (!line[3] || line[3] == ' ');
        if (ours)
            code = run_part(talk, &part);
        if (code == CLI_OK && !(ours && talk_command(talk, line, &quit, &code)))
            text_print(&part, "%s\n", line);
    }
    if (code == CLI_OK && !quit)
        code = run_part(talk, &part);
    text_clear(&part);
    free(script);
    return code;
}
