/* SPDX-License-Identifier: BSD-3-Clause
 * Whether bridge and balancer look for an answer that is about to come, or sleep until it is there:
 * to wake up takes a processor longer than many an engine takes to answer. */
#ifndef IPP_BUSY_POLL_H
#define IPP_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

struct busy_poll {
    int cores;          /* shared with engines; INT_MAX: there is one of its own */
    int64_t average_ns; /* of the last waits */
};

/* `own_core`: no engine runs where this thread does. */
void busy_poll_init(struct busy_poll *poll, bool own_core);
/* How long to look before sleeping, in ns, while `at_work` engines owe an answer. 0 where they need
 * the cores themselves, or where what was waited for has been taking longer. */
int64_t busy_poll_limit(const struct busy_poll *poll, int at_work);
/* A wait, for an answer or a request, took so long. */
void busy_poll_waited(struct busy_poll *poll, int64_t waited_ns);

#endif
