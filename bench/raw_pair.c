/* SPDX-License-Identifier: BSD-3-Clause
 * What ZeroMQ alone does between two processes: the limit that bench/run puts beside our client.
 *
 *   raw_pair rtt COUNT            round trips of 64 B over TCP with CURVE, DEALER to ROUTER
 *   raw_pair transfer BYTES MESSAGE COUNT
 *                                 one way over ipc in messages of MESSAGE bytes, then an empty
 * answer
 *
 * Prints the microseconds of each, one a line. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define SMALL_BYTES 64

struct keys {
    char public_key[41], secret_key[41];
};

static void check(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "raw_pair: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- the server's side ---- */

/* Takes messages of `bytes` in all from one peer and answers the last with its first frame. */
static bool serve_one(void *router, size_t bytes)
{
    char peer[256];
    zmq_msg_t message;
    for (size_t got = 0; got < bytes;) {
        int size = zmq_recv(router, peer, sizeof peer, 0);
        check(size >= 0, "receive");
        zmq_msg_init(&message);
        check(zmq_msg_recv(&message, router, 0) >= 0, "receive");
        if (zmq_msg_size(&message) == 0)
            return false;
        got += zmq_msg_size(&message);
        if (got >= bytes) {
            check(zmq_send(router, peer, (size_t)size, ZMQ_SNDMORE) >= 0, "send");
            if (bytes == SMALL_BYTES)
                check(zmq_msg_send(&message, router, 0) >= 0, "send");
            else
                check(zmq_send(router, "", 0, 0) >= 0, "send");
        }
        zmq_msg_close(&message);
    }
    return true;
}

static int serve(int ready, const char *endpoint, const struct keys *curve, size_t bytes)
{
    char bound[256];
    size_t length = sizeof bound;
    int on = 1;
    void *context = zmq_ctx_new(), *router = zmq_socket(context, ZMQ_ROUTER);
    if (curve) {
        zmq_setsockopt(router, ZMQ_CURVE_SERVER, &on, sizeof on);
        zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, curve->secret_key, 41);
    }
    check(zmq_bind(router, endpoint) == 0, endpoint);
    zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, bound, &length);
    check(write(ready, bound, sizeof bound) == sizeof bound, "pipe");
    while (serve_one(router, bytes))
        ;
    zmq_close(router);
    zmq_ctx_term(context);
    return 0;
}

/* ---- the client's side ---- */

static void send_bytes(void *dealer, char *data, size_t bytes, size_t each)
{
    zmq_msg_t message;
    for (size_t at = 0; at < bytes; at += each) {
        size_t size = bytes - at < each ? bytes - at : each;
        zmq_msg_init_data(&message, data + at, size, NULL, NULL); /* lent, as we lend arrays */
        check(zmq_msg_send(&message, dealer, 0) >= 0, "send");
    }
}

static void ask(const char *endpoint, const struct keys *server, size_t bytes, size_t each,
                int count)
{
    struct keys own;
    zmq_msg_t answer;
    char *data = calloc(1, bytes);
    void *context = zmq_ctx_new(), *dealer = zmq_socket(context, ZMQ_DEALER);
    check(data != NULL, "memory");
    if (server) {
        zmq_curve_keypair(own.public_key, own.secret_key);
        zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server->public_key, 41);
        zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, own.public_key, 41);
        zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, own.secret_key, 41);
    }
    check(zmq_connect(dealer, endpoint) == 0, endpoint);
    memset(data, 1, bytes);
    for (int i = -1; i < count; i++) { /* the first one connects */
        double began = now_us();
        send_bytes(dealer, data, bytes, each);
        zmq_msg_init(&answer);
        check(zmq_msg_recv(&answer, dealer, 0) >= 0, "receive");
        zmq_msg_close(&answer);
        if (i >= 0)
            printf("%.1f\n", now_us() - began);
    }
    zmq_send(dealer, "", 0, 0);
    zmq_close(dealer);
    zmq_ctx_term(context);
    free(data);
}

int main(int argc, char **argv)
{
    bool rtt = argc == 3 && strcmp(argv[1], "rtt") == 0;
    if (!rtt && !(argc == 5 && strcmp(argv[1], "transfer") == 0)) {
        fprintf(stderr, "usage: raw_pair rtt COUNT | raw_pair transfer BYTES MESSAGE COUNT\n");
        return 2;
    }
    size_t bytes = rtt ? SMALL_BYTES : strtoul(argv[2], NULL, 10);
    size_t each = rtt ? SMALL_BYTES : strtoul(argv[3], NULL, 10);
    char endpoint[256];
    struct keys keys;
    int ready[2];
    check(pipe(ready) == 0, "pipe");
    zmq_curve_keypair(keys.public_key, keys.secret_key);
    pid_t server = fork();
    check(server >= 0, "fork");
    if (server == 0)
        return serve(ready[1], rtt ? "tcp://127.0.0.1:*" : "ipc://*", rtt ? &keys : NULL, bytes);
    check(read(ready[0], endpoint, sizeof endpoint) == sizeof endpoint, "pipe");
    ask(endpoint, rtt ? &keys : NULL, bytes, each, atoi(argv[argc - 1]));
    waitpid(server, NULL, 0);
    return 0;
}
