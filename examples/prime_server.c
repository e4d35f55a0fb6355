/* SPDX-License-Identifier: BSD-3-Clause
 * An application that waits for clients: they have it count primes.
 *
 *     mpicc -o prime_server prime_server.c $(pkg-config --cflags --libs ippmpi)
 *     mpirun -n 4 ./prime_server &
 *     python3 -c 'import ippmpi, struct
 *     task = ippmpi.connect().task("count", struct.pack("2q", 0, 10_000_000), width=2)
 *     print(*struct.unpack("q", task.result()))'
 *     ipp-steer shutdown */
#include <errno.h>
#include <ippmpi.h>
#include <stdint.h>
#include <string.h>

static int is_prime(int64_t n)
{
    for (int64_t d = 3; d * d <= n; d += 2)
        if (n % d == 0)
            return 0;
    return n == 2 || (n > 2 && n % 2 == 1);
}

/* The payload is the first number and the one behind the last, the result how many of those between
 * are prime. Each of the ranks that run it together has its share. */
static int count(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output, void *arg)
{
    int64_t range[2], primes = 0, sum = 0;
    int rank, ranks, stop = 0;
    (void)arg;
    if (size != sizeof range)
        return EINVAL;
    memcpy(range, payload, sizeof range);
    MPI_Comm_rank(ipp_task_comm(ipp), &rank);
    MPI_Comm_size(ipp_task_comm(ipp), &ranks);
    int64_t each = (range[1] - range[0]) / ranks, first = range[0] + rank * each;
    int64_t end = rank == ranks - 1 ? range[1] : first + each;
    for (int64_t n = first; n < end && !stop; n++) {
        primes += is_prime(n);
        stop = ipp_task_cancelled(ipp);
    }
    MPI_Reduce(&primes, &sum, 1, MPI_INT64_T, MPI_SUM, 0, ipp_task_comm(ipp));
    return stop ? ECANCELED : ipp_task_put(output, &sum, sizeof sum);
}

int main(int argc, char **argv)
{
    ipp_t *ipp;
    int failed = 0;
    if (ipp_init(&ipp, &argc, &argv, NULL) < 0)
        return 1;
    if (!ipp_is_service(ipp)) {
        ipp_task_register(ipp, "count", count, NULL);
        failed = ipp_task_serve_clients(ipp) < 0;
    }
    int code = ipp_finalize(ipp);
    return failed ? 1 : code;
}
