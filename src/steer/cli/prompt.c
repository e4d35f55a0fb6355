/* SPDX-License-Identifier: BSD-3-Clause
 * The line that is edited: libedit, with history and completion. */
#include "steer/cli/prompt.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "steer/cli/lasting.h"
#include "wire/wire.h"

#define LISTED_MAX 200 /* names that one tab shows */

struct prompt {
    struct talk *talk;
    EditLine *edit;
    struct lasting *history;
    size_t indent; /* characters that the line was begun with */
    struct text label, line, notices;
    bool interrupted, disconnected, observer;
    bool pasting; /* lines come from a paste that has not ended */
};

/* ---- the terminal ---- */

static struct termios saved;

#define MARK_PASTES "\033[?2004h"
#define DO_NOT_MARK_PASTES "\033[?2004l"

/* In a signal handler: libedit has its own mode while a line is edited. */
static void restore(void)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    ssize_t written = write(STDOUT_FILENO, DO_NOT_MARK_PASTES, strlen(DO_NOT_MARK_PASTES));
    (void)written; /* there is nobody to tell */
}

/* ---- what happens while the user thinks ---- */

static void on_event(const ipp_output_t *output, void *arg)
{
    struct prompt *prompt = arg;
    json_t *content = json_loads(output->content, JSON_ALLOW_NUL, NULL);
    const char *event = wire_json_string(content, "event", "");
    if (strcmp(event, "engine_lost") == 0 || strcmp(event, "engine_retired") == 0)
        text_print(&prompt->notices, "ipp-steer: engine %lld %s\n",
                   (long long)json_integer_value(json_object_get(content, "id")),
                   strcmp(event, "engine_lost") == 0 ? "is lost" : "has ended");
    else if (strcmp(event, "shutdown") == 0) {
        text_add_string(&prompt->notices, "ipp-steer: the cluster ends\n");
        prompt->disconnected = true;
    }
    json_decref(content);
}

static bool show_notices(struct prompt *prompt, const char *before)
{
    if (prompt->notices.size == 0)
        return false;
    fprintf(stderr, "%s%s", before, prompt->notices.at);
    text_clear(&prompt->notices);
    return true;
}

/* True when a character is there to be read. */
static bool wait_for_key(struct prompt *prompt)
{
    ipp_error_t err;
    ipp_steer_t *steer = prompt->talk->cli->steer;
    struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                            { .fd = ipp_steer_fd(steer), .events = POLLIN } };
    poll(fds, 2, ipp_steer_timeout(steer));
    if (cli_interrupts() > 0) {
        prompt->interrupted = true;
        return false;
    }
    if (ipp_steer_progress(steer, 0, &err) < 0 && !prompt->disconnected) {
        text_print(&prompt->notices, "ipp-steer: %s\n", err.text);
        prompt->disconnected = true;
    }
    if (show_notices(prompt, "\r\033[K") && !prompt->disconnected)
        el_set(prompt->edit, EL_REFRESH);
    return fds[0].revents != 0 && !prompt->disconnected;
}

/* One character of the terminal's, whose bytes may come one by one. 1, 0 at the end. */
static int read_character(wchar_t *to)
{
    mbstate_t state = { 0 };
    char byte;
    for (;;) {
        ssize_t size = read(STDIN_FILENO, &byte, 1);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return 0;
        size_t used = mbrtowc(to, &byte, 1, &state);
        if (used == (size_t)-1) { /* not this locale's: as it is */
            *to = (unsigned char)byte;
            return 1;
        }
        if (used != (size_t)-2)
            return 1;
    }
}

/* libedit's: an interrupted line ends as if Enter had been pressed, and is thrown away. */
static int next_character(EditLine *edit, wchar_t *to)
{
    struct prompt *prompt;
    el_get(edit, EL_CLIENTDATA, &prompt);
    fflush(stdout);
    while (!wait_for_key(prompt)) {
        if (prompt->interrupted || prompt->disconnected) {
            *to = L'\n';
            return 1;
        }
    }
    return read_character(to);
}

/* ---- completion ---- */

static int columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* All matches below the line, in columns. */
static void list_matches(const json_t *matches)
{
    size_t index, widest = 0, count = json_array_size(matches);
    json_t *match;
    json_array_foreach((json_t *)matches, index, match)
    {
        size_t width = complete_characters(json_string_value(match), json_string_length(match));
        widest = width > widest ? width : widest;
    }
    size_t across = (size_t)columns() / (widest + 2);
    across = across > 0 ? across : 1;
    putchar('\n');
    json_array_foreach((json_t *)matches, index, match)
    {
        if (index == LISTED_MAX)
            break;
        bool last = (index + 1) % across == 0 || index + 1 == count || index + 1 == LISTED_MAX;
        size_t width = complete_characters(json_string_value(match), json_string_length(match));
        printf("%s%*s", json_string_value(match), last ? 0 : (int)(widest + 2 - width), "");
        if (last)
            putchar('\n');
    }
    if (count > LISTED_MAX)
        printf("... and %zu more\n", count - LISTED_MAX);
    fflush(stdout);
}

/* Puts what all matches share in the place of the `typed` characters before the cursor. */
static unsigned char insert(EditLine *edit, const json_t *matches, size_t typed)
{
    size_t common = complete_common(matches);
    char *text = cli_format("%.*s", (int)common, json_string_value(json_array_get(matches, 0)));
    bool more = complete_characters(text, common) > typed;
    unsigned char result = CC_REFRESH;
    if (more || json_array_size(matches) == 1) {
        el_deletestr(edit, (int)typed);
        if (el_insertstr(edit, text) < 0)
            result = CC_ERROR;
    } else {
        list_matches(matches);
        result = CC_REDISPLAY;
    }
    free(text);
    return result;
}

static bool all_strings(const json_t *matches)
{
    size_t index;
    json_t *match;
    json_array_foreach((json_t *)matches, index, match)
    {
        if (!json_is_string(match))
            return false;
    }
    return json_array_size(matches) > 0;
}

static unsigned char complete_at(struct prompt *prompt, const char *line, size_t bytes)
{
    struct text code = { 0 };
    unsigned char result = CC_ERROR;
    if (prompt->talk->code.size > 0)
        text_print(&code, "%s\n", prompt->talk->code.at);
    text_add(&code, line, bytes);
    size_t cursor = complete_characters(code.at, code.size);
    json_t *answer = complete_ask(prompt->talk, code.at, cursor);
    json_t *matches = json_object_get(answer, "matches");
    json_int_t start = json_integer_value(json_object_get(answer, "cursor_start"));
    size_t typed = cursor - (size_t)start, before = complete_characters(line, bytes);
    if (start >= 0 && (size_t)start <= cursor && typed <= before && all_strings(matches))
        result = insert(prompt->edit, matches, typed);
    json_decref(answer);
    text_clear(&code);
    return result;
}

static unsigned char on_tab(EditLine *edit, int key)
{
    struct prompt *prompt;
    const LineInfo *info = el_line(edit);
    size_t bytes = (size_t)(info->cursor - info->buffer);
    char *line = cli_format("%.*s", (int)bytes, info->buffer);
    bool blank = !line[strspn(line, " \t")];
    unsigned char result = CC_REFRESH;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &prompt);
    const char *spaces = prompt->pasting ? "\t" : "    ";
    if ((blank || prompt->pasting) && el_insertstr(edit, spaces) < 0)
        result = CC_ERROR;
    else if (!blank && !prompt->pasting)
        result = complete_at(prompt, line, bytes);
    free(line);
    return result;
}

/* ---- pasting: terminals put marks around what is pasted ---- */

static unsigned char set_pasting(EditLine *edit, bool pasting)
{
    struct prompt *prompt;
    el_get(edit, EL_CLIENTDATA, &prompt);
    prompt->pasting = pasting;
    return CC_NORM;
}

static unsigned char on_paste(EditLine *edit, int key)
{
    (void)key;
    return set_pasting(edit, true);
}

static unsigned char on_paste_end(EditLine *edit, int key)
{
    (void)key;
    return set_pasting(edit, false);
}

bool prompt_pasting(const struct prompt *prompt)
{
    return prompt->pasting;
}

/* ---- the prompt ---- */

static char *label_of(EditLine *edit)
{
    struct prompt *prompt;
    el_get(edit, EL_CLIENTDATA, &prompt);
    return prompt->label.at;
}

struct prompt *prompt_create(struct talk *talk)
{
    struct prompt *prompt = cli_realloc(NULL, 1, sizeof *prompt);
    *prompt = (struct prompt){ .talk = talk, .observer = cli_is_observer(talk->cli) };
    prompt->edit = el_init("ipp-steer", stdin, stdout, stderr);
    if (!prompt->edit) {
        free(prompt);
        return NULL;
    }
    if (tcgetattr(STDIN_FILENO, &saved) == 0)
        cli_at_end(restore);
    prompt->history = lasting_open();
    el_set(prompt->edit, EL_CLIENTDATA, prompt);
    el_set(prompt->edit, EL_PROMPT, label_of);
    el_set(prompt->edit, EL_EDITOR, "emacs");
    el_set(prompt->edit, EL_SIGNAL, 0);
    el_set(prompt->edit, EL_HIST, history, lasting_lines(prompt->history));
    el_set(prompt->edit, EL_GETCFN, next_character);
    /* The narrow one leaks copies of both texts. */
    el_wset(prompt->edit, EL_ADDFN, L"ipp-complete", L"complete a name of the engines", on_tab);
    el_wset(prompt->edit, EL_ADDFN, L"ipp-paste", L"what follows is pasted", on_paste);
    el_wset(prompt->edit, EL_ADDFN, L"ipp-paste-end", L"the paste ends", on_paste_end);
    el_set(prompt->edit, EL_BIND, "^I", "ipp-complete", NULL);
    el_set(prompt->edit, EL_BIND, "\\e[200~", "ipp-paste", NULL);
    el_set(prompt->edit, EL_BIND, "\\e[201~", "ipp-paste-end", NULL);
    el_set(prompt->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(prompt->edit, NULL); /* the user's own ~/.editrc has the last word */
    /* Engines that go are told to every session; only the function is new. */
    ipp_future_destroy(ipp_steer_subscribe(talk->cli->steer, "own", false, on_event, prompt, NULL));
    fputs(MARK_PASTES, stdout);
    return prompt;
}

void prompt_destroy(struct prompt *prompt)
{
    if (!prompt)
        return;
    ipp_future_destroy(
        ipp_steer_subscribe(prompt->talk->cli->steer, "own", false, NULL, NULL, NULL));
    el_end(prompt->edit);
    fputs(DO_NOT_MARK_PASTES, stdout);
    fflush(stdout);
    cli_at_end(NULL);
    lasting_close(prompt->history);
    text_clear(&prompt->label);
    text_clear(&prompt->line);
    text_clear(&prompt->notices);
    free(prompt);
}

/* "[0-3] >>> " or "[0-3] observer >>> ", and dots of the same width for the lines that continue a
 * statement. */
static void make_label(struct prompt *prompt)
{
    const char *targets = prompt->talk->targets, *role = prompt->observer ? " observer" : "";
    text_clear(&prompt->label);
    if (prompt->talk->code.size > 0)
        text_print(&prompt->label, "%*s ... ", (int)(strlen(targets) + strlen(role)) + 2, "");
    else
        text_print(&prompt->label, "[%s]%s >>> ", targets, role);
}

/* Who types or pastes an indented line behind the indent that stands there already has it twice:
 * what was typed counts. */
static void drop_double_indent(struct prompt *prompt)
{
    const char *line = prompt->line.at;
    size_t begin = strspn(line, " \t");
    if (prompt->indent > 0 && begin > prompt->indent && line[begin])
        text_drop(&prompt->line, prompt->indent);
    prompt->indent = 0;
}

enum prompt_result prompt_read(struct prompt *prompt, const char **line)
{
    int length = 0;
    prompt->interrupted = false;
    show_notices(prompt, "");
    if (prompt->disconnected) /* it was while the engines worked */
        return PROMPT_NO_CONNECTION;
    make_label(prompt);
    const char *text = el_gets(prompt->edit, &length);
    if (prompt->disconnected)
        return PROMPT_NO_CONNECTION;
    if (prompt->interrupted)
        return PROMPT_INTERRUPTED;
    if (!text || length <= 0) {
        putchar('\n');
        return PROMPT_END;
    }
    text_clear(&prompt->line);
    text_add(&prompt->line, text, (size_t)length - (text[length - 1] == '\n'));
    drop_double_indent(prompt);
    if (prompt->line.at[strspn(prompt->line.at, " \t")])
        lasting_add(prompt->history, prompt->line.at);
    *line = prompt->line.at;
    return PROMPT_LINE;
}

void prompt_indent(struct prompt *prompt, const char *indent)
{
    prompt->indent = strlen(indent);
    if (indent[0])
        el_push(prompt->edit, indent);
}
