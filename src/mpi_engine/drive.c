/* SPDX-License-Identifier: BSD-3-Clause
 * Who drives the link: of the two threads the one that holds the wheel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "mpi_engine/engine.h"

/* How long the main thread may be away, in user code, before the comm thread drives: short enough
 * for what is printed and for interrupts, longer than a short request. */
#define TAKE_OVER_NS 1000000

struct drive {
    struct engine *engine;
    struct comm *comm;
    pthread_mutex_t wheel;
    atomic_bool wanted; /* by the main thread */
    int timer_fd;       /* readable when the comm thread shall try to take the wheel */
    pthread_t comm_thread;
};

/* 0: not at all */
static void take_over_in(struct drive *drive, long nanoseconds)
{
    struct itimerspec once = { .it_value.tv_nsec = nanoseconds };
    timerfd_settime(drive->timer_fd, 0, &once, NULL);
}

static void await_timer(struct drive *drive)
{
    uint64_t expirations;
    while (read(drive->timer_fd, &expirations, sizeof expirations) < 0 && errno == EINTR)
        ;
}

static void *comm_thread(void *arg)
{
    struct drive *drive = arg;
    struct run_queue *queue = drive->engine->queue;
    while (!comm_left(drive->comm)) {
        await_timer(drive);
        if (pthread_mutex_trylock(&drive->wheel) != 0)
            continue; /* the main thread drives: it has nothing to run */
        while (!comm_left(drive->comm) && !run_queue_awaited(queue) && !atomic_load(&drive->wanted))
            comm_step(drive->comm, INT32_MAX);
        pthread_mutex_unlock(&drive->wheel);
        run_queue_wake(queue); /* only now: who wakes finds the wheel free */
    }
    if (!atomic_load(&drive->engine->main_done))
        _exit(0); /* user code is stuck where no interrupt reaches it */
    return NULL;
}

void drive_while(struct drive *drive, bool (*busy)(void *arg), void *arg, int64_t deadline_ms)
{
    if (!busy(arg))
        return;
    if (pthread_mutex_trylock(&drive->wheel) != 0) {
        atomic_store(&drive->wanted, true);
        link_wake(drive->engine->link);
        pthread_mutex_lock(&drive->wheel);
        atomic_store(&drive->wanted, false);
    }
    while (busy(arg) && !comm_left(drive->comm)) {
        int64_t left = deadline_ms < 0 ? INT32_MAX : deadline_ms - ipp_now_ms();
        if (left <= 0)
            break;
        comm_step(drive->comm, left > INT32_MAX ? INT32_MAX : (int)left);
    }
    pthread_mutex_unlock(&drive->wheel);
    take_over_in(drive, TAKE_OVER_NS);
}

enum run_queue_event drive_to_next_request(struct drive *drive, struct request **request)
{
    struct run_queue *queue = drive->engine->queue;
    enum run_queue_event event = run_queue_pop(queue, request);
    if (event == QUEUE_EMPTY && pthread_mutex_trylock(&drive->wheel) == 0) {
        take_over_in(drive, 0);
        while ((event = run_queue_pop(queue, request)) == QUEUE_EMPTY)
            comm_step(drive->comm, INT32_MAX);
        pthread_mutex_unlock(&drive->wheel);
    } else if (event == QUEUE_EMPTY) {
        event = run_queue_await(queue, request);
    }
    take_over_in(drive, event == QUEUE_CLOSED ? 1 : TAKE_OVER_NS);
    return event;
}

struct drive *drive_start(struct engine *engine, ipp_err_t *err)
{
    struct drive *drive = calloc(1, sizeof *drive);
    if (drive)
        drive->comm = comm_create(engine);
    if (!drive || !drive->comm) {
        free(drive);
        ipp_err(err, ENOMEM, "no memory for the comm thread");
        return NULL;
    }
    drive->engine = engine;
    pthread_mutex_init(&drive->wheel, NULL);
    drive->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    int failed =
        drive->timer_fd < 0 ? errno : pthread_create(&drive->comm_thread, NULL, comm_thread, drive);
    if (failed) {
        ipp_err(err, failed, "cannot start the comm thread: %s", strerror(failed));
        return NULL;
    }
    take_over_in(drive, 1); /* Python has yet to start */
    return drive;
}

void drive_join(struct drive *drive)
{
    take_over_in(drive, 1);
    pthread_join(drive->comm_thread, NULL);
    close(drive->timer_fd);
    pthread_mutex_destroy(&drive->wheel);
    comm_destroy(drive->comm);
    free(drive);
}
