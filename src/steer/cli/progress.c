/* SPDX-License-Identifier: BSD-3-Clause
 * A progress bar on a terminal's stderr. */
#include "steer/cli/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SHOW_AFTER_MS 1000
#define DRAW_EVERY_MS 100
#define BAR_MAX 40
#define BAR_MIN 5

void progress_start(struct progress *progress, const char *unit, bool terminal, int64_t now_ms)
{
    *progress = (struct progress){ .unit = unit, .terminal = terminal, .begin_ms = now_ms };
}

/* "5 s", "2:05", "1:02:05". */
static void print_time(struct text *out, double seconds)
{
    long whole = (long)(seconds + 0.5);
    if (seconds > 360000)
        text_add_string(out, "days");
    else if (whole < 60)
        text_print(out, "%ld s", whole);
    else if (whole < 3600)
        text_print(out, "%ld:%02ld", whole / 60, whole % 60);
    else
        text_print(out, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

static void print_numbers(struct text *out, const struct progress *progress, double seconds)
{
    double rate = seconds > 0 ? progress->done / seconds : 0;
    text_print(out, "%.0f", progress->done);
    if (progress->total > 0)
        text_print(out, "/%s%.0f", progress->about ? "~" : "", progress->total);
    text_print(out, " %s", progress->unit);
    if (progress->done <= 0)
        return;
    text_print(out, rate < 10 ? ", %.1f/s" : ", %.0f/s", rate);
    if (progress->total > progress->done) {
        text_add_string(out, ", ");
        print_time(out, (progress->total - progress->done) / rate);
        text_add_string(out, " left");
    }
}

void progress_print(struct text *out, const struct progress *progress, int64_t now_ms, int columns)
{
    struct text numbers = { 0 };
    print_numbers(&numbers, progress, (double)(now_ms - progress->begin_ms) / 1000);
    if (progress->note.size > 0)
        text_print(&numbers, "  %s", progress->note.at);
    double share = progress->total > 0 ? progress->done / progress->total : 0;
    share = share > 1 ? 1 : share;
    int room = columns - (int)numbers.size - 10;
    room = room > BAR_MAX ? BAR_MAX : room;
    if (progress->total > 0 && room >= BAR_MIN) {
        text_print(out, "%3.0f%% |", share * 100);
        for (int i = 0; i < room; i++)
            text_add_string(out, i < (int)(share * room + 0.5) ? "#" : " ");
        text_add_string(out, "| ");
    }
    /* A line that wraps could not be taken back. */
    size_t left = columns - 1 > (int)out->size ? (size_t)columns - 1 - out->size : 0;
    text_add(out, numbers.at, numbers.size < left ? numbers.size : left);
    text_clear(&numbers);
}

static int columns_of(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void draw(struct progress *progress, int64_t now_ms)
{
    struct text line = { 0 };
    progress->drawn_ms = now_ms;
    progress->shown = progress->ever = true;
    progress_print(&line, progress, now_ms, columns_of(STDERR_FILENO));
    fprintf(stderr, "\r%s\033[K", text_string(&line));
    fflush(stderr);
    text_clear(&line);
}

void progress_tick(struct progress *progress, int64_t now_ms)
{
    if (progress->terminal && now_ms - progress->begin_ms >= SHOW_AFTER_MS &&
        now_ms - progress->drawn_ms >= DRAW_EVERY_MS)
        draw(progress, now_ms);
}

void progress_hide(struct progress *progress)
{
    if (!progress->shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->shown = false;
    progress->drawn_ms = 0;
}

void progress_end(struct progress *progress)
{
    progress_hide(progress);
    text_clear(&progress->note);
}

void progress_leave(struct progress *progress, int64_t now_ms)
{
    if (progress->ever) {
        draw(progress, now_ms);
        fputc('\n', stderr);
        progress->shown = false;
    }
    progress_end(progress);
}
