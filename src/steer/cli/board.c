/* SPDX-License-Identifier: BSD-3-Clause
 * The board: what engines print and answer is held for a moment, folded, and shown. */
#include "steer/cli/board.h"

#include <stdlib.h>
#include <string.h>

#include "steer/cli/fold.h"

#define HELD_MAX_BYTES (1 << 20) /* of one engine's stream without a line's end */
#define LABEL_MAX 40

/* How long is waited for other engines to say the same, in ms. */
static const int64_t window_ms[BOARD_KINDS] = { 80, 80, 2000, 2000 };

struct entry {
    int engine;
    struct text text;
};

/* What is held of one kind. */
struct shelf {
    struct entry *entries;
    size_t count;
    int64_t since_ms; /* of the oldest that could be shown; -1: none */
};

struct board {
    struct board_style style;
    struct shelf shelves[BOARD_KINDS];
};

static bool is_stream(enum board_kind kind)
{
    return kind == BOARD_STDOUT || kind == BOARD_STDERR;
}

static bool on_stderr(enum board_kind kind)
{
    return kind == BOARD_STDERR || kind == BOARD_ERROR;
}

struct board *board_create(const struct board_style *style)
{
    struct board *board = cli_realloc(NULL, 1, sizeof *board);
    *board = (struct board){ .style = *style };
    for (int i = 0; i < BOARD_KINDS; i++)
        board->shelves[i].since_ms = -1;
    return board;
}

void board_destroy(struct board *board)
{
    if (!board)
        return;
    for (int kind = 0; kind < BOARD_KINDS; kind++) {
        for (size_t i = 0; i < board->shelves[kind].count; i++)
            text_clear(&board->shelves[kind].entries[i].text);
        free(board->shelves[kind].entries);
    }
    free(board);
}

/* ---- showing ---- */

static bool coloured(const struct board *board, enum board_kind kind)
{
    return on_stderr(kind) ? board->style.colour_err : board->style.colour_out;
}

static char *label_of(const struct board *board, enum board_kind kind,
                      const struct fold_group *group)
{
    static const char *const colours[BOARD_KINDS] = { "2", "33", "36", "31" };
    struct text label = { 0 };
    if (!board->style.labels || group->ids[0] < 0)
        return cli_strdup("");
    if (coloured(board, kind))
        text_print(&label, "\033[%sm", colours[kind]);
    text_add_string(&label, "[");
    fold_ids(&label, group->ids, group->count, LABEL_MAX);
    text_add_string(&label, coloured(board, kind) ? "]\033[0m " : "] ");
    return label.at;
}

static void show_group(struct board *board, enum board_kind kind, const struct fold_group *group)
{
    FILE *to = on_stderr(kind) ? board->style.err : board->style.out;
    char *label = label_of(board, kind, group);
    if (!coloured(board, kind))
        text_strip_escapes(group->said);
    if (!label[0] && is_stream(kind)) {
        fputs(group->said, to);
    } else {
        char *rest = group->said, *line;
        while ((line = strsep(&rest, "\n")))
            if (rest || *line || line == group->said)
                fprintf(to, "%s%s\n", label, line);
    }
    free(label);
}

static void show(struct board *board, enum board_kind kind, struct fold *fold)
{
    if (fold->count > 0 && board->style.before)
        board->style.before(board->style.arg);
    if (on_stderr(kind))
        fflush(board->style.out); /* both may be one terminal */
    fold_finish(fold);
    for (size_t i = 0; i < fold->count; i++)
        show_group(board, kind, &fold->groups[i]);
    fflush(on_stderr(kind) ? board->style.err : board->style.out);
}

/* Bytes of a stream that can be shown: up to the end of the last whole line, or all. */
static size_t ripe_bytes(const struct board *board, const struct entry *entry, bool all)
{
    if (all || !board->style.labels || entry->text.size > HELD_MAX_BYTES)
        return entry->text.size;
    const char *end = entry->text.size > 0 ? strrchr(entry->text.at, '\n') : NULL;
    return end ? (size_t)(end + 1 - entry->text.at) : 0;
}

static void take_ripe(struct board *board, enum board_kind kind, struct entry *entry, bool all,
                      struct fold *fold)
{
    size_t size = is_stream(kind) ? ripe_bytes(board, entry, all) : entry->text.size;
    if (size == 0)
        return;
    char *said = cli_strdup(entry->text.at);
    said[size] = '\0';
    fold_add(fold, entry->engine, said);
    free(said);
    text_drop(&entry->text, size);
}

static void flush_shelf(struct board *board, enum board_kind kind, bool all)
{
    struct shelf *shelf = &board->shelves[kind];
    struct fold fold = { 0 };
    size_t kept = 0;
    for (size_t i = 0; i < shelf->count; i++)
        take_ripe(board, kind, &shelf->entries[i], all, &fold);
    for (size_t i = 0; i < shelf->count; i++) {
        if (shelf->entries[i].text.size > 0)
            shelf->entries[kept++] = shelf->entries[i];
        else
            text_clear(&shelf->entries[i].text);
    }
    shelf->count = kept;
    shelf->since_ms = -1;
    show(board, kind, &fold);
    fold_clear(&fold);
}

static bool due(const struct shelf *shelf, enum board_kind kind, int64_t now_ms)
{
    return shelf->since_ms >= 0 && now_ms - shelf->since_ms >= window_ms[kind];
}

void board_flush(struct board *board, int64_t now_ms, bool all)
{
    /* An engine's answer stands behind what it has printed, so all of that goes first. */
    bool answers = all;
    for (int kind = BOARD_RESULT; kind < BOARD_KINDS; kind++)
        answers |= due(&board->shelves[kind], (enum board_kind)kind, now_ms);
    for (int i = 0; i < BOARD_KINDS; i++) {
        enum board_kind kind = (enum board_kind)i;
        struct shelf *shelf = &board->shelves[kind];
        if (shelf->count > 0 && (answers || due(shelf, kind, now_ms)))
            flush_shelf(board, kind, all);
    }
}

int board_wait_ms(const struct board *board, int64_t now_ms)
{
    int64_t least = -1;
    for (int kind = 0; kind < BOARD_KINDS; kind++) {
        int64_t since = board->shelves[kind].since_ms;
        int64_t left = since < 0 ? -1 : since + window_ms[kind] - now_ms;
        if (since >= 0 && (least < 0 || left < least))
            least = left < 0 ? 0 : left;
    }
    return (int)least;
}

/* ---- holding ---- */

static struct entry *find_entry(struct shelf *shelf, int engine)
{
    for (size_t i = 0; i < shelf->count; i++)
        if (shelf->entries[i].engine == engine)
            return &shelf->entries[i];
    shelf->entries = cli_realloc(shelf->entries, shelf->count + 1, sizeof *shelf->entries);
    shelf->entries[shelf->count] = (struct entry){ .engine = engine };
    return &shelf->entries[shelf->count++];
}

void board_add(struct board *board, enum board_kind kind, int engine, const char *text,
               int64_t now_ms)
{
    struct shelf *shelf = &board->shelves[kind];
    struct entry *entry = find_entry(shelf, engine);
    text_add_string(&entry->text, text);
    if (!is_stream(kind)) /* also behind an empty one: it is shown as a line */
        text_add_string(&entry->text, "\n");
    bool ripe = !is_stream(kind) || ripe_bytes(board, entry, false) > 0;
    if (ripe && shelf->since_ms < 0)
        shelf->since_ms = now_ms;
}
