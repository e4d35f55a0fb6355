/* SPDX-License-Identifier: BSD-3-Clause
 * The history in a file: each line is appended when it was typed. Prompts that begin shorten the
 * file to what they keep; who reads or writes has it locked. */
#include "steer/cli/lasting.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "steer/cli/text.h"

#define HISTORY_LINES 10000

struct lasting {
    History *lines;
    char *path; /* NULL: no file */
};

/* $XDG_STATE_HOME/ippmpi/history; NULL when there is no home. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && state[0] == '/')
        return cli_format("%s/ippmpi/history", state);
    return home && home[0] ? cli_format("%s/.local/state/ippmpi/history", home) : NULL;
}

/* The file, locked, at its end. What one types may be secret: for its owner alone. */
static FILE *open_locked(const struct lasting *lasting)
{
    if (!lasting->path || ipp_private_folders(lasting->path, NULL) < 0)
        return NULL;
    int fd = open(lasting->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    FILE *file =
        fd >= 0 && flock(fd, LOCK_EX) == 0 && fchmod(fd, 0600) == 0 ? fdopen(fd, "r+") : NULL;
    if (!file && fd >= 0)
        close(fd);
    if (file)
        fseek(file, 0, SEEK_END);
    return file;
}

struct lasting *lasting_open(void)
{
    HistEvent event;
    struct lasting *lasting = cli_realloc(NULL, 1, sizeof *lasting);
    *lasting = (struct lasting){ .lines = history_init(), .path = history_path() };
    history(lasting->lines, &event, H_SETSIZE, HISTORY_LINES);
    history(lasting->lines, &event, H_SETUNIQUE, 1);
    FILE *file = open_locked(lasting);
    if (!file)
        return lasting;
    history(lasting->lines, &event, H_LOAD, lasting->path);
    if (ftruncate(fileno(file), 0) == 0) { /* what could not be read is no history */
        rewind(file);
        history(lasting->lines, &event, H_SAVE_FP, file);
    }
    fclose(file);
    return lasting;
}

void lasting_close(struct lasting *lasting)
{
    history_end(lasting->lines);
    free(lasting->path);
    free(lasting);
}

History *lasting_lines(struct lasting *lasting)
{
    return lasting->lines;
}

void lasting_add(struct lasting *lasting, const char *line)
{
    HistEvent event;
    history(lasting->lines, &event, H_ENTER, line);
    FILE *file = open_locked(lasting);
    if (!file)
        return;
    History *one = history_init();
    history(one, &event, H_SETSIZE, 1);
    history(one, &event, H_ENTER, line);
    history(one, &event, H_SAVE_FP, file); /* at its end, without another head */
    history_end(one);
    fclose(file);
}
