/* SPDX-License-Identifier: BSD-3-Clause
 * How many primes there are below ten million, counted by tasks of an MPI application:
 *
 *     mpicc -o primes primes.c $(pkg-config --cflags --libs ippmpi)
 *     mpirun -n 4 ./primes */
#include <ippmpi.h>
#include <stdio.h>
#include <string.h>

#define BELOW 10000000L
#define EACH 100000L

static int is_prime(long n)
{
    for (long d = 3; d * d <= n; d += 2)
        if (n % d == 0)
            return 0;
    return n == 2 || (n > 2 && n % 2 == 1);
}

/* The payload is the first of EACH numbers, the result how many of them are prime. */
static int count(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output, void *arg)
{
    long first, primes = 0;
    (void)ipp, (void)size, (void)arg;
    memcpy(&first, payload, sizeof first);
    for (long n = first; n < first + EACH; n++)
        primes += is_prime(n);
    return ipp_task_put(output, &primes, sizeof primes);
}

/* Submits on rank 0, runs on all. */
static long count_all(ipp_t *ipp)
{
    int rank;
    long sum = 0, part;
    ipp_task_t *task;
    ipp_task_result_t result;
    ipp_task_type_t *type = ipp_task_register(ipp, "count", count, NULL);
    MPI_Comm_rank(ipp_comm(ipp), &rank);
    for (long first = 0; rank == 0 && first < BELOW; first += EACH)
        if (ipp_task_submit(ipp, type, &first, sizeof first, NULL, &task) < 0)
            return -1;
    if (ipp_task_serve(ipp) != 0)
        return -1;
    while ((task = ipp_task_next(ipp, -1, &result)) != NULL) {
        if (result.status != IPP_TASK_OK)
            return -1;
        memcpy(&part, result.data, sizeof part);
        sum += part;
        ipp_task_free(ipp, task);
    }
    if (rank == 0)
        printf("%ld primes below %ld\n", sum, BELOW);
    return sum;
}

int main(int argc, char **argv)
{
    ipp_t *ipp;
    if (ipp_init(&ipp, &argc, &argv, NULL) < 0)
        return 1;
    long counted = ipp_is_service(ipp) ? 0 : count_all(ipp);
    int code = ipp_finalize(ipp); /* ranks 0 and 1 are here already */
    return counted < 0 ? 1 : code;
}
