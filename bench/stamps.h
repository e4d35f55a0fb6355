/* SPDX-License-Identifier: BSD-3-Clause
 * What a server that runs with bench/stamps.so preloaded shares with the client that measures it.
 */
#ifndef IPP_BENCH_STAMPS_H
#define IPP_BENCH_STAMPS_H

#include <stdint.h>

/* Names the file, of sizeof(struct stamps), in the server's environment. */
#define STAMPS_VARIABLE "IPP_BENCH_STAMPS"

/* Of the server's ROUTER sockets: nanoseconds of CLOCK_MONOTONIC. */
struct stamps {
    _Atomic int64_t first_in; /* since it was set to 0: a message was taken out of one */
    _Atomic int64_t last_out; /* a message is given to one */
};

#endif
