/* SPDX-License-Identifier: BSD-3-Clause
 * Ctrl-C: counted, and whoever waits for the cluster wakes up. */
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "steer/cli/cli.h"

static _Atomic int count;
static ipp_steer_t *volatile woken;

static void on_signal(int number)
{
    atomic_fetch_add(&count, 1);
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
    sigaction(SIGINT, &action, NULL);
}

int cli_interrupts(void)
{
    return atomic_exchange(&count, 0);
}
