/* SPDX-License-Identifier: BSD-3-Clause
 * Link between real ranks: every size, both lanes, one to one and one to many, order, and a death
 * on the way. Run by mpirun with 2 to 8 ranks; each rank runs the whole suite. */
#include <check.h>
#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link/link.h"

#define GIVE_UP_MS 60000

struct inbox {
    int next[LINK_LANES][64]; /* number awaited from each rank */
    int received;
    size_t bytes;
    int lost;
};

static link_t *the_link;
static int rank, size;
static struct inbox inbox;

static unsigned char pattern(int number, size_t i)
{
    return (unsigned char)((size_t)number * 31 + i * 7 + (i >> 12));
}

static ipp_frame_t *patterned(int number, size_t bytes)
{
    ipp_frame_t *frame = ipp_frame_alloc(bytes);
    ck_assert_ptr_nonnull(frame);
    unsigned char *data = ipp_frame_data(frame);
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(number, i);
    return frame;
}

static void check_frame(ipp_frame_t *frame, int number)
{
    const unsigned char *data = ipp_frame_data(frame);
    for (size_t i = 0; i < ipp_frame_size(frame); i++)
        if (data[i] != pattern(number, i))
            ck_abort_msg("byte %zu of message %d is wrong", i, number);
}

/* Messages are numbered by `request` for each sender and lane; each frame carries the number's
 * pattern. */
static void take(void *arg, struct link_message *msg)
{
    (void)arg;
    int *next = &inbox.next[msg->lane][msg->from];
    ck_assert_int_eq((int)msg->envelope.request, *next);
    (*next)++;
    for (size_t i = 0; i < msg->frames.count; i++) {
        check_frame(msg->frames.at[i], (int)msg->envelope.request);
        inbox.bytes += ipp_frame_size(msg->frames.at[i]);
    }
    inbox.received++;
}

static void note_lost(void *arg, int who)
{
    (void)arg;
    inbox.lost = who;
    link_mark_lost(the_link, who);
}

static void wait_for(const int *counter, int count)
{
    int64_t deadline = ipp_now_ms() + GIVE_UP_MS;
    while (*counter < count) {
        if (ipp_now_ms() > deadline)
            ck_abort_msg("rank %d: %d of %d after %d ms", rank, *counter, count, GIVE_UP_MS);
        link_wait(the_link, 1000);
    }
}

static void setup(void)
{
    ipp_err_t err = { "" };
    struct link_handlers handlers = { .deliver = take, .lost = note_lost };
    memset(&inbox, 0, sizeof inbox);
    inbox.lost = -1;
    the_link = link_create(&err);
    ck_assert_msg(the_link != NULL, "%s", err.text);
    link_set_handlers(the_link, &handlers, NULL);
}

static void teardown(void)
{
    ck_assert(link_drain(the_link, GIVE_UP_MS));
    MPI_Barrier(MPI_COMM_WORLD);
    link_leaving(the_link);
    link_destroy(the_link);
    the_link = NULL;
}

static void send_numbered(int to, enum link_lane lane, int number, const size_t *sizes,
                          size_t count)
{
    struct link_envelope envelope = { .kind = LINK_REQUEST, .request = (uint64_t)number };
    ipp_frames_t frames = { 0 };
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(ipp_frames_push(&frames, patterned(number, sizes[i])), 0);
    ck_assert_int_eq(link_send(the_link, to, lane, &envelope, &frames), 0);
    ck_assert_uint_eq(frames.count, 0);
}

START_TEST(every_size_arrives_in_order)
{
    static const size_t sizes[] = { 0,       1,       16384,         16385,
                                    100,     1 << 20, (1 << 20) + 1, 65536,
                                    16384,   3 << 20, (9 << 20) + 5, 3,
                                    40 << 20 };
    enum { count = sizeof sizes / sizeof *sizes };
    for (int to = 0; to < size; to++)
        for (int i = 0; i < count; i++) {
            if (to == rank)
                continue;
            const size_t three[] = { sizes[i], 17, sizes[(i + 5) % count] };
            send_numbered(to, LINK_DATA, i, three, 3);
            send_numbered(to, LINK_CONTROL, i, three + 1, (size_t)i % 2);
        }
    wait_for(&inbox.received, (size - 1) * count * 2);
}
END_TEST

START_TEST(small_ones_pass_bulk_on_the_other_lane)
{
    const size_t big = 64 << 20, small = 8;
    if (rank == 0) {
        send_numbered(1, LINK_DATA, 0, &big, 1);
        send_numbered(1, LINK_CONTROL, 0, &small, 1);
    } else if (rank == 1) {
        int64_t deadline = ipp_now_ms() + GIVE_UP_MS;
        while (inbox.next[LINK_CONTROL][0] == 0 && ipp_now_ms() < deadline)
            link_wait(the_link, 1000);
        ck_assert_int_eq(inbox.next[LINK_CONTROL][0], 1);
        wait_for(&inbox.received, 2);
    }
}
END_TEST

START_TEST(one_to_many_keeps_the_order_with_one_to_one)
{
    enum { rounds = 40 };
    if (rank != 0) {
        wait_for(&inbox.received, 2 * rounds);
        return;
    }
    int all[64];
    for (int i = 1; i < size; i++)
        all[i - 1] = i;
    for (int round = 0; round < rounds; round++) {
        struct link_envelope envelope = { .kind = LINK_REQUEST, .request = (uint64_t)(2 * round) };
        ipp_frames_t frames = { 0 };
        size_t bytes = round % 10 == 9 ? 5 << 20 : round % 3 == 0 ? 40000 : 100;
        ck_assert_int_eq(ipp_frames_push(&frames, patterned(2 * round, bytes)), 0);
        ck_assert_int_eq(
            link_multicast(the_link, all, (size_t)size - 1, LINK_DATA, &envelope, &frames), 0);
        for (int to = 1; to < size; to++)
            send_numbered(to, LINK_DATA, 2 * round + 1, &(size_t){ 50 }, 1);
        link_progress(the_link);
    }
}
END_TEST

static void send_burst(int first, int end)
{
    const size_t bytes = 100;
    for (int number = first; number < end; number++)
        for (int to = 1; to < size; to++)
            send_numbered(to, LINK_DATA, number, &bytes, 1);
}

/* Where bells find no room the receiver must look of its own accord, and not after a second. */
START_TEST(more_messages_than_room_for_bells)
{
    const int ends[] = { 1, 50, 51, 100 };
    for (int i = 0; i < 4; i++) {
        if (rank == 0)
            send_burst(i > 0 ? ends[i - 1] : 0, ends[i]);
        MPI_Barrier(MPI_COMM_WORLD);
        int64_t began_ms = ipp_now_ms();
        if (rank > 0)
            wait_for(&inbox.received, ends[i]);
        ck_assert_int_lt(ipp_now_ms() - began_ms, 500);
        link_wait(the_link, 0); /* nothing is left of what bells told of */
        MPI_Barrier(MPI_COMM_WORLD);
    }
}
END_TEST

START_TEST(more_than_2_31_bytes_in_one_frame)
{
    const size_t bytes = ((size_t)1 << 31) + 12345;
    if (rank == 0) {
        struct link_envelope envelope = { .kind = LINK_REQUEST };
        ipp_frame_t *frame = ipp_frame_alloc(bytes);
        unsigned char *data = ipp_frame_data(frame);
        memset(data, 0, bytes);
        data[0] = 1, data[bytes - 1] = 2, data[(size_t)1 << 31] = 3;
        ipp_frames_t frames = { 0 };
        ck_assert_int_eq(ipp_frames_push(&frames, frame), 0);
        ck_assert_int_eq(link_send(the_link, 1, LINK_DATA, &envelope, &frames), 0);
    } else if (rank == 1) {
        wait_for(&inbox.received, 1);
        ck_assert_uint_eq(inbox.bytes, bytes);
    }
}
END_TEST

/* A frame too large for the pattern check: looked at in three places only. */
static void take_huge(void *arg, struct link_message *msg)
{
    (void)arg;
    const unsigned char *data = ipp_frame_data(msg->frames.at[0]);
    size_t bytes = ipp_frame_size(msg->frames.at[0]);
    ck_assert_int_eq(data[0], 1);
    ck_assert_int_eq(data[bytes - 1], 2);
    ck_assert_int_eq(data[(size_t)1 << 31], 3);
    inbox.bytes += bytes;
    inbox.received++;
}

static void setup_huge(void)
{
    ipp_err_t err = { "" };
    struct link_handlers handlers = { .deliver = take_huge, .lost = note_lost };
    memset(&inbox, 0, sizeof inbox);
    the_link = link_create(&err);
    ck_assert_msg(the_link != NULL, "%s", err.text);
    link_set_handlers(the_link, &handlers, NULL);
}

START_TEST(bad_ranks_are_refused)
{
    struct link_envelope envelope = { .kind = LINK_REQUEST };
    ipp_frames_t frames = { 0 };
    ck_assert_int_eq(ipp_frames_push_copy(&frames, "x", 1), 0);
    ck_assert_int_eq(link_send(the_link, size, LINK_DATA, &envelope, &frames), -1);
    ck_assert_uint_eq(frames.count, 0);
}
END_TEST

static Suite *link_suite(void)
{
    Suite *suite = suite_create("link");
    TCase *cases = tcase_create("ranks");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, every_size_arrives_in_order);
    tcase_add_test(cases, small_ones_pass_bulk_on_the_other_lane);
    tcase_add_test(cases, one_to_many_keeps_the_order_with_one_to_one);
    tcase_add_test(cases, more_messages_than_room_for_bells);
    tcase_add_test(cases, bad_ranks_are_refused);
    suite_add_tcase(suite, cases);
    TCase *huge = tcase_create("huge");
    tcase_add_checked_fixture(huge, setup_huge, teardown);
    tcase_add_test(huge, more_than_2_31_bytes_in_one_frame);
    suite_add_tcase(suite, huge);
    return suite;
}

int main(int argc, char **argv)
{
    int provided;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    SRunner *runner = srunner_create(link_suite());
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, rank == 0 ? CK_NORMAL : CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    if (failed) {
        srunner_print(runner, CK_NORMAL);
        MPI_Abort(MPI_COMM_WORLD, 1); /* the others may wait for this rank for ever */
    }
    srunner_free(runner);
    MPI_Finalize();
    return 0;
}
