/* SPDX-License-Identifier: BSD-3-Clause
 * The mean of a million numbers that the engines of a cluster draw, with libippsteer:
 *
 *     cc -o steer_client steer_client.c $(pkg-config --cflags --libs ippsteer)
 *     ./steer_client [CLUSTER | FILE | ssh://USER@HOST] */
#include <ippsteer.h>
#include <stdio.h>
#include <stdlib.h>

/* What engines print while they work. `content` is JSON: a program of yours reads it with a
 * library. */
static void show(const ipp_output_t *output, void *arg)
{
    FILE *out = arg;
    fprintf(out, "[%d] %s %s\n", output->engine, output->type, output->content);
}

static void die(const char *what, const ipp_error_t *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(EXIT_FAILURE);
}

/* Waits for all engines; an error of any of them ends the program. */
static void wait_for(ipp_future_t *future, const char *what, ipp_error_t *err)
{
    if (!future)
        die(what, err);
    while (!ipp_future_done(future)) /* signals end a wait early */
        if (ipp_future_wait(future, -1, err) < 0)
            die(what, err);
    for (size_t i = 0; i < ipp_future_count(future); i++) {
        const ipp_answer_t *answer = ipp_future_answer(future, i);
        if (answer->status != IPP_OK) {
            fprintf(stderr, "%s: engine %d: %s\n", what, answer->engine, answer->content);
            exit(EXIT_FAILURE);
        }
    }
}

int main(int argc, char **argv)
{
    ipp_error_t err;
    ipp_steer_t *steer = ipp_steer_connect(argc > 1 ? argv[1] : NULL, NULL, &err);
    if (!steer)
        die("connect", &err);

    size_t engines;
    ipp_steer_engines(steer, &engines);
    printf("%zu engines\n", engines);

    /* An array of two numbers to all of them: the bounds. */
    const double bounds[2] = { 0, 10 };
    const int64_t shape[1] = { 2 };
    const ipp_array_t array = {
        .dtype = "<f8", .ndims = 1, .shape = shape, .bytes = { bounds, sizeof bounds, NULL, NULL }
    };
    ipp_future_t *future = ipp_steer_push(steer, "all", "bounds", &array, &err);
    wait_for(future, "push", &err);
    ipp_future_destroy(future);

    static const char code[] = "import numpy\n"
                               "drawn = numpy.random.default_rng().uniform(*bounds, 10**6)\n"
                               "mean = numpy.array([drawn.mean()])\n"
                               "print('drawn')\n";
    future = ipp_steer_execute(steer, "all", code, show, stderr, &err);
    wait_for(future, "execute", &err);
    ipp_future_destroy(future);

    /* One array comes back, however many engines there are. */
    future = ipp_steer_reduce(steer, "all", "mean", "sum", &err);
    wait_for(future, "reduce", &err);
    ipp_array_t sum;
    if (ipp_answer_array(ipp_future_answer(future, 0), &sum, &err) < 0)
        die("reduce", &err);
    printf("mean %.1f\n", *(const double *)sum.bytes.data / (double)engines);
    ipp_future_destroy(future);

    ipp_steer_close(steer);
    return EXIT_SUCCESS;
}
