/* SPDX-License-Identifier: BSD-3-Clause
 * top: engines and queues, once a second. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "steer/cli/cli.h"
#include "steer/cli/show.h"
#include "steer/cli/text.h"
#include "wire/wire.h"

#define REFRESH_MS 1000

/* What the bridge said at one moment. */
struct moment {
    json_t *about, *queues;
    int64_t at_ms;
};

struct top {
    struct cli *cli;
    struct moment now, before;
    bool live;
    int rows;
};

static void moment_clear(struct moment *moment)
{
    json_decref(moment->about);
    json_decref(moment->queues);
    *moment = (struct moment){ 0 };
}

static int look(struct top *top)
{
    int code;
    json_t *queues = show_queues(top->cli, false, &code);
    if (!queues)
        return code;
    moment_clear(&top->before);
    top->before = top->now;
    top->now = (struct moment){ cli_about(top->cli), queues, ipp_now_ms() };
    return CLI_OK;
}

/* Requests an engine has done per second since the last look; -1 before there was one. */
static double rate(const struct top *top, int id)
{
    const json_t *was = show_by_id(top->before.queues, id);
    if (!was)
        return -1;
    long long done = show_number(show_by_id(top->now.queues, id), "completed");
    double seconds = (double)(top->now.at_ms - top->before.at_ms) / 1000;
    return seconds > 0 ? (double)(done - show_number(was, "completed")) / seconds : 0;
}

static void print_engine(struct text *out, const struct top *top, int id)
{
    const json_t *engine = show_by_id(json_object_get(top->now.about, "engines"), id);
    const json_t *queue = show_by_id(top->now.queues, id);
    const char *group = wire_json_string(engine, "group", "");
    double each = rate(top, id);
    text_print(out, "%5d  %-16.16s %8lld  %-10.10s %7lld %7lld %10lld ", id,
               wire_json_string(engine, "host", "?"), show_number(engine, "pid"),
               group[0] ? group : "-", show_number(queue, "queue"), show_number(queue, "tasks"),
               show_number(queue, "completed"));
    if (each < 0)
        text_add_string(out, "\n");
    else
        text_print(out, "%9.1f\n", each);
}

static json_t *as_json(const struct top *top, const int *ids, size_t count)
{
    json_t *engines = json_array();
    for (size_t i = 0; i < count; i++) {
        const json_t *queue = show_by_id(top->now.queues, ids[i]);
        const json_t *engine = show_by_id(json_object_get(top->now.about, "engines"), ids[i]);
        json_array_append_new(engines,
                              json_pack("{s:i,s:s,s:I,s:s,s:I,s:I,s:I}", "id", ids[i], "host",
                                        wire_json_string(engine, "host", ""), "pid",
                                        (json_int_t)show_number(engine, "pid"), "group",
                                        wire_json_string(engine, "group", ""), "queue",
                                        (json_int_t)show_number(queue, "queue"), "tasks",
                                        (json_int_t)show_number(queue, "tasks"), "completed",
                                        (json_int_t)show_number(queue, "completed")));
    }
    return json_pack("{s:o,s:I}", "engines", engines, "unassigned",
                     (json_int_t)show_number(top->now.queues, "unassigned"));
}

static void print_screen(struct text *out, const struct top *top, const int *ids, size_t count)
{
    const char *id = wire_json_string(top->now.about, "cluster_id", "");
    bool bold = top->cli->colour_out;
    text_print(out, "%s: %zu engines, %lld tasks waiting%s\n\n", id[0] ? id : "default cluster",
               count, show_number(top->now.queues, "unassigned"), top->live ? "; q leaves" : "");
    text_print(out, "%s%5s  %-16s %8s  %-10s %7s %7s %10s %9s%s\n", bold ? "\033[7m" : "", "id",
               "host", "pid", "group", "queue", "tasks", "completed", "per s",
               bold ? "\033[0m" : "");
    /* What does not fit is said, not scrolled away. */
    size_t room = top->live && top->rows > 6 ? (size_t)top->rows - 5 : count;
    for (size_t i = 0; i < count && i < room; i++)
        print_engine(out, top, ids[i]);
    if (count > room)
        text_print(out, "... and %zu more\n", count - room);
}

static int draw(struct top *top)
{
    struct text out = { 0 };
    size_t count;
    int code, *ids = show_engines(top->cli, &count, &code);
    if (code == CLI_OK && top->cli->options.json) {
        cli_print_json(top->cli, as_json(top, ids, count));
    } else if (code == CLI_OK) {
        print_screen(&out, top, ids, count);
        if (top->live)
            fputs("\033[H\033[2J", stdout);
        fputs(out.at, stdout);
        fflush(stdout);
    }
    text_clear(&out);
    free(ids);
    return code;
}

/* ---- live ---- */

static struct termios saved;
static const char other_screen[] = "\033[?1049h\033[?25l", own_screen[] = "\033[?25h\033[?1049l";

/* Also in a signal handler. */
static void restore(void)
{
    ssize_t written = write(STDOUT_FILENO, own_screen, sizeof own_screen - 1);
    (void)written; /* nothing can be done */
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static bool enter(void)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return false;
    raw = saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    cli_at_end(restore);
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0) {
        cli_at_end(NULL);
        return false;
    }
    fputs(other_screen, stdout);
    return true;
}

static void leave(void)
{
    fflush(stdout);
    restore();
    cli_at_end(NULL);
}

/* True when the user wants to leave. */
static bool key_pressed(void)
{
    char key = 0;
    return read(STDIN_FILENO, &key, 1) == 0 || key == 'q' || key == 'Q' || key == '\004';
}

/* Until the next look, or a key. */
static int pause_live(struct top *top, bool *quit)
{
    ipp_error_t err;
    int64_t left, end = ipp_now_ms() + REFRESH_MS;
    while ((left = end - ipp_now_ms()) > 0 && !*quit) {
        struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                                { .fd = ipp_steer_fd(top->cli->steer), .events = POLLIN } };
        int timeout = ipp_steer_timeout(top->cli->steer);
        poll(fds, 2, timeout >= 0 && timeout < left ? timeout : (int)left);
        if (ipp_steer_progress(top->cli->steer, 0, &err) < 0)
            return cli_complain(top->cli, CLI_NO_CONNECTION, "%s", err.text);
        *quit = (fds[0].revents && key_pressed()) || cli_was_interrupted();
    }
    return CLI_OK;
}

static int run_live(struct top *top)
{
    bool quit = false;
    int code = CLI_OK;
    while (code == CLI_OK && !quit) {
        struct winsize size = { 0 };
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        top->rows = size.ws_row;
        code = look(top);
        quit = cli_was_interrupted(); /* while it was waited for */
        if (code == CLI_OK && !quit)
            code = draw(top);
        if (code == CLI_OK && !quit)
            code = pause_live(top, &quit);
    }
    return code;
}

int verb_top(struct cli *cli)
{
    struct top top = { .cli = cli };
    int code;
    top.live = !cli->options.json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && enter();
    if (top.live) {
        code = run_live(&top);
        leave(); /* and with the other screen what was said there */
        if (cli_was_interrupted())
            code = CLI_OK; /* Ctrl-C is a way to leave */
        else if (code == CLI_FAILED && cli->options.on)
            cli_complain(cli, 0, "--on %s: not all of these engines are there", cli->options.on);
        else if (code != CLI_OK)
            cli_complain(cli, 0, "the cluster does not answer any more");
    } else {
        code = look(&top);
        if (code == CLI_OK)
            code = draw(&top);
    }
    moment_clear(&top.now);
    moment_clear(&top.before);
    return code;
}
