/* SPDX-License-Identifier: BSD-3-Clause
 * The seven sockets of an ipyparallel client, as lists of frames: sockets.c is where ZeroMQ is
 * fenced in. */
#ifndef IPP_SOCKETS_H
#define IPP_SOCKETS_H

#include "base/base.h"
#include "wire/wire.h"

typedef struct sockets sockets_t;

/* Binds all on `ip` at free ports, which go to `ports`. NULL with a text that names the address. */
sockets_t *sockets_open(const char *ip, int ports[WIRE_PORTS], ipp_err_t *err);
/* Waits up to linger_ms for what is still to be sent. NULL is fine. */
void sockets_close(sockets_t *sockets, int linger_ms);

/* Blocks until a channel has input, `fd` is readable, or timeout_ms passed (-1: no limit). Returns
 * the channels with input as bits 1 << channel. */
unsigned sockets_poll(sockets_t *sockets, int fd, int timeout_ms);

/* Next message of a channel, [identity frames...]; 1, or 0 when there is none. Its large frames are
 * not copied. */
int sockets_receive(sockets_t *sockets, enum wire_channel channel, ipp_frames_t *frames);
/* Sends and empties `frames`. -1: EHOSTUNREACH the client (first frame) is gone; ENOMEM. */
int sockets_send(sockets_t *sockets, enum wire_channel channel, ipp_frames_t *frames);

#endif
