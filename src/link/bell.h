/* SPDX-License-Identifier: BSD-3-Clause
 * Bells: one datagram wakes a rank that sleeps in poll, and says how many messages it will find, so
 * that it need not look for more. A lost one costs a timeout. */
#ifndef IPP_LINK_BELL_H
#define IPP_LINK_BELL_H

#include <netinet/in.h>
#include <sys/un.h>

#include "base/base.h"

#define BELL_INTERFACES 4

/* Where a rank can be rung and reached; exchanged between ranks as bytes. */
struct bell_address {
    char host[128]; /* boot id and network namespace: equal means the same kernel can deliver */
    struct sockaddr_un local; /* abstract Unix name */
    socklen_t local_size;
    uint16_t port; /* UDP, network order */
    uint16_t interface_count;
    struct in_addr interfaces[BELL_INTERFACES]; /* own addresses, loopback left out */
};

typedef struct bell bell_t;

bell_t *bell_create(int rank, struct bell_address *mine, ipp_err_t *err);
void bell_destroy(bell_t *bell);
/* The two descriptors to poll: Unix and UDP. */
void bell_fds(const bell_t *bell, int fds[2]);
/* `news`: so many messages are there since the last ring that was taken; 0: look for yourself.
 * False when there was no room for it, since others wait. */
bool bell_ring(bell_t *bell, const struct bell_address *peer, uint32_t news);
void bell_ring_self(bell_t *bell); /* async-signal-safe */
/* Takes away the rings that wait in one of the two descriptors. Returns the sum of their news, -1
 * when there may be more: one of them had none, came over a network, or they left no room. */
int64_t bell_drain(const bell_t *bell, int fd);

/* True when datagrams to `peer` can go through a Unix socket. */
bool bell_same_host(const struct bell_address *a, const struct bell_address *b);
/* The address of `peer` that shares a network with one of ours, else its first. False when it has
 * none. */
bool bell_pick(const struct bell_address *mine, const struct bell_address *peer,
               struct in_addr *out);

#endif
