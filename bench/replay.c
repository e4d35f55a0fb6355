/* SPDX-License-Identifier: BSD-3-Clause
 * A client that costs the machine next to nothing: sends prepared messages, waits for the answers,
 * and says how long they were in the server. For bench/run.
 *
 *     replay ENDPOINT ANSWERS STAMPS < MESSAGES
 *
 * STAMPS is the file that the server, with bench/stamps.so preloaded, keeps up to date. MESSAGES is
 * one round after the other: a count of messages, of each a count of frames, of each a size and its
 * bytes; counts and sizes are uint32 of this machine. A round ends when ANSWERS messages have come.
 * Prints the microseconds of each round, a line each: from the first message that the server took
 * to the last answer that it gave. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zmq.h>

#include "bench/stamps.h"

#define GIVE_UP_MS 30000

static void fail(const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
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

static double play(void *socket, struct round *round, int answers, struct stamps *stamps)
{
    stamps->first_in = 0;
    for (size_t i = 0; i < round->count; i++)
        if (zmq_msg_send(&round->parts[i].message, socket, round->parts[i].more ? ZMQ_SNDMORE : 0) <
            0)
            fail("cannot send");
    for (; answers > 0; answers--)
        receive_message(socket);
    return (double)(stamps->last_out - stamps->first_in) / 1e3;
}

static struct stamps *open_stamps(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *shared =
        fd < 0 ? MAP_FAILED
               : mmap(NULL, sizeof(struct stamps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        fail(path);
    close(fd);
    return shared;
}

int main(int argc, char **argv)
{
    int answers = argc == 4 ? atoi(argv[2]) : 0, patience = GIVE_UP_MS;
    if (answers < 1) {
        fprintf(stderr, "usage: replay ENDPOINT ANSWERS STAMPS < MESSAGES\n");
        return 2;
    }
    struct stamps *stamps = open_stamps(argv[3]);
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    if (zmq_connect(socket, argv[1]) < 0)
        fail(argv[1]);
    for (struct round round; read_round(&round); free(round.parts))
        printf("%.1f\n", play(socket, &round, answers, stamps));
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
