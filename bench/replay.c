/* SPDX-License-Identifier: BSD-3-Clause
 * A client that costs the machine next to nothing: sends prepared messages, waits for the answers,
 * and says how long it took. For bench/run.
 *
 *     replay ENDPOINT ANSWERS < MESSAGES
 *     replay --echo
 *
 * The second form is what it talks to for the price of the transport alone: it prints its endpoint
 * and sends every message back until its input ends.
 *
 * MESSAGES is one round after the other: a count of messages, of each a count of frames, of each a
 * size and its bytes; counts and sizes are uint32 of this machine. A round ends when ANSWERS
 * messages have come. Prints its microseconds, one line a round. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define GIVE_UP_MS 30000

static void fail(const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* False at the end of input. */
static int read_count(uint32_t *count)
{
    return fread(count, sizeof *count, 1, stdin) == 1;
}

struct part {
    zmq_msg_t message;
    int more;
};

struct round {
    struct part *parts;
    size_t count;
};

static void add_part(struct round *round, uint32_t size, int more)
{
    round->parts = realloc(round->parts, (round->count + 1) * sizeof *round->parts);
    struct part *part = round->parts ? &round->parts[round->count++] : NULL;
    if (!part || zmq_msg_init_size(&part->message, size) < 0)
        fail("memory");
    if (fread(zmq_msg_data(&part->message), 1, size, stdin) != size)
        fail("the messages break off");
    part->more = more;
}

static int read_round(struct round *round)
{
    uint32_t messages, frames, size;
    *round = (struct round){ 0 };
    if (!read_count(&messages))
        return 0;
    for (; messages > 0; messages--) {
        if (!read_count(&frames))
            fail("the messages break off");
        for (; frames > 0 && read_count(&size); frames--)
            add_part(round, size, frames > 1);
    }
    return 1;
}

static void receive_message(void *socket)
{
    int more = 1;
    for (size_t size = sizeof more; more; zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size)) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, 0) < 0)
            fail("no answer");
        zmq_msg_close(&part);
    }
}

static double play(void *socket, struct round *round, int answers)
{
    double began = now_us();
    for (size_t i = 0; i < round->count; i++)
        if (zmq_msg_send(&round->parts[i].message, socket, round->parts[i].more ? ZMQ_SNDMORE : 0) <
            0)
            fail("cannot send");
    for (; answers > 0; answers--)
        receive_message(socket);
    return now_us() - began;
}

static void echo_message(void *socket)
{
    int more = 1;
    for (size_t size = sizeof more; more;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, 0) < 0)
            fail("cannot receive");
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
        if (zmq_msg_send(&part, socket, more ? ZMQ_SNDMORE : 0) < 0)
            fail("cannot send");
    }
}

static int echo(void)
{
    char endpoint[256];
    size_t size = sizeof endpoint;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_ROUTER);
    if (zmq_bind(socket, "tcp://127.0.0.1:*") < 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) < 0)
        fail("cannot listen");
    puts(endpoint);
    fflush(stdout);
    zmq_pollitem_t items[] = { { .socket = socket, .events = ZMQ_POLLIN },
                               { .fd = STDIN_FILENO, .events = ZMQ_POLLIN } };
    while (zmq_poll(items, 2, -1) > 0 && !items[1].revents)
        echo_message(socket);
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--echo") == 0)
        return echo();
    int answers = argc == 3 ? atoi(argv[2]) : 0, patience = GIVE_UP_MS;
    if (answers < 1) {
        fprintf(stderr, "usage: replay ENDPOINT ANSWERS < MESSAGES\n       replay --echo\n");
        return 2;
    }
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    if (zmq_connect(socket, argv[1]) < 0)
        fail(argv[1]);
    for (struct round round; read_round(&round); free(round.parts))
        printf("%.1f\n", play(socket, &round, answers));
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
