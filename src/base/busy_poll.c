/* SPDX-License-Identifier: BSD-3-Clause
 * When to look for an answer and when to sleep (docs/decisions/0015-busy-poll.md). */
#include "base/busy_poll.h"

#include <limits.h>
#include <sched.h>

#define LOOK_NS INT64_C(200000)
/* Beyond this an answer is late, however late it is: one of an hour shall not count for a day. */
#define LATE_NS (4 * LOOK_NS)
/* The average moves by 1/8 of what is new. */
#define WEIGHT 8

void busy_poll_init(struct busy_poll *poll, bool own_core)
{
    cpu_set_t set;
    bool known = sched_getaffinity(0, sizeof set, &set) == 0;
    *poll = (struct busy_poll){ .cores = own_core ? INT_MAX
                                         : known  ? CPU_COUNT(&set)
                                                  : 0,
                                .average_ns = LATE_NS };
}

int64_t busy_poll_limit(const struct busy_poll *poll, int at_work)
{
    bool worth = at_work < poll->cores && poll->average_ns <= LOOK_NS;
    return worth ? LOOK_NS : 0;
}

void busy_poll_waited(struct busy_poll *poll, int64_t waited_ns)
{
    int64_t counted = waited_ns < LATE_NS ? waited_ns : LATE_NS;
    poll->average_ns += (counted - poll->average_ns) / WEIGHT;
}
