/* SPDX-License-Identifier: BSD-3-Clause
 * What the simulated ranks share. */
#ifndef IPP_SCALE_H
#define IPP_SCALE_H

#include "link/link.h"

/* CPU time that rank 1 needs, as measured (bench/run c_tasks, c_task_start). */
struct scale_costs {
    double message_ns; /* for each that comes or goes */
    double task_ns;    /* for each task, half when it comes and half when it has ended */
};

link_t *scale_link(const struct scale_costs *costs);
/* Waits for a message and hands it over. */
void scale_receive(link_t *link, void (*deliver)(void *arg, struct link_message *msg), void *arg);
bool scale_waiting(void); /* one is there */

#endif
