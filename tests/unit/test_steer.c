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
static atomic_int releases;

static void set_up(void)
{
    unit_make_folder();
    atomic_store(&releases, 0);
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
    int count = unit_rounds(1000);
    start(&options);
    for (int round = 0; round < 10; round++) {
        ipp_future_t **futures = ask_many(count);
        for (int i = 0; i < round * 20; i++)
            ipp_steer_progress(steer, 0, NULL);
        fake_cut(fake);
        check_many(futures, count);
    }
    ck_assert_uint_eq(fake_look(fake).requests, 10 * (size_t)count);
}
END_TEST

/* ---- duplicates, acknowledgements, the window ---- */

START_TEST(messages_that_come_twice_are_taken_once)
{
    start(&(struct fake_options){ 0 });
    ipp_future_t **futures = ask_many(20);
    drive_until_accepted(20);
    fake_repeat(fake);
    check_many(futures, 20);
    ipp_future_t *last = ask("0", NULL);
    wait_for(last);
    ck_assert_uint_eq(ipp_future_count(last), 1);
    ck_assert_uint_eq(fake_look(fake).attached, 1);
    ipp_future_destroy(last);
}
END_TEST

static void count_output(const ipp_output_t *output, void *arg)
{
    int *count = arg;
    ck_assert_str_eq(output->type, "stream");
    ck_assert_ptr_nonnull(strstr(output->content, "printed"));
    ck_assert_uint_eq(output->lost, 0);
    ++*count;
}

START_TEST(what_arrives_is_acknowledged)
{
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    int printed = 0;
    ipp_future_t *futures[300];
    for (int i = 0; i < 300; i++)
        futures[i] = ipp_steer_execute(steer, "0", "x", count_output, &printed, &err);
    drive_until_accepted(300);
    fake_mute(fake, false); /* two messages each */
    for (int i = 0; i < 300; i++) {
        wait_for(futures[i]);
        ipp_future_destroy(futures[i]);
    }
    ck_assert_int_eq(printed, 300);
    int64_t end = ipp_now_ms() + PATIENCE_MS;
    while (fake_look(fake).acknowledged < 600 - 64)
        ck_assert_int_lt(ipp_now_ms(), end);
    ck_assert_uint_ge(fake_look(fake).acks, 8);
    ck_assert_uint_le(fake_look(fake).acks, 600 / 64 + 1);
}
END_TEST

static ipp_future_t *ask_with(const char *targets, ipp_buffer_t *buffers, size_t count)
{
    ipp_request_t request = {
        .type = "call_request", .targets = targets, .buffers = buffers, .buffer_count = count
    };
    ipp_future_t *future = ipp_steer_send(steer, &request, &err);
    ck_assert_msg(future != NULL, "%s", err.text);
    return future;
}

/* The bridge itself checks that no more than the window is on its way. */
START_TEST(no_more_than_the_window_is_on_its_way)
{
    enum { COUNT = 20 };
    static char bytes[4 << 20];
    ipp_future_t *futures[COUNT];
    start(&(struct fake_options){ .ipc = true });
    fake_mute(fake, true);
    for (int i = 0; i < COUNT; i++)
        futures[i] = ask_with("0", &(ipp_buffer_t){ .data = bytes, .size = sizeof bytes }, 1);
    drive_until_accepted(7);
    ck_assert_int_eq(ipp_steer_progress(steer, 50, &err), 0);
    ck_assert_uint_eq(fake_look(fake).requests, 7); /* an eighth is a little more than 32 MiB */
    fake_mute(fake, false);
    for (int i = 0; i < COUNT; i++) {
        wait_for(futures[i]);
        ck_assert_uint_eq(ipp_future_answer(futures[i], 0)->buffers[0].size, sizeof bytes);
        ipp_future_destroy(futures[i]);
    }
}
END_TEST

/* ---- buffers ---- */

static void count_release(void *data, void *arg)
{
    ck_assert_ptr_eq(data, arg);
    atomic_fetch_add(&releases, 1);
}

static ipp_buffer_t lent(void *data, size_t size)
{
    return (ipp_buffer_t){ .data = data, .size = size, .release = count_release, .arg = data };
}

static void await_releases(int count)
{
    int64_t end = ipp_now_ms() + PATIENCE_MS;
    while (atomic_load(&releases) < count)
        ck_assert_int_lt(ipp_now_ms(), end);
    ck_assert_int_eq(atomic_load(&releases), count);
}

START_TEST(buffers_come_back_as_they_were)
{
    struct fake_options options = { .ipc = _i };
    char small[] = "small", large[100000];
    memset(large, 'l', sizeof large);
    start(&options);
    ipp_buffer_t buffers[] = { lent(small, 5),
                               { .data = large, .size = sizeof large },
                               lent(large, sizeof large),
                               { .data = NULL, .size = 0 } };
    ipp_future_t *future = ask_with("0", buffers, 4);
    ck_assert_int_eq(atomic_load(&releases), 1); /* the small one was copied */
    wait_for(future);
    const ipp_answer_t *answer = ipp_future_answer(future, 0);
    ck_assert_uint_eq(answer->buffer_count, 4);
    ck_assert_mem_eq(answer->buffers[0].data, "small", 5);
    ck_assert_mem_eq(answer->buffers[1].data, large, sizeof large);
    ck_assert_mem_eq(answer->buffers[2].data, large, sizeof large);
    ck_assert_uint_eq(answer->buffers[3].size, 0);
    ipp_future_destroy(future);
    await_releases(2);
}
END_TEST

START_TEST(large_buffers_go_in_chunks_and_are_released_once)
{
    struct fake_options options = { .ipc = _i };
    size_t size = ((size_t)50 << 20) + 12345;
    char *large = malloc(size), small[] = "behind";
    memset(large, 7, size);
    start(&options);
    ipp_buffer_t buffers[] = { { .data = "first", .size = 5 },
                               lent(large, size),
                               lent(small, sizeof small) };
    ipp_future_t *future = ask_with("0", buffers, 3);
    for (int i = 0; i < 3; i++)
        ipp_steer_progress(steer, 1, NULL);
    fake_cut(fake); /* and again those that were on their way */
    wait_for(future);
    ck_assert_uint_eq(ipp_future_answer(future, 0)->buffer_count, 1);
    struct fake_seen seen = fake_look(fake);
    ck_assert_uint_eq(seen.chunk_bytes, size + sizeof small);
    ck_assert_uint_eq(seen.chunks, size / WIRE_CHUNK_BYTES + 2);
    ipp_future_destroy(future);
    await_releases(2);
    free(large);
}
END_TEST

START_TEST(buffers_of_a_refused_request_are_released)
{
    char bytes[10000];
    start(&(struct fake_options){ 0 });
    ipp_buffer_t buffers[] = { lent(bytes, sizeof bytes), lent(bytes, 1) };
    const char *contents[] = { "[]", "{", "{}", "{}" };
    const char *channels[] = { NULL, NULL, "mux", "nowhere" };
    for (int i = 0; i < 4; i++) {
        ipp_request_t request = { .type = "call_request",
                                  .channel = channels[i],
                                  .content = contents[i],
                                  .buffers = buffers,
                                  .buffer_count = 2 };
        ck_assert_ptr_null(ipp_steer_send(steer, &request, &err));
        ck_assert_int_eq(errno, EINVAL);
        await_releases(2 * i + 2);
    }
    ipp_future_t *future = ask("0", NULL); /* and nothing of them was sent */
    wait_for(future);
    ipp_future_destroy(future);
    ck_assert_uint_eq(fake_look(fake).requests, 1);
}
END_TEST

START_TEST(buffers_are_released_by_closing)
{
    size_t size = (size_t)40 << 20;
    char *large = malloc(size);
    memset(large, 7, size);
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_destroy(ask_with("0", &(ipp_buffer_t){ large, size, count_release, large }, 1));
    fake_close(fake);
    ipp_steer_close(steer);
    steer = NULL;
    await_releases(1);
    free(large);
}
END_TEST

START_TEST(arrays_are_checked_and_read)
{
    start(&(struct fake_options){ 0 });
    double values[6] = { 1, 2, 3, 4, 5, 6 };
    int64_t shape[] = { 2, 3 };
    ipp_array_t array = { "<f8", 2, shape, { .data = values, .size = sizeof values } };
    ipp_future_t *future = ipp_steer_push(steer, "0", "x", &array, &err);
    ck_assert_msg(future != NULL, "%s", err.text);
    wait_for(future); /* an echo, and so what a pull would have given */
    ipp_array_t back;
    ck_assert_int_eq(ipp_answer_array(ipp_future_answer(future, 0), &back, &err), 0);
    ck_assert_str_eq(back.dtype, "<f8");
    ck_assert_int_eq(back.ndims, 2);
    ck_assert_int_eq(back.shape[1], 3);
    ck_assert_mem_eq(back.bytes.data, values, sizeof values);
    ipp_future_destroy(future);
    static const char *const bad[] = { "<f4", "f", "|O", "", "<f-8", "[]", "[[\"a\", \"<q8\"]]" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        array.dtype = bad[i];
        array.bytes.release = count_release;
        array.bytes.arg = values;
        ck_assert_msg(!ipp_steer_push(steer, "0", "x", &array, &err), "%s", bad[i]);
        ck_assert_int_eq(errno, EINVAL);
        await_releases((int)i + 1);
    }
    array = (ipp_array_t){ "[[\"a\", \"<f4\"], [\"b\", \"|S2\", [2]]]",
                           2,
                           shape,
                           { .data = values, .size = sizeof values } };
    future = ipp_steer_push(steer, "0", "x", &array, &err);
    ck_assert_msg(future != NULL, "%s", err.text);
    wait_for(future);
    ipp_future_destroy(future);
}
END_TEST

/* ---- futures ---- */

static void count_done(ipp_future_t *future, void *arg)
{
    ++*(int *)arg;
    ck_assert(ipp_future_done(future));
    ipp_future_destroy(future);
}

START_TEST(futures_may_be_destroyed_at_any_time)
{
    int done = 0;
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_destroy(ask(NULL, NULL));
    ipp_future_on_done(ask(NULL, NULL), count_done, &done);
    ipp_future_destroy(NULL);
    ck_assert_uint_eq(ipp_steer_outstanding(steer), 2);
    fake_mute(fake, false);
    ipp_future_t *last = ask("0", NULL);
    wait_for(last);
    ck_assert_int_eq(done, 1);
    ck_assert_uint_eq(ipp_steer_outstanding(steer), 0);
    ipp_future_on_done(last, count_done, &done);
    ck_assert_int_eq(done, 2);
}
END_TEST

START_TEST(status_is_told)
{
    static const struct {
        const char *metadata;
        enum ipp_status status;
    } cases[] = { { "{\"fail\": 1}", IPP_ERROR }, { "{\"abort\": 1}", IPP_ABORTED } };
    start(&(struct fake_options){ 0 });
    for (int i = 0; i < 2; i++) {
        ipp_request_t request = { .type = "x", .targets = "0", .metadata = cases[i].metadata };
        ipp_future_t *future = ipp_steer_send(steer, &request, &err);
        wait_for(future);
        ck_assert_int_eq(ipp_future_answer(future, 0)->status, cases[i].status);
        ipp_future_destroy(future);
    }
}
END_TEST

START_TEST(cancelling_names_the_request)
{
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    ck_assert_int_eq(ipp_future_cancel(future, &err), 0);
    drive_until_accepted(2);
    fake_mute(fake, false);
    wait_for(future);
    ck_assert_int_eq(ipp_future_interrupt(future, &err), 0); /* too late, and no matter */
    ipp_future_destroy(future);
    ck_assert_uint_eq(fake_look(fake).requests, 2);
}
END_TEST

/* ---- driving ---- */

static void *wake_soon(void *arg)
{
    struct pollfd fd = { .fd = *(int *)arg, .events = POLLIN };
    poll(&fd, 1, 20); /* most likely the other thread waits by now; it need not */
    ipp_steer_wake(steer);
    return NULL;
}

START_TEST(another_thread_wakes)
{
    pthread_t thread;
    int none = -1;
    start(&(struct fake_options){ 0 });
    ipp_steer_wake(steer);
    ck_assert_int_eq(ipp_steer_progress(steer, -1, &err), 2);
    ck_assert_int_eq(ipp_steer_progress(steer, 0, &err), 0);
    pthread_create(&thread, NULL, wake_soon, &none);
    ck_assert_int_eq(ipp_steer_progress(steer, -1, &err), 2);
    pthread_join(thread, NULL);
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    pthread_create(&thread, NULL, wake_soon, &none);
    ck_assert_int_eq(ipp_future_wait(future, -1, &err), 0);
    pthread_join(thread, NULL);
    ipp_future_destroy(future);
}
END_TEST

/* As an event loop does: never a call that waits, and none but when the descriptor says so. */
START_TEST(descriptor_tells_when_to_drive)
{
    struct fake_options options = { .ipc = _i };
    start(&options);
    for (int round = 0; round < unit_rounds(300); round++) {
        ipp_future_t *futures[5];
        for (int i = 0; i < 5; i++)
            futures[i] = ask("0", NULL);
        while (ipp_steer_outstanding(steer) > 0) {
            struct pollfd fd = { .fd = ipp_steer_fd(steer), .events = POLLIN };
            int limit = ipp_steer_timeout(steer);
            ck_assert_int_eq(limit, -1);
            ck_assert_msg(poll(&fd, 1, PATIENCE_MS) == 1, "round %d hangs", round);
            ck_assert_int_ge(ipp_steer_progress(steer, 0, &err), 0);
        }
        for (int i = 0; i < 5; i++)
            ipp_future_destroy(futures[i]);
    }
}
END_TEST

START_TEST(waiting_ends_in_time)
{
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    int64_t begin = ipp_now_ms();
    ck_assert_int_eq(ipp_future_wait(future, 60, &err), 0);
    ck_assert_int_ge(ipp_now_ms() - begin, 60);
    ck_assert_int_eq(ipp_future_wait(future, 0, &err), 0);
    ipp_future_destroy(future);
}
END_TEST

/* ---- events ---- */

static void copy_event(const ipp_output_t *output, void *arg)
{
    if (strcmp(output->type, "event") == 0)
        snprintf(arg, 100, "%s", output->content);
}

START_TEST(engines_that_go_are_taken_off)
{
    char event[100] = "";
    size_t count;
    start(&(struct fake_options){ 0 });
    ipp_future_t *future = ipp_steer_subscribe(steer, "none", true, copy_event, event, &err);
    wait_for(future);
    ipp_future_destroy(future);
    fake_event(fake, "{\"event\": \"engine_lost\", \"id\": 9}");
    while (!event[0])
        ck_assert_int_ge(ipp_steer_progress(steer, PATIENCE_MS, &err), 1);
    ck_assert_str_eq(event, "{\"event\": \"engine_lost\", \"id\": 9}");
    const int *engines = ipp_steer_engines(steer, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(engines[1], 10);
    ck_assert_ptr_null(strstr(ipp_steer_about(steer), "\"9\""));
}
END_TEST

static void check_dead(ipp_future_t *future, int code, const char *words)
{
    while (!ipp_future_done(future))
        ipp_steer_progress(steer, PATIENCE_MS, NULL);
    ck_assert_msg(strstr(ipp_future_failure(future), words) != NULL, "%s",
                  ipp_future_failure(future));
    ck_assert_int_eq(ipp_future_wait(future, 0, &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_int_eq(ipp_steer_progress(steer, -1, &err), -1);
    ck_assert_int_eq(errno, code);
    ck_assert_ptr_nonnull(strstr(err.text, words));
    struct pollfd fd = { .fd = ipp_steer_fd(steer), .events = POLLIN };
    ck_assert_int_eq(poll(&fd, 1, 0), 1); /* event loops come to hear of it */
    ipp_request_t request = { .type = "x" };
    ck_assert_ptr_null(ipp_steer_send(steer, &request, &err));
    ck_assert_int_eq(errno, code);
    ipp_future_destroy(future);
}

START_TEST(shutdown_fails_what_is_awaited)
{
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    drive_until_accepted(1);
    fake_mute(fake, false);
    fake_deaf(fake, true);
    ipp_future_t *never = ask("0", NULL);
    fake_event(fake, "{\"event\": \"shutdown\"}");
    check_dead(never, ECONNRESET, "shut down");
    ck_assert_ptr_null(ipp_future_failure(future)); /* its answer came before */
    ipp_future_destroy(future);
}
END_TEST

START_TEST(forgotten_session_fails_what_is_awaited)
{
    start(&(struct fake_options){ .forgetful = true });
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    drive_until_accepted(1);
    fake_cut(fake);
    check_dead(future, ECONNRESET, "forgotten this session");
}
END_TEST

START_TEST(revoked_key_fails_what_is_awaited)
{
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    drive_until_accepted(1);
    fake_disown(fake, "PermissionError");
    check_dead(future, EACCES, "PermissionError: unasked");
}
END_TEST

START_TEST(connection_that_is_not_known_is_made_again)
{
    start(&(struct fake_options){ 0 });
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    drive_until_accepted(1);
    fake_disown(fake, "SessionError");
    wait_for(future); /* attaching brings what was kept */
    ck_assert_uint_eq(fake_look(fake).attached, 2);
    ipp_future_destroy(future);
}
END_TEST

START_TEST(cluster_that_dies_fails_what_is_awaited)
{
    start(&(struct fake_options){ .ipc = true });
    fake_mute(fake, true);
    ipp_future_t *future = ask("0", NULL);
    drive_until_accepted(1);
    fake_close(fake);
    check_dead(future, ECONNRESET, "nobody listens there: the cluster is gone");
}
END_TEST

START_TEST(closing_detaches)
{
    start(&(struct fake_options){ 0 });
    ipp_future_destroy(ask("0", NULL));
    ipp_steer_close(steer);
    steer = NULL;
    ck_assert(fake_look(fake).detached);
    ck_assert_uint_eq(fake_look(fake).requests, 2);
}
END_TEST

/* ---- no connection ---- */

static void check_refused(const char *where, int timeout_ms, int code, const char *words)
{
    ipp_steer_options_t options = { .timeout_ms = timeout_ms };
    int64_t begin = ipp_now_ms();
    ck_assert_ptr_null(ipp_steer_connect(where, &options, &err));
    ck_assert_msg(errno == code, "errno %d: %s", errno, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
    ck_assert_int_lt(ipp_now_ms() - begin, 5000);
}

START_TEST(wrong_keys_are_told_in_words)
{
    fake = fake_start(file, &(struct fake_options){ .refuse_key = true });
    check_refused(file, 0, EACCES, "refuses this key");
    fake_stop(fake);
    fake = fake_start(file, &(struct fake_options){ .wrong_key = true });
    check_refused(file, 0, ECONNREFUSED, "is not the cluster of this file");
}
END_TEST

START_TEST(other_protocols_are_told_in_words)
{
    fake = fake_start(file, &(struct fake_options){ .protocol_in_file = 7 });
    check_refused(file, 0, EPROTO, "protocol 7, this library 1: the library is older");
    fake_stop(fake);
    fake = fake_start(file, &(struct fake_options){ .attach_error = "ProtocolError" });
    check_refused(file, 0, EPROTO, "ProtocolError: as the test wants it");
    fake_stop(fake);
    fake = fake_start(file, &(struct fake_options){ .attach_error = "PermissionError" });
    check_refused(file, 0, EACCES, "PermissionError");
}
END_TEST

START_TEST(clusters_that_are_gone_are_told_in_words)
{
    struct fake_options options = { .ipc = _i };
    fake = fake_start(file, &options);
    fake_close(fake);
    check_refused(file, 0, ECONNREFUSED, "the cluster is gone");
    fake_stop(fake);
    fake = fake_start(file, &(struct fake_options){ .location = "far.example.org" });
    fake_close(fake);
    check_refused(file, 0, ECONNREFUSED,
                  "or reached through ssh to its host only: far.example.org");
}
END_TEST

START_TEST(who_does_not_answer_is_told_in_words)
{
    fake = fake_start(file, &(struct fake_options){ 0 });
    fake_deaf(fake, true);
    check_refused(file, 300, ETIMEDOUT, "no answer at tcp://127.0.0.1:");
}
END_TEST

START_TEST(missing_and_foreign_files_are_told_in_words)
{
    check_refused(file, 0, ENOENT, "c.json");
    FILE *out = fopen(file, "w");
    fputs("{\"interface\": \"tcp://127.0.0.1\", \"location\": \"x\"}", out);
    fclose(out);
    check_refused(file, 0, EBADMSG, "another program's file?");
    check_refused("../x", 0, ENOENT, "../x");
    check_refused(".x", 0, EINVAL, "dot");
    check_refused("ssh://-oProxyCommand=x", 0, EINVAL, "not ssh://[USER@]HOST");
}
END_TEST

/* ---- suites ---- */

static void add_case(Suite *suite, const char *name, const TTest *const *tests, const int *loops)
{
    TCase *test = tcase_create(name);
    tcase_add_checked_fixture(test, set_up, tear_down);
    tcase_set_timeout(test, 60);
    for (int i = 0; tests[i]; i++)
        tcase_add_loop_test(test, tests[i], 0, loops[i]);
    suite_add_tcase(suite, test);
}

/* 2: over TCP with keys, and over a local socket without. */
#define CASE(name, tests, loops) add_case(suite, name, (const TTest *const[])tests, (int[])loops)
#define LIST(...)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

int main(void)
{
    Suite *suite = suite_create("steer");
    CASE("answers", LIST(request_has_its_answer, answers_of_all_are_in_order, NULL), LIST(2, 1));
    CASE("resume",
         LIST(answers_lost_on_the_way_come_again, requests_lost_on_the_way_go_again,
              nothing_is_lost_by_many_cuts, NULL),
         LIST(1, 1, 2));
    CASE("window",
         LIST(messages_that_come_twice_are_taken_once, what_arrives_is_acknowledged,
              no_more_than_the_window_is_on_its_way, NULL),
         LIST(1, 1, 1));
    CASE("buffers",
         LIST(buffers_come_back_as_they_were, large_buffers_go_in_chunks_and_are_released_once,
              buffers_of_a_refused_request_are_released, buffers_are_released_by_closing,
              arrays_are_checked_and_read, NULL),
         LIST(2, 2, 1, 1, 1));
    CASE("futures",
         LIST(futures_may_be_destroyed_at_any_time, status_is_told, cancelling_names_the_request,
              NULL),
         LIST(1, 1, 1));
    CASE("driving",
         LIST(another_thread_wakes, descriptor_tells_when_to_drive, waiting_ends_in_time, NULL),
         LIST(1, 2, 1));
    CASE("events",
         LIST(engines_that_go_are_taken_off, shutdown_fails_what_is_awaited,
              forgotten_session_fails_what_is_awaited, cluster_that_dies_fails_what_is_awaited,
              revoked_key_fails_what_is_awaited, connection_that_is_not_known_is_made_again,
              closing_detaches, NULL),
         LIST(1, 1, 1, 1, 1, 1, 1));
    CASE("refusals",
         LIST(wrong_keys_are_told_in_words, other_protocols_are_told_in_words,
              clusters_that_are_gone_are_told_in_words, who_does_not_answer_is_told_in_words,
              missing_and_foreign_files_are_told_in_words, NULL),
         LIST(1, 1, 2, 1, 1));
    return unit_run(suite);
}
