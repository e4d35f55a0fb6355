/* SPDX-License-Identifier: BSD-3-Clause
 * C tasks from end to end: an application of which each rank checks what it gets. Run under mpirun
 * with 3 ranks or more; as `test_tasks die` or `die-wide` with 5 or more and an mpirun that
 * outlives a rank, one of which dies, in a task of its own or in one of several ranks. Rank 0 of
 * the application prints "tasks: all is well" at the end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ippmpi.h"

#define LARGE ((size_t)3 << 20)
#define MANY 20000

static ipp_t *ipp;
static int rank, size;
static long runs; /* of count(), here */

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "rank %d: line %d: %s (errno %d)\n", rank, __LINE__, #what, errno);    \
            MPI_Abort(MPI_COMM_WORLD, 1);                                                          \
        }                                                                                          \
    } while (0)

/* ---- what tasks do ---- */

static ipp_task_type_t *echo_type, *count_type, *fib_type, *fail_type, *where_type, *die_type;
static ipp_task_type_t *append_type, *together_type, *patient_type, *uneven_type;

static int echo(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                void *arg)
{
    CHECK(self == ipp && arg == &rank);
    CHECK((uintptr_t)payload % 16 == 0);
    return ipp_task_put(output, payload, bytes);
}

/* A tree: each submits two more, for which nobody waits. */
static int count(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                 void *arg)
{
    int depth;
    (void)output;
    (void)arg;
    CHECK(bytes == sizeof depth);
    memcpy(&depth, payload, sizeof depth);
    runs++;
    int below = depth - 1;
    for (int i = 0; depth > 0 && i < 2; i++)
        CHECK(ipp_task_submit(self, count_type, &below, sizeof below, NULL, NULL) == 0);
    return 0;
}

/* Waits for tasks of its own, which run meanwhile, here or elsewhere. */
static int fib(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output, void *arg)
{
    int n, sum;
    (void)bytes;
    (void)arg;
    memcpy(&n, payload, sizeof n);
    sum = n;
    if (n >= 2) {
        ipp_task_t *tasks[2];
        sum = 0;
        for (int i = 0; i < 2; i++) {
            int less = n - 1 - i;
            CHECK(ipp_task_submit(self, fib_type, &less, sizeof less, NULL, &tasks[i]) == 0);
        }
        for (int i = 0; i < 2; i++) {
            ipp_task_result_t result;
            int part;
            CHECK(ipp_task_wait(self, tasks[i], -1, &result) == 0);
            CHECK(result.status == IPP_TASK_OK && result.size == sizeof part);
            memcpy(&part, result.data, sizeof part);
            sum += part;
            ipp_task_free(self, tasks[i]);
        }
    }
    return ipp_task_put(output, &sum, sizeof sum);
}

static int fail(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                void *arg)
{
    (void)self;
    (void)payload;
    (void)bytes;
    (void)arg;
    runs++;
    CHECK(ipp_task_room(output, 8) != NULL);
    CHECK(!ipp_task_room(output, (size_t)1 << 31) && errno == EMSGSIZE);
    return 7;
}

static int where(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                 void *arg)
{
    (void)self;
    (void)payload;
    (void)bytes;
    (void)arg;
    return ipp_task_put(output, &rank, sizeof rank);
}

static int die(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output, void *arg)
{
    if (rank == 1)
        raise(SIGKILL);
    return where(self, payload, bytes, output, arg);
}

/* ---- helpers ---- */

/* Keeps the order in which these have run here. */
static char order[256];

static int append(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                  void *arg)
{
    (void)self, (void)arg;
    CHECK(bytes == 1 && strlen(order) + 1 < sizeof order);
    strncat(order, payload, 1);
    return ipp_task_put(output, &rank, sizeof rank);
}

/* On several ranks at once: the sum of their ranks, and who takes part; -1 fails on the last. */
static int together(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                    void *arg)
{
    MPI_Comm comm = ipp_task_comm(self);
    int many, mine, sums[2], wanted;
    (void)arg;
    CHECK(bytes == sizeof wanted && (uintptr_t)payload % 16 == 0);
    memcpy(&wanted, payload, sizeof wanted);
    MPI_Comm_size(comm, &many);
    MPI_Comm_rank(comm, &mine);
    CHECK(many == (wanted < 0 ? 2 : wanted));
    int values[2] = { rank, mine };
    MPI_Allreduce(values, sums, 2, MPI_INT, MPI_SUM, comm);
    CHECK(sums[1] == many * (many - 1) / 2);
    runs++;
    if (wanted < 0 && mine == many - 1)
        return 9;
    return ipp_task_put(output, sums, sizeof *sums);
}

/* Tells rank 0 that it runs, and then does so until it is not wanted any more. */
static int patient(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                   void *arg)
{
    (void)payload, (void)bytes, (void)output, (void)arg;
    CHECK(!ipp_task_cancelled(self));
    MPI_Send(&rank, 1, MPI_INT, 0, 0, ipp_comm(self));
    while (!ipp_task_cancelled(self))
        usleep(1000);
    return 3;
}

/* The last rank waits for tasks of its own. With a payload the others wait inside MPI for it; else
 * they have returned, and are the only ones that may run some of these. */
static int uneven(ipp_t *self, const void *payload, size_t bytes, ipp_task_output_t *output,
                  void *arg)
{
    int mine, many;
    ipp_task_t *tasks[50];
    MPI_Comm comm = ipp_task_comm(self);
    (void)payload, (void)arg;
    MPI_Comm_rank(comm, &mine);
    MPI_Comm_size(comm, &many);
    if (mine < many - 1)
        return bytes > 0 ? MPI_Bcast(&many, 1, MPI_INT, many - 1, comm) : 0;
    for (int i = 0; i < 50; i++) {
        ipp_task_options_t options = { .engine = bytes > 0 ? -1 : i % size };
        CHECK(ipp_task_submit(self, where_type, NULL, 0, &options, &tasks[i]) == 0);
    }
    for (int i = 0; i < 50; i++) {
        CHECK(ipp_task_wait(self, tasks[i], 60000, NULL) == 0);
        ipp_task_free(self, tasks[i]);
    }
    if (bytes > 0)
        MPI_Bcast(&many, 1, MPI_INT, many - 1, comm);
    return ipp_task_put(output, &mine, sizeof mine);
}

static long over_all(long mine)
{
    long sum;
    MPI_Allreduce(&mine, &sum, 1, MPI_LONG, MPI_SUM, ipp_comm(ipp));
    return sum;
}

static ipp_task_t *submit(ipp_task_type_t *type, const void *payload, size_t bytes,
                          const ipp_task_options_t *options)
{
    ipp_task_t *task = NULL;
    CHECK(ipp_task_submit(ipp, type, payload, bytes, options, &task) == 0 && task);
    return task;
}

static ipp_task_result_t result_of(ipp_task_t *task)
{
    ipp_task_result_t result;
    CHECK(ipp_task_wait(ipp, task, 60000, &result) == 0);
    return result;
}

/* ---- checks ---- */

static void check_registering(void)
{
    char own[16];
    snprintf(own, sizeof own, "own-%d", rank);
    CHECK(size == 1 || !ipp_task_register(ipp, own, echo, NULL));
    CHECK(!ipp_task_register(ipp, "", echo, NULL) && errno == EINVAL);
    CHECK(!ipp_task_register(ipp, "\xe9t\xe9", echo, NULL) && errno == EINVAL);
    CHECK(!ipp_task_register(ipp, "nothing", NULL, NULL) && errno == EINVAL);
    CHECK((echo_type = ipp_task_register(ipp, "echo", echo, &rank)) != NULL);
    CHECK(!ipp_task_register(ipp, "echo", echo, NULL) && errno == EINVAL);
    CHECK((count_type = ipp_task_register(ipp, "count", count, NULL)) != NULL);
    CHECK((fib_type = ipp_task_register(ipp, "fib", fib, NULL)) != NULL);
    CHECK((fail_type = ipp_task_register(ipp, "fail", fail, NULL)) != NULL);
    CHECK((where_type = ipp_task_register(ipp, "where", where, NULL)) != NULL);
    CHECK((die_type = ipp_task_register(ipp, "die", die, NULL)) != NULL);
    CHECK((append_type = ipp_task_register(ipp, "append", append, NULL)) != NULL);
    CHECK((together_type = ipp_task_register(ipp, "together", together, NULL)) != NULL);
    CHECK((uneven_type = ipp_task_register(ipp, "uneven", uneven, NULL)) != NULL);
    CHECK((patient_type = ipp_task_register(ipp, "patient", patient, NULL)) != NULL);
}

static void check_bad_arguments(void)
{
    ipp_task_options_t options = IPP_TASK_OPTIONS;
    CHECK(ipp_task_submit(ipp, NULL, NULL, 0, NULL, NULL) < 0 && errno == EINVAL);
    options.retries = -1;
    CHECK(ipp_task_submit(ipp, echo_type, NULL, 0, &options, NULL) < 0 && errno == EINVAL);
    options = (ipp_task_options_t)IPP_TASK_OPTIONS;
    options.engine = size;
    CHECK(ipp_task_submit(ipp, echo_type, NULL, 0, &options, NULL) < 0 && errno == EINVAL);
    options = (ipp_task_options_t)IPP_TASK_OPTIONS;
    options.preferred = (ipp_task_ranks_t){ &size, 1 };
    CHECK(ipp_task_submit(ipp, echo_type, NULL, 0, &options, NULL) < 0 && errno == EINVAL);
    options = (ipp_task_options_t)IPP_TASK_OPTIONS;
    options.targets = (ipp_task_ranks_t){ (const int[]){ 0, -1 }, 2 };
    CHECK(ipp_task_submit(ipp, echo_type, NULL, 0, &options, NULL) < 0 && errno == EINVAL);
    options = (ipp_task_options_t)IPP_TASK_OPTIONS;
    options.scheme = "psychic";
    CHECK(ipp_task_submit(ipp, echo_type, NULL, 0, &options, NULL) < 0 && errno == EINVAL);
    CHECK(ipp_task_submit(ipp, echo_type, "", (size_t)1 << 31, NULL, NULL) < 0 &&
          errno == EMSGSIZE);
    CHECK(!ipp_task_next(ipp, 0, NULL) && errno == ENOENT);
    ipp_task_free(ipp, NULL);
}

/* Every rank has its own, all at once. */
static void check_many(void)
{
    static ipp_task_t *tasks[MANY];
    static unsigned char bytes[700];
    for (int i = 0; i < MANY; i++) {
        memset(bytes, i, sizeof bytes);
        tasks[i] = submit(echo_type, bytes, (size_t)i % sizeof bytes, NULL);
    }
    CHECK(ipp_task_serve(ipp) == 0);
    for (int i = 0; i < MANY; i++) {
        ipp_task_result_t result = result_of(tasks[i]);
        memset(bytes, i, sizeof bytes);
        CHECK(result.status == IPP_TASK_OK && result.code == 0);
        CHECK(result.size == (size_t)i % sizeof bytes);
        CHECK(result.size == 0 || memcmp(result.data, bytes, result.size) == 0);
        ipp_task_free(ipp, tasks[i]);
    }
}

static void check_large(void)
{
    char *payload = malloc(LARGE);
    CHECK(payload != NULL);
    memset(payload, rank + 1, LARGE);
    ipp_task_t *task = submit(echo_type, payload, LARGE, NULL);
    CHECK(ipp_task_serve(ipp) == 0);
    ipp_task_result_t result = result_of(task);
    CHECK(result.size == LARGE && memcmp(result.data, payload, LARGE) == 0);
    ipp_task_free(ipp, task);
    free(payload);
}

static void check_tree(void)
{
    int depth = 12;
    runs = 0;
    if (rank == 0)
        CHECK(ipp_task_submit(ipp, count_type, &depth, sizeof depth, NULL, NULL) == 0);
    CHECK(ipp_task_serve(ipp) == 0);
    CHECK(over_all(runs) == (2L << depth) - 1);
}

static void check_nested(void)
{
    int n = 14, sum;
    ipp_task_t *task = rank == size - 1 ? submit(fib_type, &n, sizeof n, NULL) : NULL;
    CHECK(ipp_task_serve(ipp) == 0);
    if (!task)
        return;
    memcpy(&sum, result_of(task).data, sizeof sum);
    CHECK(sum == 377);
    ipp_task_free(ipp, task);
}

static void check_failures(void)
{
    ipp_task_options_t twice = { .retries = 2, .engine = -1 };
    ipp_task_t *task = rank == 0 ? submit(fail_type, NULL, 0, &twice) : NULL;
    runs = 0;
    for (int i = 0; i < 5; i++)
        CHECK(ipp_task_submit(ipp, fail_type, NULL, 0, NULL, NULL) == 0);
    CHECK(ipp_task_serve(ipp) == 5L * size); /* of those that nobody waits for */
    CHECK(over_all(runs) == 5L * size + 3);
    if (!task)
        return;
    ipp_task_result_t result = result_of(task);
    CHECK(result.status == IPP_TASK_FAILED && result.code == 7);
    ipp_task_free(ipp, task);
}

static void check_places(void)
{
    ipp_task_t *tasks[64];
    CHECK(size <= 64);
    for (int i = 0; i < size; i++)
        tasks[i] = submit(where_type, NULL, 0, &(ipp_task_options_t){ .engine = i });
    CHECK(ipp_task_serve(ipp) == 0);
    for (int i = 0; i < size; i++) {
        int there;
        memcpy(&there, result_of(tasks[i]).data, sizeof there);
        CHECK(there == i);
        ipp_task_free(ipp, tasks[i]);
    }
}

/* Hard targets are kept to. Soft ones are where most run that come one at a time: some come before
 * that rank serves, or before the balancer has heard of the last one's end. */
static void check_targets(void)
{
    ipp_task_options_t options = IPP_TASK_OPTIONS;
    int ends[] = { size - 1, 0 }, there;
    options.targets = (ipp_task_ranks_t){ ends, 2 };
    options.scheme = "plainrandom";
    for (int i = 0; i < 20; i++)
        submit(where_type, NULL, 0, &options);
    CHECK(ipp_task_serve(ipp) == 0);
    ipp_task_result_t result;
    for (ipp_task_t *task; (task = ipp_task_next(ipp, 60000, &result)) != NULL;) {
        memcpy(&there, result.data, sizeof there);
        CHECK(result.status == IPP_TASK_OK && (there == 0 || there == size - 1));
        ipp_task_free(ipp, task);
    }
    options = (ipp_task_options_t)IPP_TASK_OPTIONS;
    options.preferred = (ipp_task_ranks_t){ ends, 1 };
    int soft = 0;
    for (int i = 0; rank == 0 && size > 1 && soft < 20; i++) {
        ipp_task_t *task = submit(where_type, NULL, 0, &options);
        memcpy(&there, result_of(task).data, sizeof there);
        soft = there == size - 1 ? soft + 1 : soft / 2;
        ipp_task_free(ipp, task);
    }
    CHECK(ipp_task_serve(ipp) == 0);
}

static void check_priorities(void)
{
    static const int priorities[] = { 0, -5, 7, 7, 1000, -1000 };
    order[0] = '\0';
    MPI_Barrier(ipp_comm(ipp));
    for (int i = 0; rank == 0 && i < 6; i++) {
        char name = (char)('a' + i);
        ipp_task_options_t options = IPP_TASK_OPTIONS;
        options.engine = size - 1;
        options.priority = priorities[i];
        CHECK(ipp_task_submit(ipp, append_type, &name, 1, &options, NULL) == 0);
    }
    if (rank == 0) { /* when this one has been given up, all are in the queue */
        ipp_task_options_t soon = IPP_TASK_OPTIONS;
        soon.timeout_ms = 1;
        ipp_task_t *last = submit(where_type, NULL, 0, &soon);
        ipp_task_result_t result = result_of(last);
        CHECK(result.status == IPP_TASK_REFUSED && result.code == ETIMEDOUT);
        ipp_task_free(ipp, last);
    }
    MPI_Barrier(ipp_comm(ipp));
    CHECK(ipp_task_serve(ipp) == 0);
    if (rank == size - 1)
        CHECK(strcmp(order, "ecdabf") == 0);
}

/* Ranks take turns, however much the first one has submitted before. */
static void check_turns(void)
{
    ipp_task_options_t options = IPP_TASK_OPTIONS;
    options.engine = size - 1;
    order[0] = '\0';
    for (int turn = 0; turn < 2 && turn < size; turn++) {
        for (int i = 0; rank == turn && i < (turn == 0 ? 200 : 1); i++)
            CHECK(ipp_task_submit(ipp, append_type, turn == 0 ? "a" : "b", 1, &options, NULL) == 0);
        if (rank == turn) { /* when this one has been given up, those are in the queue */
            ipp_task_options_t soon = IPP_TASK_OPTIONS;
            soon.timeout_ms = 1;
            ipp_task_t *last = submit(where_type, NULL, 0, &soon);
            CHECK(result_of(last).status == IPP_TASK_REFUSED);
            ipp_task_free(ipp, last);
        }
        MPI_Barrier(ipp_comm(ipp));
    }
    CHECK(ipp_task_serve(ipp) == 0);
    if (rank == size - 1 && size > 1)
        CHECK(strlen(order) == 201 && strcspn(order, "b") < 20);
}

static void check_needs(void)
{
    ipp_task_options_t options = IPP_TASK_OPTIONS;
    if (rank == 0) {
        ipp_task_t *bad = submit(fail_type, NULL, 0, NULL),
                   *good = submit(where_type, NULL, 0, NULL);
        ipp_task_t *both[] = { bad, good };
        options.after = (ipp_task_needs_t){ both, 2, 0 };
        ipp_task_t *never = submit(where_type, NULL, 0, &options);
        options.after.ends = IPP_TASK_ANY;
        ipp_task_t *any = submit(where_type, NULL, 0, &options);
        options.after = (ipp_task_needs_t){ &bad, 1, IPP_TASK_FAILURE };
        ipp_task_t *cleanup = submit(where_type, NULL, 0, &options);
        options.after = (ipp_task_needs_t){ 0 };
        options.follow = (ipp_task_needs_t){ &good, 1, 0 };
        ipp_task_t *follower = submit(where_type, NULL, 0, &options);
        CHECK(ipp_task_serve(ipp) == 0);
        ipp_task_result_t result = result_of(never);
        CHECK(result.status == IPP_TASK_REFUSED && result.code == ECANCELED);
        CHECK(result_of(any).status == IPP_TASK_OK && result_of(cleanup).status == IPP_TASK_OK);
        CHECK(memcmp(result_of(follower).data, result_of(good).data, sizeof(int)) == 0);
        ipp_task_t *done[] = { bad, good, never, any, cleanup, follower };
        for (int i = 0; i < 6; i++)
            ipp_task_free(ipp, done[i]);
    } else {
        CHECK(ipp_task_serve(ipp) == 0);
    }
}

static void check_wide(void)
{
    ipp_task_t *tasks[40] = { NULL };
    ipp_task_options_t options = IPP_TASK_OPTIONS;
    int least = 0, many = 0;
    runs = 0;
    for (int i = 0; rank == 0 && i < 40; i++) { /* wide ones among narrow ones */
        options.width = 1 + i % size;
        tasks[i] = submit(together_type, &options.width, sizeof options.width, &options);
        many += options.width;
    }
    CHECK(ipp_task_serve(ipp) == 0);
    long ran = over_all(runs);
    for (int i = 0; rank == 0 && i < 40; i++) {
        ipp_task_result_t result = result_of(tasks[i]);
        CHECK(result.status == IPP_TASK_OK && result.size == sizeof least);
        memcpy(&least, result.data, sizeof least);
        CHECK(1 + i % size < size || least == size * (size - 1) / 2); /* all of them */
        ipp_task_free(ipp, tasks[i]);
    }
    CHECK(rank != 0 || ran == many);
    int fails = -1;
    options.width = 2;
    options.retries = 1;
    for (int i = 0; rank == 0 && i < 6; i++)
        CHECK(ipp_task_submit(ipp, uneven_type, "x", (size_t)i % 2,
                              &(ipp_task_options_t){ .engine = -1, .width = size }, NULL) == 0);
    CHECK(ipp_task_serve(ipp) == 0);
    ipp_task_t *bad = rank == 0 ? submit(together_type, &fails, sizeof fails, &options) : NULL;
    options.width = size + 1;
    ipp_task_t *huge = rank == 0 ? submit(where_type, NULL, 0, &options) : NULL;
    CHECK(ipp_task_serve(ipp) == 0);
    if (!bad)
        return;
    ipp_task_result_t result = result_of(bad);
    CHECK(size == 1 ? result.status == IPP_TASK_REFUSED && result.code == ERANGE
                    : result.status == IPP_TASK_FAILED && result.code == 9);
    result = result_of(huge);
    CHECK(result.status == IPP_TASK_REFUSED && result.code == ERANGE);
    ipp_task_free(ipp, bad);
    ipp_task_free(ipp, huge);
    CHECK(ipp_task_comm(ipp) == MPI_COMM_NULL);
}

/* Nobody serves: what is submitted waits. */
static void check_cancelling(void)
{
    MPI_Barrier(ipp_comm(ipp));
    ipp_task_t *task = submit(where_type, NULL, 0, NULL);
    CHECK(ipp_task_wait(ipp, task, 30, NULL) < 0 && errno == ETIMEDOUT);
    CHECK(ipp_task_cancel(ipp, task) == 0);
    CHECK(result_of(task).status == IPP_TASK_ABORTED);
    ipp_task_free(ipp, task);
    ipp_task_free(ipp, submit(where_type, NULL, 0, NULL)); /* forgotten, and run all the same */
    MPI_Barrier(ipp_comm(ipp));
    CHECK(ipp_task_serve(ipp) == 0);
}

/* A task that runs, on `width` ranks, and ones that their engine has and has not begun. */
static void cancel_running(int width)
{
    ipp_task_options_t options = IPP_TASK_OPTIONS;
    int there;
    options.retries = 5;
    options.width = width;
    options.engine = width == 1 ? size - 1 : -1;
    ipp_task_t *runs_now = submit(patient_type, NULL, 0, &options), *behind[3];
    CHECK(ipp_task_flush(ipp) == 0);
    for (int i = 0; i < width; i++)
        MPI_Recv(&there, 1, MPI_INT, MPI_ANY_SOURCE, 0, ipp_comm(ipp), MPI_STATUS_IGNORE);
    options.width = 1;
    options.engine = there;
    for (int i = 0; i < 3; i++)
        behind[i] = submit(where_type, NULL, 0, &options);
    CHECK(ipp_task_cancel(ipp, behind[0]) == 0);
    CHECK(ipp_task_cancel(ipp, behind[2]) == 0);
    CHECK(ipp_task_wait(ipp, runs_now, 30, NULL) < 0 && errno == ETIMEDOUT);
    CHECK(ipp_task_cancel(ipp, runs_now) == 0);
    ipp_task_result_t result = result_of(runs_now);
    CHECK(result.status == IPP_TASK_ABORTED && result.code == 3);
    for (int i = 0; i < 3; i++) {
        result = result_of(behind[i]);
        CHECK(result.status == (i == 1 ? IPP_TASK_OK : IPP_TASK_ABORTED) && result.code == 0);
        ipp_task_free(ipp, behind[i]);
    }
    CHECK(ipp_task_cancel(ipp, runs_now) == 0); /* too late, and no matter */
    ipp_task_free(ipp, runs_now);
}

static void check_cancelling_what_runs(void)
{
    for (int width = 1; rank == 0 && width < size; width++)
        cancel_running(width);
    CHECK(ipp_task_serve(ipp) == 0);
}

static void check_next(void)
{
    ipp_task_t *task;
    ipp_task_result_t result;
    int found = 0;
    for (int i = 0; i < 100; i++)
        submit(where_type, NULL, 0, NULL);
    CHECK(ipp_task_serve(ipp) == 0);
    for (; (task = ipp_task_next(ipp, 60000, &result)) != NULL; found++) {
        CHECK(result.status == IPP_TASK_OK && result.size == sizeof rank);
        ipp_task_free(ipp, task);
    }
    CHECK(errno == ENOENT && found == 100);
}

/* One rank submits and waits, and runs nothing. */
static void check_master(void)
{
    if (rank == 0 && size > 1) {
        for (int i = 0; i < 50; i++) {
            ipp_task_t *task = submit(where_type, NULL, 0, NULL);
            int there;
            memcpy(&there, result_of(task).data, sizeof there);
            CHECK(there > 0);
            ipp_task_free(ipp, task);
        }
    }
    CHECK(ipp_task_serve(ipp) == 0);
}

/* One of those that run it together: the others come to its end, and to another one without it. */
static void check_wide_death(void)
{
    int many = size - 2;
    ipp_task_options_t options = IPP_TASK_OPTIONS;
    options.width = size - 1;
    ipp_task_t *lost = submit(die_type, NULL, 0, &options);
    CHECK(result_of(lost).status == IPP_TASK_LOST);
    ipp_task_free(ipp, lost);
    options.width = many;
    ipp_task_t *left = submit(together_type, &many, sizeof many, &options);
    CHECK(result_of(left).status == IPP_TASK_OK);
    ipp_task_free(ipp, left);
}

/* Two tasks for the rank that will die: one may be run again, by whoever is left. */
static void check_death(bool wide)
{
    int there;
    ipp_task_options_t once = { .retries = 1, .engine = -1 }, never = IPP_TASK_OPTIONS;
    ipp_task_t *tasks[8];
    never.engine = 1;
    if (rank == 0 && wide)
        check_wide_death();
    if (rank != 0 || wide) {
        CHECK(ipp_task_serve(ipp) >= 0);
        return;
    }
    ipp_task_t *lost = submit(die_type, NULL, 0, &never);
    for (int i = 0; i < 8; i++)
        tasks[i] = submit(die_type, NULL, 0, &once);
    CHECK(result_of(lost).status == IPP_TASK_LOST);
    for (int i = 0; i < 8; i++) {
        ipp_task_result_t result = result_of(tasks[i]);
        CHECK(result.status == IPP_TASK_OK);
        memcpy(&there, result.data, sizeof there);
        CHECK(there > 1);
    }
    CHECK(result_of(submit(where_type, NULL, 0, &never)).status == IPP_TASK_REFUSED);
    CHECK(ipp_task_serve(ipp) >= 0);
}

int main(int argc, char **argv)
{
    ipp_options_t options = { .log_level = "error" };
    if (ipp_init(&ipp, &argc, &argv, &options) < 0)
        return 2;
    if (!ipp_is_service(ipp)) {
        MPI_Comm_rank(ipp_comm(ipp), &rank);
        MPI_Comm_size(ipp_comm(ipp), &size);
        check_registering();
        if (argc > 1) {
            check_death(strcmp(argv[1], "die-wide") == 0);
        } else {
            check_bad_arguments();
            check_many();
            check_large();
            check_tree();
            check_nested();
            check_failures();
            check_places();
            check_targets();
            check_priorities();
            check_turns();
            check_needs();
            check_wide();
            check_cancelling();
            check_cancelling_what_runs();
            check_next();
            check_master();
        }
        if (rank == 0)
            puts("tasks: all is well");
        fflush(stdout);
    }
    return ipp_finalize(ipp);
}
