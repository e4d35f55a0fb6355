/* SPDX-License-Identifier: BSD-3-Clause
 * The room base: frames, errors, log, clock. */
#include "base/base.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- frames ---- */

static void count_call(void *data, void *arg)
{
    (void)data;
    errno = EDOM; /* a careless callback */
    ++*(int *)arg;
}

/* The first byte of a fresh frame of 4 MiB; leaves a 1 there. A mapping that is new is all 0. */
static char first_byte(void)
{
    ipp_frame_t *frame = ipp_frame_alloc((size_t)4 << 20);
    char *data = ipp_frame_data(frame), was = *data;
    *data = 1;
    ipp_frame_unref(frame);
    return was;
}

START_TEST(frame_mappings_are_kept_when_asked_for_and_given_back)
{
    ck_assert_int_eq(first_byte(), 0);
    ck_assert_int_eq(first_byte(), 0);
    ipp_frame_keep((size_t)8 << 20);
    ck_assert_int_eq(first_byte(), 0);
    ck_assert_int_eq(first_byte(), 1);
    ipp_frame_t *other = ipp_frame_alloc((size_t)5 << 20); /* leaves no room for both */
    ipp_frame_unref(other);
    ck_assert_int_eq(first_byte(), 0);
    ipp_frame_trim(3600000);
    ck_assert_int_eq(first_byte(), 1);
    ipp_frame_trim(0);
    ck_assert_int_eq(first_byte(), 0);
    ipp_frame_trim(0);
    ipp_frame_keep(0);
    ck_assert_int_eq(first_byte(), 0);
}
END_TEST

START_TEST(frame_holds_a_copy)
{
    char text[] = "hello";
    ipp_frame_t *frame = ipp_frame_copy(text, 5);
    text[0] = 'j';
    ck_assert_uint_eq(ipp_frame_size(frame), 5);
    ck_assert(ipp_frame_equals(frame, "hello", 5));
    ck_assert(!ipp_frame_equals(frame, "hello", 4));
    ck_assert(!ipp_frame_equals(frame, "jello", 5));
    ipp_frame_unref(frame);
}
END_TEST

START_TEST(frame_of_no_bytes_has_data)
{
    ipp_frame_t *frames[] = { ipp_frame_alloc(0), ipp_frame_copy(NULL, 0),
                              ipp_frame_adopt(NULL, 0, NULL, NULL) };
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(ipp_frame_data(frames[i]));
        ck_assert_uint_eq(ipp_frame_size(frames[i]), 0);
        ck_assert(ipp_frame_equals(frames[i], "", 0));
        ipp_frame_unref(frames[i]);
    }
}
END_TEST

START_TEST(frame_too_large_is_enomem)
{
    errno = 0;
    ck_assert_ptr_null(ipp_frame_alloc(SIZE_MAX));
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_ptr_null(ipp_frame_copy("", SIZE_MAX));
    ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

START_TEST(frame_inline_bytes_are_aligned)
{
    ipp_frame_t *frame = ipp_frame_alloc(64);
    ck_assert_uint_eq((uintptr_t)ipp_frame_data(frame) % _Alignof(max_align_t), 0);
    ipp_frame_unref(frame);
}
END_TEST

START_TEST(adopted_bytes_are_freed_once_with_the_last_reference)
{
    static char bytes[3] = "abc";
    int calls = 0;
    ipp_frame_t *frame = ipp_frame_adopt(bytes, 3, count_call, &calls);
    ck_assert_ptr_eq(ipp_frame_data(frame), bytes);
    ck_assert_ptr_eq(ipp_frame_ref(frame), frame);
    ipp_frame_unref(frame);
    ck_assert_int_eq(calls, 0);
    errno = ENOENT;
    ipp_frame_unref(frame);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(errno, ENOENT);
    ipp_frame_unref(NULL);
}
END_TEST

static void *ref_and_unref(void *arg)
{
    for (int i = 0; i < 20000; i++)
        ipp_frame_unref(ipp_frame_ref(arg));
    return NULL;
}

START_TEST(frame_is_shared_between_threads)
{
    int calls = 0;
    ipp_frame_t *frame = ipp_frame_adopt(NULL, 0, count_call, &calls);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ref_and_unref, frame), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(calls, 0);
    ipp_frame_unref(frame);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(list_moves_references_in_and_drops_them)
{
    int calls = 0;
    ipp_frames_t list = { 0 };
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(ipp_frames_push(&list, ipp_frame_adopt("xy", 2, count_call, &calls)), 0);
    ck_assert_uint_eq(list.count, 100);
    ck_assert_uint_eq(ipp_frames_bytes(&list), 200);
    ipp_frames_clear(&list);
    ck_assert_int_eq(calls, 100);
    ck_assert_ptr_null(list.at);
    ck_assert_uint_eq(list.count + list.capacity + ipp_frames_bytes(&list), 0);
    ipp_frames_clear(&list);
}
END_TEST

START_TEST(list_refuses_a_frame_that_could_not_be_made)
{
    ipp_frames_t list = { 0 };
    errno = 0;
    ck_assert_int_eq(ipp_frames_push(&list, NULL), -1);
    ck_assert_int_eq(errno, ENOMEM);
    errno = 0;
    ck_assert_int_eq(ipp_frames_push_copy(&list, "", SIZE_MAX), -1);
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

START_TEST(list_shares_from_a_place_on)
{
    int calls = 0;
    ipp_frames_t from = { 0 }, to = { 0 };
    ipp_frames_push_copy(&to, "already here", 12);
    ipp_frames_push_copy(&from, "skipped", 7);
    ipp_frames_push(&from, ipp_frame_adopt("ab", 2, count_call, &calls));
    ipp_frames_push_copy(&from, "", 0);
    ck_assert_int_eq(ipp_frames_share(&to, &from, 1), 0);
    ck_assert_int_eq(ipp_frames_share(&to, &from, 3), 0);
    ck_assert_int_eq(ipp_frames_share(&to, &from, 99), 0);
    ck_assert_uint_eq(to.count, 3);
    ck_assert_ptr_eq(to.at[1], from.at[1]);
    ipp_frames_clear(&from);
    ck_assert_int_eq(calls, 0);
    ck_assert(ipp_frame_equals(to.at[1], "ab", 2));
    ipp_frames_clear(&to);
    ck_assert_int_eq(calls, 1);
}
END_TEST

/* ---- errors ---- */

START_TEST(error_sets_text_and_errno)
{
    ipp_err_t err;
    ck_assert_int_eq(ipp_err(&err, EBUSY, "queue %s has %d", "a", 3), -1);
    ck_assert_int_eq(errno, EBUSY);
    ck_assert_str_eq(err.text, "queue a has 3");
    ck_assert_int_eq(ipp_err(NULL, EPERM, "dropped"), -1);
    ck_assert_int_eq(errno, EPERM);
}
END_TEST

START_TEST(error_text_is_cut_not_overrun)
{
    ipp_err_t err;
    ipp_err(&err, EINVAL, "%2000d", 7);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
}
END_TEST

/* ---- log ---- */

static int log_pipe[2];

static void open_log(void)
{
    ck_assert_int_eq(pipe(log_pipe), 0);
    ck_assert_int_ge(fcntl(log_pipe[0], F_SETFL, O_NONBLOCK), 0);
}

static void close_log(void)
{
    close(log_pipe[0]);
    close(log_pipe[1]);
}

/* What was logged since the last call. */
static const char *logged(void)
{
    static char text[8192];
    ssize_t n = read(log_pipe[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

START_TEST(log_levels_have_names)
{
    ck_assert_int_eq(ipp_log_level_parse("error"), IPP_LOG_ERROR);
    ck_assert_int_eq(ipp_log_level_parse("warning"), IPP_LOG_WARNING);
    ck_assert_int_eq(ipp_log_level_parse("notice"), IPP_LOG_NOTICE);
    ck_assert_int_eq(ipp_log_level_parse("info"), IPP_LOG_INFO);
    ck_assert_int_eq(ipp_log_level_parse("debug"), IPP_LOG_DEBUG);
    ck_assert_int_eq(ipp_log_level_parse("Debug"), -1);
    ck_assert_int_eq(ipp_log_level_parse(""), -1);
}
END_TEST

START_TEST(log_line_says_who_and_keeps_errno)
{
    ipp_log_setup(log_pipe[1], "ipp-engine", 3, IPP_LOG_INFO);
    ck_assert_int_eq(ipp_log_level(), IPP_LOG_INFO);
    errno = EDOM;
    ipp_log(IPP_LOG_WARNING, "lost %d of %d", 1, 4);
    ck_assert_int_eq(errno, EDOM);
    ck_assert_str_eq(logged(), "ipp-engine[3] warning: lost 1 of 4\n");
    ipp_log_setup(log_pipe[1], "ipp-cluster", -1, IPP_LOG_ERROR);
    ipp_log(IPP_LOG_ERROR, "no");
    ck_assert_str_eq(logged(), "ipp-cluster error: no\n");
}
END_TEST

START_TEST(log_lines_of_peers_texts)
{
    ipp_log_setup(log_pipe[1], "x", -1, IPP_LOG_INFO);
    ipp_log(IPP_LOG_INFO, "%s came", "a\nx error: b\x1b[2J\r\x7f\xc3\xa4");
    ck_assert_str_eq(logged(), "x info: a?x error: b?[2J??\xc3\xa4 came\n");
}
END_TEST

START_TEST(log_level_filters)
{
    ipp_log_setup(log_pipe[1], "x", -1, IPP_LOG_WARNING);
    ipp_log(IPP_LOG_NOTICE, "quiet");
    ipp_log(IPP_LOG_INFO, "quiet");
    ipp_log(IPP_LOG_DEBUG, "quiet");
    ck_assert_str_eq(logged(), "");
    ipp_log(IPP_LOG_WARNING, "loud");
    ck_assert_str_eq(logged(), "x warning: loud\n");
}
END_TEST

START_TEST(log_line_is_cut_and_still_a_line)
{
    ipp_log_setup(log_pipe[1], "x", 0, IPP_LOG_DEBUG);
    for (int width = 2000; width < 2100; width++) {
        ipp_log(IPP_LOG_DEBUG, "%*d", width, 7);
        const char *line = logged();
        ck_assert_uint_le(strlen(line), 2048);
        ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
    }
}
END_TEST

START_TEST(now_and_then_is_true_once_an_interval)
{
    _Atomic int64_t last = 0;
    ck_assert(ipp_log_now_and_then(&last, 40));
    ck_assert(!ipp_log_now_and_then(&last, 40));
    usleep(50000);
    ck_assert(ipp_log_now_and_then(&last, 40));
    ck_assert(!ipp_log_now_and_then(&last, 40));
    _Atomic int64_t always = 0;
    ck_assert(ipp_log_now_and_then(&always, 0));
    ck_assert(ipp_log_now_and_then(&always, 0));
}
END_TEST

static _Atomic int64_t shared_last;
static atomic_int shared_wins;

static void *try_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        if (ipp_log_now_and_then(&shared_last, 3600000))
            atomic_fetch_add(&shared_wins, 1);
    return NULL;
}

START_TEST(now_and_then_has_one_winner_among_threads)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, try_often, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&shared_wins), 1);
}
END_TEST

/* ---- clock ---- */

START_TEST(clock_goes_on)
{
    int64_t ns = ipp_now_ns(), ms = ipp_now_ms();
    ck_assert_int_ge(ms, ns / 1000000);
    usleep(2000);
    ck_assert_int_ge(ipp_now_ns() - ns, 2000000);
    ck_assert_int_ge(ipp_now_ms() - ms, 1);
}
END_TEST

/* time() may lag behind by a tick of the kernel's, into the second before. */
static time_t exact_time(void)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
    return now.tv_sec;
}

START_TEST(date_is_iso_8601_utc)
{
    char date[IPP_DATE_LEN];
    struct tm utc = { 0 };
    time_t before = exact_time();
    ck_assert_ptr_eq(ipp_date(date), date);
    ck_assert_uint_eq(strlen(date), strlen("2026-01-31T12:00:00.000000Z"));
    const char *rest = strptime(date, "%Y-%m-%dT%H:%M:%S", &utc);
    ck_assert_ptr_nonnull(rest);
    ck_assert_uint_eq(strspn(rest + 1, "0123456789"), 6);
    ck_assert(rest[0] == '.' && rest[7] == 'Z');
    time_t then = timegm(&utc);
    ck_assert(then >= before && then <= exact_time());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *frames = tcase_create("frames"), *errors = tcase_create("errors"),
          *logs = tcase_create("log"), *clocks = tcase_create("clock");
    tcase_add_test(frames, frame_mappings_are_kept_when_asked_for_and_given_back);
    tcase_add_test(frames, frame_holds_a_copy);
    tcase_add_test(frames, frame_of_no_bytes_has_data);
    tcase_add_test(frames, frame_too_large_is_enomem);
    tcase_add_test(frames, frame_inline_bytes_are_aligned);
    tcase_add_test(frames, adopted_bytes_are_freed_once_with_the_last_reference);
    tcase_add_test(frames, frame_is_shared_between_threads);
    tcase_add_test(frames, list_moves_references_in_and_drops_them);
    tcase_add_test(frames, list_refuses_a_frame_that_could_not_be_made);
    tcase_add_test(frames, list_shares_from_a_place_on);
    tcase_add_test(errors, error_sets_text_and_errno);
    tcase_add_test(errors, error_text_is_cut_not_overrun);
    tcase_add_checked_fixture(logs, open_log, close_log);
    tcase_add_test(logs, log_levels_have_names);
    tcase_add_test(logs, log_line_says_who_and_keeps_errno);
    tcase_add_test(logs, log_lines_of_peers_texts);
    tcase_add_test(logs, log_level_filters);
    tcase_add_test(logs, log_line_is_cut_and_still_a_line);
    tcase_add_test(logs, now_and_then_is_true_once_an_interval);
    tcase_add_test(logs, now_and_then_has_one_winner_among_threads);
    tcase_add_test(clocks, clock_goes_on);
    tcase_add_test(clocks, date_is_iso_8601_utc);
    suite_add_tcase(suite, frames);
    suite_add_tcase(suite, errors);
    suite_add_tcase(suite, logs);
    suite_add_tcase(suite, clocks);
    return unit_run(suite);
}
