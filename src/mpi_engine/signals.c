/* SPDX-License-Identifier: BSD-3-Clause
 * Signals that ask the job to end. */
#include <errno.h>
#include <signal.h>

#include "mpi_engine/mpi_engine.h"

static volatile sig_atomic_t seen;
static link_t *to_wake;

static void on_stop_signal(int sig)
{
    (void)sig;
    int saved_errno = errno;
    seen = 1;
    link_wake(to_wake);
    errno = saved_errno;
}

void stop_signals_install(link_t *link, bool with_sigint)
{
    to_wake = link;
    struct sigaction action = { .sa_handler = on_stop_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    if (with_sigint)
        sigaction(SIGINT, &action, NULL);
}

void stop_signals_ignore(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
}

bool stop_signal_seen(void)
{
    return seen;
}
