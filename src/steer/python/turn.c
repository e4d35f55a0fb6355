/* SPDX-License-Identifier: BSD-3-Clause
 * The turn: which thread may use a connection, and how it is handed on. */
#include "steer/python/steer_python.h"

#include <errno.h>

int waiter_init(struct waiter *waiter, enum urgency urgency)
{
    *waiter = (struct waiter){ .lock = PyThread_allocate_lock(), .urgency = urgency };
    if (!waiter->lock) {
        PyErr_NoMemory();
        return -1;
    }
    PyThread_acquire_lock(waiter->lock, WAIT_LOCK);
    return 0;
}

void waiter_free(struct waiter *waiter)
{
    if (!waiter->lock)
        return;
    if (!waiter->signalled)
        PyThread_release_lock(waiter->lock);
    PyThread_free_lock(waiter->lock);
    waiter->lock = NULL;
}

void waiter_signal(struct waiter *waiter)
{
    if (waiter->signalled)
        return;
    waiter->signalled = true;
    PyThread_release_lock(waiter->lock);
}

bool waiter_sleep(struct connection *connection, struct waiter *waiter, int64_t timeout_us)
{
    PyLockStatus status;
    Py_BEGIN_ALLOW_THREADS
    status = PyThread_acquire_lock_timed(waiter->lock, timeout_us, 1);
    Py_END_ALLOW_THREADS
    if (status == PY_LOCK_ACQUIRED) {
        pthread_mutex_lock(&connection->mutex);
        waiter->signalled = false;
        pthread_mutex_unlock(&connection->mutex);
    }
    return status != PY_LOCK_INTR;
}

bool turn_try(struct connection *connection)
{
    if (connection->taken || connection->closed)
        return false;
    connection->taken = true;
    return true;
}

bool turn_wanted(struct connection *connection, enum urgency than)
{
    struct waiter *each;
    TAILQ_FOREACH(each, &connection->waiters, link)
    if (each->urgency < than)
        return true;
    return false;
}

void turn_want(struct connection *connection, struct waiter *waiter)
{
    if (waiter->listed)
        return;
    TAILQ_INSERT_TAIL(&connection->waiters, waiter, link);
    waiter->listed = true;
    if (waiter->urgency < BACKGROUND && connection->steer)
        ipp_steer_wake(connection->steer);
}

bool turn_forget(struct connection *connection, struct waiter *waiter)
{
    if (waiter->listed)
        TAILQ_REMOVE(&connection->waiters, waiter, link);
    bool granted = waiter->granted;
    waiter->listed = waiter->granted = false;
    return granted;
}

void turn_sweep(struct connection *connection)
{
    for (;;) {
        pthread_mutex_lock(&connection->mutex);
        struct call *call = TAILQ_FIRST(&connection->dropped);
        if (call)
            TAILQ_REMOVE(&connection->dropped, call, link);
        pthread_mutex_unlock(&connection->mutex);
        if (!call)
            return;
        call_free(call);
    }
}

void turn_leave(struct connection *connection)
{
    struct waiter *next = NULL, *each;
    turn_sweep(connection);
    pthread_mutex_lock(&connection->mutex);
    TAILQ_FOREACH(each, &connection->waiters, link)
    if (!next || each->urgency < next->urgency)
        next = each;
    if (next) {
        TAILQ_REMOVE(&connection->waiters, next, link);
        next->listed = false;
        next->granted = true;
        waiter_signal(next);
    } else {
        connection->taken = false;
    }
    pthread_mutex_unlock(&connection->mutex);
}

/* One round of waiting for the turn: 1 have it, 0 not yet, -1 a Python exception. */
static int wait_for_turn(struct connection *connection, struct waiter *waiter)
{
    bool interrupted = !waiter_sleep(connection, waiter, -1) && PyErr_CheckSignals() < 0;
    pthread_mutex_lock(&connection->mutex);
    bool granted = waiter->granted, closed = connection->closed;
    if (granted || interrupted || closed)
        turn_forget(connection, waiter);
    pthread_mutex_unlock(&connection->mutex);
    if (interrupted || closed) {
        if (granted)
            turn_leave(connection);
        return interrupted ? -1 : connection_check(connection);
    }
    return granted;
}

int turn_take(struct connection *connection)
{
    struct waiter waiter;
    int result = 0;
    if (connection_check(connection) < 0)
        return -1;
    pthread_mutex_lock(&connection->mutex);
    bool mine = turn_try(connection);
    pthread_mutex_unlock(&connection->mutex);
    if (mine)
        return 0;
    if (waiter_init(&waiter, SENDER) < 0)
        return -1;
    pthread_mutex_lock(&connection->mutex);
    mine = turn_try(connection);
    if (!mine)
        turn_want(connection, &waiter);
    pthread_mutex_unlock(&connection->mutex);
    while (!mine && result == 0)
        result = wait_for_turn(connection, &waiter);
    waiter_free(&waiter);
    return result < 0 ? -1 : 0;
}
