/* SPDX-License-Identifier: BSD-3-Clause
 * Signals: Ctrl-C is counted, and whoever waits for the cluster wakes up; before one that ends us
 * the terminal gets back what it was. */
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "steer/cli/cli.h"

static _Atomic int count, total;
static void (*volatile restore)(void);
static ipp_steer_t *volatile woken;

static void on_signal(int number)
{
    atomic_fetch_add(&count, 1);
    atomic_fetch_add(&total, 1);
    if (woken)
        ipp_steer_wake(woken);
}

void cli_interrupts_catch(ipp_steer_t *steer)
{
    /* No SA_RESTART: a read of the terminal has to return. */
    struct sigaction action = { .sa_handler = steer ? on_signal : SIG_DFL };
    sigemptyset(&action.sa_mask);
    woken = steer;
    atomic_store(&count, 0);
    atomic_store(&total, 0);
    sigaction(SIGINT, &action, NULL);
}

int cli_interrupts(void)
{
    return atomic_exchange(&count, 0);
}

bool cli_was_interrupted(void)
{
    return atomic_load(&total) > 0;
}

/* SA_RESETHAND: what is raised here ends us as soon as this returns. */
static void on_end(int number)
{
    if (restore)
        restore();
    raise(number);
}

void cli_at_end(void (*function)(void))
{
    static const int ends[] = { SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction action = { .sa_handler = on_end, .sa_flags = (int)SA_RESETHAND }, old;
    sigfillset(&action.sa_mask);
    restore = function;
    if (!function)
        action = (struct sigaction){ .sa_handler = SIG_DFL };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        /* nohup's stays ignored */
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
}
