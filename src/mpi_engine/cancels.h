/* SPDX-License-Identifier: BSD-3-Clause
 * Tasks of this engine's that are not wanted any more. Any thread. */
#ifndef IPP_CANCELS_H
#define IPP_CANCELS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cancels cancels_t;

enum cancel {
    CANCEL_NONE,
    CANCEL_UNWANTED,   /* by who has submitted it */
    CANCEL_TAKEN_BACK, /* by the balancer, which answers for it or has it run elsewhere */
};

/* NULL: ENOMEM. */
cancels_t *cancels_create(void);
void cancels_destroy(cancels_t *cancels); /* NULL is fine */

/* Without memory it is not noted: the task goes on. */
void cancels_add(cancels_t *cancels, uint64_t task, enum cancel why);
bool cancels_has(cancels_t *cancels, uint64_t task);
/* Why it is cancelled, and forgets it. */
enum cancel cancels_take(cancels_t *cancels, uint64_t task);

/* Words that came too late stay. Who finds no task left says up to which they are of no more use:
 * what cancels_mark gave before it looked. */
uint64_t cancels_mark(cancels_t *cancels);
void cancels_forget(cancels_t *cancels, uint64_t mark);

#endif
