/* SPDX-License-Identifier: BSD-3-Clause
 * The bridge's sockets as lists of frames: sockets.c is where ZeroMQ is fenced in. */
#ifndef IPP_SOCKETS_H
#define IPP_SOCKETS_H

#include "base/base.h"
#include "wire/wire.h"

typedef struct sockets sockets_t;

/* The seven of an ipyparallel client are called by their channel (enum wire_channel), then come: */
enum {
    SOCKET_STEERING = WIRE_PORTS, /* with CURVE, on TCP */
    SOCKET_LOCAL,                 /* the same for clients of the same user on this host */
    SOCKET_ZAP,                   /* who may connect to SOCKET_STEERING: see access.c */
    SOCKETS
};

/* Binds all on `ip` at free ports, which go to `ports` and `steering`, and makes the keys there:
 * the server's public key and the owner's pair. NULL with a text that names the address. */
sockets_t *sockets_open(const char *ip, int ports[WIRE_PORTS], struct wire_steering *steering,
                        ipp_err_t *err);
/* Removes the local socket from the file system: connections that are made stay. */
void sockets_hide(sockets_t *sockets);
/* Waits up to linger_ms for what is still to be sent. NULL is fine. */
void sockets_close(sockets_t *sockets, int linger_ms);

/* Blocks until a socket has input, `fd` is readable, or timeout_ms passed (-1: no limit). Returns
 * the sockets with input as bits 1 << which. For the first `busy_ns` it looks again and again
 * rather than sleep. */
unsigned sockets_poll(sockets_t *sockets, int fd, int timeout_ms, int64_t busy_ns);

/* Next message of a socket, [identity frames...]; 1, or 0 when there is none. Its large frames are
 * not copied. `user` (may be NULL): the CURVE key of who sent it, "" on sockets without. */
int sockets_receive(sockets_t *sockets, int which, ipp_frames_t *frames,
                    char user[WIRE_Z85_LEN + 1]);
/* Sends and empties `frames`. -1: EHOSTUNREACH the client (first frame) is gone; ENOMEM. */
int sockets_send(sockets_t *sockets, int which, ipp_frames_t *frames);

#endif
