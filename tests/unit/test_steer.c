/* SPDX-License-Identifier: BSD-3-Clause
 * libippsteer against a made-up bridge: sessions that survive, windows, chunks, and words for what
 * goes wrong. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_bridge.h"
#include "ippsteer.h"
#include "unit.h"
#include "wire/wire.h"

#define PATIENCE_MS 20000

static char file[128];
static struct fake_bridge *fake;
static ipp_steer_t *steer;
static ipp_error_t err;

static void set_up(void)
{
    unit_make_folder();
    snprintf(file, sizeof file, "%s/c.json", unit_folder);
}

static void tear_down(void)
{
    ipp_steer_close(steer);
    if (fake)
        fake_stop(fake);
    steer = NULL;
    fake = NULL;
    unit_remove_folder();
}

static void start(const struct fake_options *options)
{
    fake = fake_start(file, options);
    steer = ipp_steer_connect(file, NULL, &err);
    ck_assert_msg(steer != NULL, "%s", err.text);
}

static ipp_future_t *ask(const char *targets, const char *content)
{
    ipp_request_t request = { .type = "call_request", .targets = targets, .content = content };
    ipp_future_t *future = ipp_steer_send(steer, &request, &err);
    ck_assert_msg(future != NULL, "%s", err.text);
    return future;
}

static void wait_for(ipp_future_t *future)
{
    int result = ipp_future_wait(future, PATIENCE_MS, &err);
    ck_assert_msg(result == 1, "%d %s", result, err.text);
    ck_assert(ipp_future_done(future));
    ck_assert_ptr_null(ipp_future_failure(future));
}

/* Sends `count` numbered requests. */
static ipp_future_t **ask_many(int count)
{
    ipp_future_t **futures = calloc((size_t)count, sizeof *futures);
    for (int i = 0; i < count; i++) {
        char content[32];
        snprintf(content, sizeof content, "{\"n\":%d}", i);
        futures[i] = ask("0", content);
    }
    return futures;
}

/* Each has its own one answer. */
static void check_many(ipp_future_t **futures, int count)
{
    for (int i = 0; i < count; i++) {
        char content[32];
        snprintf(content, sizeof content, "{\"n\":%d}", i);
        wait_for(futures[i]);
        ck_assert_uint_eq(ipp_future_count(futures[i]), 1);
        ck_assert_str_eq(ipp_future_answer(futures[i], 0)->content, content);
        ipp_future_destroy(futures[i]);
    }
    free(futures);
    ck_assert_uint_eq(ipp_steer_outstanding(steer), 0);
}

/* Drives until the bridge has seen what is wanted. */
static void drive_until_accepted(uint64_t requests)
{
    int64_t end = ipp_now_ms() + PATIENCE_MS;
    while (fake_look(fake).requests < requests) {
        ck_assert_int_lt(ipp_now_ms(), end);
        ipp_steer_progress(steer, 10, NULL);
    }
}

/* ---- answers ---- */

START_TEST(request_has_its_answer)
{
    struct fake_options options = { .ipc = _i };
    start(&options);
    ipp_future_t *future = ask("0", "{\"x\": \"y\\u0000z\"}");
    ck_assert_uint_eq(ipp_steer_outstanding(steer), 1);
    wait_for(future);
    const ipp_answer_t *answer = ipp_future_answer(future, 0);
    ck_assert_str_eq(answer->content, "{\"x\": \"y\\u0000z\"}");
    ck_assert_str_eq(answer->metadata, "{\"engine\": \"uuid\"}");
    ck_assert_int_eq(answer->engine, 0);
    ck_assert_int_eq(answer->status, IPP_OK);
    ipp_future_destroy(future);
}
END_TEST

START_TEST(answers_of_all_are_in_order)
{
    start(&(struct fake_options){ 0 });
    ipp_future_t *future = ask(NULL, NULL);
    wait_for(future);
    ck_assert_uint_eq(ipp_future_count(future), 3);
    ck_assert_int_eq(ipp_future_answer(future, 0)->engine, 0);
    ck_assert_int_eq(ipp_future_answer(future, 1)->engine, 9);
    ck_assert_int_eq(ipp_future_answer(future, 2)->engine, 10);
    ipp_future_destroy(future);
    size_t count;
    const int *engines = ipp_steer_engines(steer, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(engines[1], 9);
    ck_assert_int_eq(engines[2], 10);
}
END_TEST

/* ---- resuming ---- */

START_TEST(answers_lost_on_the_way_come_again)
{
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_t **futures = ask_many(200);
    drive_until_accepted(200);
    fake_cut(fake);
    fake_mute(fake, false);
    check_many(futures, 200);
    ck_assert_uint_eq(fake_look(fake).requests, 200);
    ck_assert_uint_eq(fake_look(fake).attached, 2);
}
END_TEST

START_TEST(requests_lost_on_the_way_go_again)
{
    start(&(struct fake_options){ 0 });
    fake_deaf(fake, true);
    ipp_future_t **futures = ask_many(200);
    ck_assert_int_eq(ipp_steer_progress(steer, 20, &err), 0);
    fake_cut(fake);
    fake_deaf(fake, false);
    check_many(futures, 200);
    ck_assert_uint_eq(fake_look(fake).requests, 200);
}
END_TEST

START_TEST(nothing_is_lost_by_many_cuts)
{
    struct fake_options options = { .ipc = _i };
    start(&options);
    for (int round = 0; round < 10; round++) {
        ipp_future_t **futures = ask_many(1000);
        for (int i = 0; i < round * 20; i++)
            ipp_steer_progress(steer, 0, NULL);
        fake_cut(fake);
        check_many(futures, 1000);
    }
    ck_assert_uint_eq(fake_look(fake).requests, 10000);
}
END_TEST

static TCase *answers_case(void)
{
    TCase *test = tcase_create("answers");
    tcase_add_checked_fixture(test, set_up, tear_down);
    tcase_add_loop_test(test, request_has_its_answer, 0, 2);
    tcase_add_test(test, answers_of_all_are_in_order);
    return test;
}

static TCase *resume_case(void)
{
    TCase *test = tcase_create("resume");
    tcase_add_checked_fixture(test, set_up, tear_down);
    tcase_set_timeout(test, 60);
    tcase_add_test(test, answers_lost_on_the_way_come_again);
    tcase_add_test(test, requests_lost_on_the_way_go_again);
    tcase_add_loop_test(test, nothing_is_lost_by_many_cuts, 0, 2);
    return test;
}

int main(void)
{
    Suite *suite = suite_create("steer");
    suite_add_tcase(suite, answers_case());
    suite_add_tcase(suite, resume_case());
    return unit_run(suite);
}
