/* SPDX-License-Identifier: BSD-3-Clause
 * What is pure of the room steer/client: where a cluster is, and the outbox. */
#include "steer/client/client_private.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static ipp_err_t err;

/* ---- ssh URLs ---- */

START_TEST(ssh_urls_are_taken_apart)
{
    static const struct {
        const char *where, *login, *cluster_id;
        int port;
    } cases[] = { { "ssh://host", "host", "", 0 },
                  { "ssh://host/", "host", "", 0 },
                  { "ssh://me@host.example.org:2222/big one", "me@host.example.org", "big one",
                    2222 },
                  { "ssh://host:22", "host", "", 22 },
                  { "ssh://[fe80::1%eth0]:22/x", "fe80::1%eth0", "x", 22 },
                  { "ssh://me@[::1]", "me@::1", "", 0 },
                  { "ssh://me@host/./ada", "me@host", "./ada", 0 },
                  { "ssh://me@host:22//tmp/ada.json", "me@host", "/tmp/ada.json", 22 },
                  { "ssh://a\\b.c@host", "a\\b.c@host", "", 0 },
                  { "ssh://me@site.org@host", "me@site.org@host", "", 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ssh_url url;
        ck_assert(where_is_ssh(cases[i].where));
        ck_assert_msg(where_parse_ssh(cases[i].where, &url, &err) == 0, "%s", err.text);
        ck_assert_str_eq(url.login, cases[i].login);
        ck_assert_str_eq(url.cluster_id, cases[i].cluster_id);
        ck_assert_int_eq(url.port, cases[i].port);
        ssh_url_clear(&url);
    }
}
END_TEST

START_TEST(ssh_urls_that_would_mislead_ssh_are_refused)
{
    static const char *const bad[] = {
        "ssh://",        "ssh:///x",     "ssh://-oX=y",     "ssh://me@-oX=y",   "ssh://@host",
        "ssh://me@",     "ssh://host:",  "ssh://host:0",    "ssh://host:65536", "ssh://host:22x",
        "ssh://host:-1", "ssh://ho st",  "ssh://host;true", "ssh://$(true)",    "ssh://[::1",
        "ssh://me@:22",  "ssh://host\n", "ssh://[::1]x",    "ssh://host:+22",   "ssh://a:b@host"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ssh_url url;
        ck_assert_msg(where_parse_ssh(bad[i], &url, &err) < 0, "%s", bad[i]);
        ck_assert_int_eq(errno, EINVAL);
    }
    ck_assert(!where_is_ssh(NULL));
    ck_assert(!where_is_ssh("ssh"));
}
END_TEST

/* ---- files ---- */

static void check_path(const char *where, const char *profile, const char *path)
{
    char *found = where_path(where, profile, &err);
    ck_assert_msg(found != NULL, "%s", err.text);
    ck_assert_str_eq(found, path);
    free(found);
}

START_TEST(words_are_clusters_and_paths_are_files)
{
    setenv("IPYTHONDIR", "/i", 1);
    check_path(NULL, NULL, "/i/profile_default/security/ipcontroller-client.json");
    check_path("", "p", "/i/profile_p/security/ipcontroller-client.json");
    check_path("big", NULL, "/i/profile_default/security/ipcontroller-big-client.json");
    check_path("json", NULL, "/i/profile_default/security/ipcontroller-json-client.json");
    check_path("c.json", NULL, "c.json");
    check_path("./c", NULL, "./c");
    ck_assert_ptr_null(where_path(".hidden", NULL, &err));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- addresses ---- */

static void check_endpoint(char *interface, char *location, const char *endpoint)
{
    wire_connection_t c = { .interface = interface, .location = location };
    c.steering.port = 4711;
    char *found = where_tcp_endpoint(&c, &err);
    ck_assert_msg((found == NULL) == (endpoint == NULL), "%s", found ? found : err.text);
    if (endpoint)
        ck_assert_str_eq(found, endpoint);
    free(found);
}

START_TEST(endpoints_are_numbers)
{
    char here[256] = "";
    gethostname(here, sizeof here - 1);
    check_endpoint("tcp://127.0.0.1", "elsewhere", "tcp://127.0.0.1:4711");
    check_endpoint("tcp://10.1.2.3", "elsewhere", "tcp://10.1.2.3:4711");
    check_endpoint("tcp://[::1]", "elsewhere", "tcp://[::1]:4711");
    check_endpoint("tcp://0.0.0.0", here, "tcp://127.0.0.1:4711");
    check_endpoint("tcp://*", "10.9.8.7", "tcp://10.9.8.7:4711");
    check_endpoint("tcp://0.0.0.0", "no-such-host.invalid", NULL);
    ck_assert_int_eq(errno, EHOSTUNREACH);
}
END_TEST

/* ---- the outbox ---- */

static void add(struct outbox *outbox, size_t bytes)
{
    ipp_frame_t *frame = ipp_frame_alloc(bytes);
    struct outgoing *message = outgoing_create(WIRE_ENGINES, "h", "m", "c", &frame, 1);
    ipp_frame_unref(frame);
    ck_assert_ptr_nonnull(message);
    ck_assert_uint_eq(message->bytes, bytes + 3);
    outbox_add(outbox, message);
}

/* Sends what may be sent; the number of the last one. */
static uint64_t send_all(struct outbox *outbox)
{
    const struct outgoing *message;
    while ((message = outbox_next(outbox))) {
        ck_assert_uint_eq(message->sequence, outbox->sent + 1);
        outbox_sent(outbox);
    }
    return outbox->sent;
}

START_TEST(outbox_keeps_to_the_window)
{
    struct outbox outbox = { 0 };
    for (int i = 0; i < 5; i++)
        add(&outbox, (size_t)10 << 20);
    ck_assert_uint_eq(send_all(&outbox), 3);
    ck_assert(outbox_acknowledge(&outbox, 0));
    ck_assert_uint_eq(send_all(&outbox), 3);
    ck_assert(outbox_acknowledge(&outbox, 1));
    ck_assert_uint_eq(send_all(&outbox), 4);
    ck_assert(!outbox_acknowledge(&outbox, 5)); /* was not sent */
    ck_assert(outbox_acknowledge(&outbox, 4));
    ck_assert_uint_eq(send_all(&outbox), 5);
    ck_assert(outbox_acknowledge(&outbox, 5));
    ck_assert_ptr_null(outbox.first);
    ck_assert_uint_eq(outbox.unacknowledged, 0);
    add(&outbox, (size_t)100 << 20); /* alone it may be larger */
    add(&outbox, 1);
    ck_assert_uint_eq(send_all(&outbox), 6);
    ck_assert(outbox_acknowledge(&outbox, 6));
    ck_assert_uint_eq(send_all(&outbox), 7);
    outbox_clear(&outbox);
}
END_TEST

START_TEST(outbox_sends_again_what_was_not_received)
{
    struct outbox outbox = { 0 };
    for (int i = 0; i < 10; i++)
        add(&outbox, 100);
    ck_assert_uint_eq(send_all(&outbox), 10);
    ck_assert(outbox_acknowledge(&outbox, 3));
    ck_assert(!outbox_rewind(&outbox, 11));
    ck_assert(outbox_rewind(&outbox, 7));
    add(&outbox, 100);
    ck_assert_uint_eq(outbox_next(&outbox)->sequence, 8);
    ck_assert(!outbox_acknowledge(&outbox, 8)); /* not yet sent on this connection */
    ck_assert_uint_eq(send_all(&outbox), 11);
    ck_assert(outbox_rewind(&outbox, 11));
    ck_assert_ptr_null(outbox_next(&outbox));
    ck_assert_ptr_null(outbox.first);
    add(&outbox, 1);
    ck_assert_uint_eq(send_all(&outbox), 12);
    outbox_clear(&outbox);
}
END_TEST

static void count_free(void *data, void *arg)
{
    (void)data;
    ++*(int *)arg;
}

START_TEST(chunks_share_bytes_and_keep_their_order)
{
    static char bytes[9 << 20];
    int freed = 0;
    struct ipp_steer steer = { .session = "s" };
    struct outgoing *first = NULL, **tail = &first;
    ipp_frames_t frames = { 0 };
    ipp_frames_push_copy(&frames, "in", 2);
    ck_assert_uint_eq(chunks_keep(&frames), 1);
    ipp_frames_push(&frames, ipp_frame_adopt(bytes, sizeof bytes, count_free, &freed));
    ipp_frames_push_copy(&frames, "", 0);
    ipp_frames_push_copy(&frames, "tail", 4);
    ck_assert_uint_eq(chunks_keep(&frames), 1);
    ck_assert_int_eq(chunks_make(&steer, &frames, 1, "0", 5, &tail), 4);
    ipp_frames_clear(&frames);
    ck_assert_ptr_eq(ipp_frame_data(first->buffers[0].frame), bytes);
    ck_assert_ptr_eq(ipp_frame_data(first->next->buffers[0].frame), bytes + WIRE_CHUNK_BYTES);
    for (int i = 0; first; i++) {
        struct outgoing *next = first->next;
        ck_assert_int_eq(freed, i < 3 ? 0 : 1);
        if (i == 3)
            ck_assert_mem_eq(first->text + first->header_size + first->metadata_size +
                                 first->content_size,
                             "tail", 4);
        outgoing_destroy(first);
        first = next;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("where");
    TCase *where = tcase_create("where"), *outbox = tcase_create("outbox");
    tcase_add_test(where, ssh_urls_are_taken_apart);
    tcase_add_test(where, ssh_urls_that_would_mislead_ssh_are_refused);
    tcase_add_test(where, words_are_clusters_and_paths_are_files);
    tcase_add_test(where, endpoints_are_numbers);
    suite_add_tcase(suite, where);
    tcase_add_test(outbox, outbox_keeps_to_the_window);
    tcase_add_test(outbox, outbox_sends_again_what_was_not_received);
    tcase_add_test(outbox, chunks_share_bytes_and_keep_their_order);
    suite_add_tcase(suite, outbox);
    return unit_run(suite);
}
