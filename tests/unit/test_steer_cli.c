/* SPDX-License-Identifier: BSD-3-Clause
 * ipp-steer's parts that need no cluster: folding, targets, values, the board, the bar, the command
 * line. */
#include "fake_bridge.h"
#include "steer/cli/board.h"
#include "steer/cli/cli.h"
#include "steer/cli/fold.h"
#include "steer/cli/lines.h"
#include "steer/cli/progress.h"
#include "steer/cli/target.h"
#include "steer/cli/value.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- folding ---- */

static void check_ids(const char *expected, size_t limit, size_t count, const int64_t *ids)
{
    struct text out = { 0 };
    fold_ids(&out, ids, count, limit);
    ck_assert_str_eq(text_string(&out), expected);
    text_clear(&out);
}

START_TEST(ids_become_ranges)
{
    check_ids("", 0, 0, (int64_t[]){ 0 });
    check_ids("5", 0, 1, (int64_t[]){ 5 });
    check_ids("0,1", 0, 2, (int64_t[]){ 0, 1 });
    check_ids("0-2", 0, 3, (int64_t[]){ 0, 1, 2 });
    check_ids("0-3,7", 0, 5, (int64_t[]){ 0, 1, 2, 3, 7 });
    check_ids("0,2,4-6,8,9", 0, 7, (int64_t[]){ 0, 2, 4, 5, 6, 8, 9 });
    check_ids("bridge,0-2", 0, 4, (int64_t[]){ -1, 0, 1, 2 });
    check_ids("0,2,4,6,... (6)", 6, 6, (int64_t[]){ 0, 2, 4, 6, 8, 10 });
}
END_TEST

START_TEST(equal_words_fold)
{
    struct fold fold = { 0 };
    fold_add(&fold, 3, "b");
    fold_add(&fold, 2, "a");
    fold_add(&fold, 0, "a");
    fold_add(&fold, 1, "b");
    fold_add(&fold, 2, "a");
    fold_finish(&fold);
    ck_assert_uint_eq(fold.count, 2);
    ck_assert_str_eq(fold.groups[0].said, "a");
    ck_assert_uint_eq(fold.groups[0].count, 2);
    ck_assert_int_eq(fold.groups[0].ids[1], 2);
    ck_assert_str_eq(fold.groups[1].said, "b");
    ck_assert_int_eq(fold.groups[1].ids[0], 1);
    fold_clear(&fold);
}
END_TEST

/* ---- targets ---- */

static json_t *some_engines(void)
{
    return json_pack("{s:{s:s},s:{s:s},s:{},s:{},s:{}}", "0", "group", "ocean", "1", "group", "ice",
                     "2", "3", "10");
}

static void check_targets(const char *spec, const char *expected)
{
    int *ids;
    size_t count;
    ipp_err_t err;
    struct text out = { 0 };
    json_t *engines = some_engines();
    ck_assert_msg(target_resolve(spec, engines, &ids, &count, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < count; i++)
        text_print(&out, "%s%d", i > 0 ? "," : "", ids[i]);
    ck_assert_str_eq(out.at, expected);
    text_clear(&out);
    json_decref(engines);
    free(ids);
}

START_TEST(targets_are_found)
{
    check_targets(NULL, "0,1,2,3,10");
    check_targets("all", "0,1,2,3,10");
    check_targets("2", "2");
    check_targets("10,0-2", "0,1,2,10");
    check_targets("ice,ocean", "0,1");
    check_targets("1,ice,1", "1");
    check_targets(" 1 , 2", "1,2");
}
END_TEST

START_TEST(wrong_targets_are_refused)
{
    static const struct {
        const char *spec;
        int code;
    } wrong[] = { { "", EINVAL },     { "1,", EINVAL }, { "3-1", EINVAL },
                  { "-1", EINVAL },   { "1-", EINVAL }, { "99999999999", EINVAL },
                  { "a b", EINVAL },  { "4", ENOENT },  { "0-999999999", ENOENT },
                  { "atmos", ENOENT } };
    json_t *engines = some_engines();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int *ids;
        size_t count;
        ipp_err_t err = { "" };
        ck_assert_msg(target_resolve(wrong[i].spec, engines, &ids, &count, &err) == -1, "%s",
                      wrong[i].spec);
        ck_assert_msg(errno == wrong[i].code, "%s: %d", wrong[i].spec, errno);
        ck_assert(err.text[0]);
        ck_assert((target_complaint(wrong[i].spec) != NULL) == (wrong[i].code == EINVAL));
    }
    json_decref(engines);
}
END_TEST

START_TEST(a_single_engine_is_known)
{
    ck_assert_int_eq(target_single("3"), 3);
    ck_assert_int_eq(target_single("3-3"), 3);
    ck_assert_int_eq(target_single("3,4"), -1);
    ck_assert_int_eq(target_single("3-4"), -1);
    ck_assert_int_eq(target_single("ocean"), -1);
    ck_assert_int_eq(target_single(NULL), -1);
}
END_TEST

/* ---- values ---- */

static void check_value(const char *text, json_type type, const char *shown)
{
    struct text out = { 0 };
    json_t *value = value_parse(text, NULL);
    ck_assert_ptr_nonnull(value);
    ck_assert_int_eq(json_typeof(value), type);
    value_print(&out, value);
    ck_assert_str_eq(text_string(&out), shown);
    text_clear(&out);
    json_decref(value);
}

START_TEST(values_are_json_or_text)
{
    check_value("3", JSON_INTEGER, "3");
    check_value("-0.5", JSON_REAL, "-0.5");
    check_value("true", JSON_TRUE, "True");
    check_value("null", JSON_NULL, "None");
    check_value("\"3\"", JSON_STRING, "3");
    check_value("hello world", JSON_STRING, "hello world");
    check_value("", JSON_STRING, "");
    check_value("1 2", JSON_STRING, "1 2");
    check_value("[1, \"a\"]", JSON_ARRAY, "[1, \"a\"]");
    check_value("{\"a\": 1}", JSON_OBJECT, "{\"a\": 1}");
    ck_assert_ptr_null(value_parse("\xff\xfe", NULL));
}
END_TEST

START_TEST(names_are_pythons)
{
    size_t length;
    ck_assert(value_split("a=1", &length) && length == 1);
    ck_assert(value_split("_x9=a=b", &length) && length == 3);
    ck_assert(value_split("\xc3\xa9=1", &length) && length == 2);
    ck_assert(!value_split("\xff=1", &length));
    ck_assert(!value_split("a", &length));
    ck_assert(!value_split("=1", &length));
    ck_assert(!value_split("9a=1", &length));
    ck_assert(!value_split("a.b=1", &length));
    ck_assert(!value_split("a b=1", &length));
}
END_TEST

/* ---- the board ---- */

struct screen {
    char *at;
    size_t size;
    FILE *file;
    struct board *board;
};

static void screen_open(struct screen *screen, bool labels, bool colour)
{
    screen->file = open_memstream(&screen->at, &screen->size);
    struct board_style style = { .labels = labels,
                                 .colour_out = colour,
                                 .colour_err = colour,
                                 .out = screen->file,
                                 .err = screen->file };
    screen->board = board_create(&style);
}

static void screen_check(struct screen *screen, const char *expected)
{
    fclose(screen->file);
    ck_assert_str_eq(screen->at, expected);
    board_destroy(screen->board);
    free(screen->at);
}

START_TEST(equal_lines_are_shown_once)
{
    struct screen screen;
    screen_open(&screen, true, false);
    ck_assert_int_eq(board_wait_ms(screen.board, 0), -1);
    board_add(screen.board, BOARD_STDOUT, 0, "step 1\nst", 1000);
    board_add(screen.board, BOARD_STDOUT, 1, "step 1\n", 1010);
    int wait = board_wait_ms(screen.board, 1010);
    ck_assert_int_gt(wait, 0);
    board_flush(screen.board, 1010, false);
    board_flush(screen.board, 1010 + wait, false);
    board_add(screen.board, BOARD_STDOUT, 0, "ep 2\n", 2000);
    board_add(screen.board, BOARD_STDOUT, 1, "two\n", 2000);
    board_flush(screen.board, 3000, true);
    screen_check(&screen, "[0,1] step 1\n[0] step 2\n[1] two\n");
}
END_TEST

START_TEST(answers_stand_behind_output)
{
    struct screen screen;
    screen_open(&screen, true, false);
    board_add(screen.board, BOARD_ERROR, 2, "Traceback\nValueError: x", 0);
    board_add(screen.board, BOARD_RESULT, 0, "42", 0);
    board_add(screen.board, BOARD_RESULT, 1, "42", 0);
    board_add(screen.board, BOARD_STDOUT, 0, "no newline", 0);
    board_flush(screen.board, 0, true);
    screen_check(&screen, "[0] no newline\n[0,1] 42\n[2] Traceback\n[2] ValueError: x\n");
}
END_TEST

START_TEST(a_single_engine_speaks_plainly)
{
    struct screen screen;
    screen_open(&screen, false, false);
    board_add(screen.board, BOARD_STDOUT, 3, "half", 0);
    board_flush(screen.board, 1000, false);
    board_add(screen.board, BOARD_STDOUT, 3, "\r\033[1mwhole\033[0m\n", 1000);
    board_add(screen.board, BOARD_RESULT, 3, "[1,\n 2]", 1000);
    board_flush(screen.board, 1000, true);
    screen_check(&screen, "half\rwhole\n[1,\n 2]\n");
}
END_TEST

START_TEST(labels_have_colours_on_a_terminal)
{
    struct screen screen;
    screen_open(&screen, true, true);
    board_add(screen.board, BOARD_RESULT, 3, "\033[1mx\033[0m", 0);
    board_flush(screen.board, 0, true);
    screen_check(&screen, "\033[36m[3]\033[0m \033[1mx\033[0m\n");
}
END_TEST

/* ---- the bar ---- */

static void check_bar(double done, double total, int columns, const char *expected)
{
    struct text out = { 0 };
    struct progress bar = { .unit = "items", .done = done, .total = total };
    progress_print(&out, &bar, 2000, columns);
    ck_assert_str_eq(text_string(&out), expected);
    text_clear(&out);
}

START_TEST(the_bar_says_how_far)
{
    check_bar(0, 0, 80, "0 items");
    check_bar(10, 0, 80, "10 items, 5.0/s");
    check_bar(5, 10, 50, " 50% |#######      | 5/10 items, 2.5/s, 2 s left");
    check_bar(1, 7201, 30, "1/7201 items, 0.5/s, 4:00:00 ");
    check_bar(10, 10, 40, "100% |############| 10/10 items, 5.0/s");
}
END_TEST

/* ---- the command line ---- */

static int parse_line(struct cli_options *options, const char **words, int *count, int argc,
                      const char **argv)
{
    *options = (struct cli_options){ 0 };
    return cli_options_parse(options, argc, (char **)argv, words, count);
}

START_TEST(options_stand_anywhere)
{
    struct cli_options options;
    const char *words[16],
        *line[] = { "ipp-steer", "--cluster-id=c", "apply", "f",  "-4",     "--json",
                    "-.5",       "--on",           "0-3",   "--", "--json", NULL };
    int count;
    ck_assert_int_eq(parse_line(&options, words, &count, 11, line), 0);
    ck_assert_int_eq(count, 5);
    ck_assert_str_eq(words[0], "apply");
    ck_assert_str_eq(words[2], "-4");
    ck_assert_str_eq(words[3], "-.5");
    ck_assert_str_eq(words[4], "--json");
    ck_assert(options.json);
    ck_assert_str_eq(options.on, "0-3");
    ck_assert_str_eq(options.cluster_id, "c");
    ck_assert_uint_eq(options.given, CLI_JSON | CLI_ON);
}
END_TEST

START_TEST(wrong_options_are_refused)
{
    struct cli_options options;
    const char *words[16];
    int count;
    static const char *const wrong[] = { "--frob", "--timeout=x", "--timeout=0", "--chunk=-1",
                                         "-o" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *line[] = { "ipp-steer", "status", wrong[i], NULL };
        ck_assert_msg(parse_line(&options, words, &count, 3, line) == -1, "%s", wrong[i]);
    }
}
END_TEST

/* ---- small things ---- */

START_TEST(escapes_are_taken_out)
{
    char text[] = "\033[0;31mred\033[0m \033]0;title\a.\033]8;;x\033\\l\033[";
    text_strip_escapes(text);
    ck_assert_str_eq(text, "red .l");
}
END_TEST

START_TEST(lines_come_as_they_are_written)
{
    int ends[2];
    const char *line;
    ck_assert_int_eq(pipe(ends), 0);
    struct lines lines;
    lines_start(&lines, ends[0]);
    ck_assert_int_eq(lines_next(&lines, &line), LINES_NOT_YET);
    ck_assert_int_eq(write(ends[1], "a\n\nb", 4), 4);
    ck_assert_int_eq(lines_next(&lines, &line), LINES_ONE);
    ck_assert_str_eq(line, "a");
    ck_assert_int_eq(lines_next(&lines, &line), LINES_ONE);
    ck_assert_str_eq(line, "");
    ck_assert_int_eq(lines_next(&lines, &line), LINES_NOT_YET);
    close(ends[1]);
    ck_assert_int_eq(lines_next(&lines, &line), LINES_ONE);
    ck_assert_str_eq(line, "b");
    ck_assert_int_eq(lines_next(&lines, &line), LINES_END);
    lines_clear(&lines);
    close(ends[0]);
}
END_TEST

START_TEST(lines_are_counted_ahead)
{
    int ends[2];
    bool about;
    const char *line;
    struct lines lines;
    ck_assert_int_eq(pipe(ends), 0);
    lines_start(&lines, ends[0]);
    ck_assert_int_eq(write(ends[1], "a\nb\nc", 5), 5);
    lines_fill(&lines, 1);
    ck_assert_uint_eq(lines_waiting(&lines), 5);
    ck_assert(lines_total(&lines, &about) == 0);
    ck_assert_int_eq(lines_next(&lines, &line), LINES_ONE);
    close(ends[1]);
    lines_fill(&lines, 100);
    ck_assert(lines_total(&lines, &about) == 3);
    ck_assert(!about);
    lines_clear(&lines);
    close(ends[0]);
}
END_TEST

START_TEST(lines_of_a_large_file_are_estimated)
{
    bool about;
    struct lines lines;
    FILE *file = tmpfile();
    for (int i = 0; i < 100000; i++)
        fprintf(file, "%09d\n", i);
    rewind(file);
    lines_start(&lines, fileno(file));
    lines_fill(&lines, 1);
    double total = lines_total(&lines, &about);
    ck_assert(about);
    ck_assert(total > 99900 && total < 100100);
    lines_fill(&lines, SIZE_MAX);
    ck_assert(lines_total(&lines, &about) == 100000);
    ck_assert(!about);
    lines_clear(&lines);
    fclose(file);
}
END_TEST

/* ---- requests ---- */

/* Both are in one step of the connection, or the first is alone: the answer counts either way. */
START_TEST(an_answer_counts_beside_the_end)
{
    char file[] = "/tmp/ipp-cli-XXXXXX.json";
    close(mkstemps(file, strlen(".json")));
    struct fake_bridge *fake = fake_start(file, &(struct fake_options){ .ipc = true });
    struct cli cli = { .steer = ipp_steer_connect(file, NULL, NULL) };
    struct job job = { .cli = &cli };
    fake_mute(fake, true);
    ck_assert_int_eq(job_send(&job, "registration", "queue_request", json_object(), NULL, 0), 0);
    while (fake_look(fake).requests == 0)
        ipp_steer_progress(cli.steer, 10, NULL);
    fake_mute(fake, false);
    fake_event(fake, "{\"event\": \"shutdown\"}");
    ck_assert_int_eq(job_wait(&job), CLI_OK);
    job_clear(&job);
    ipp_steer_close(cli.steer);
    fake_stop(fake);
    unlink(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("steer_cli");
    TCase *tests = tcase_create("parts");
    tcase_add_test(tests, ids_become_ranges);
    tcase_add_test(tests, equal_words_fold);
    tcase_add_test(tests, targets_are_found);
    tcase_add_test(tests, wrong_targets_are_refused);
    tcase_add_test(tests, a_single_engine_is_known);
    tcase_add_test(tests, values_are_json_or_text);
    tcase_add_test(tests, names_are_pythons);
    tcase_add_test(tests, equal_lines_are_shown_once);
    tcase_add_test(tests, answers_stand_behind_output);
    tcase_add_test(tests, a_single_engine_speaks_plainly);
    tcase_add_test(tests, labels_have_colours_on_a_terminal);
    tcase_add_test(tests, the_bar_says_how_far);
    tcase_add_test(tests, options_stand_anywhere);
    tcase_add_test(tests, wrong_options_are_refused);
    tcase_add_test(tests, escapes_are_taken_out);
    tcase_add_test(tests, lines_come_as_they_are_written);
    tcase_add_test(tests, lines_are_counted_ahead);
    tcase_add_test(tests, lines_of_a_large_file_are_estimated);
    tcase_add_loop_test(tests, an_answer_counts_beside_the_end, 0, 20);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
