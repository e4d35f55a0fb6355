/* SPDX-License-Identifier: BSD-3-Clause
 * A made-up bridge for tests of libippsteer: one steering socket in a thread of its own, which
 * echoes requests and can be told to lose, to hold back and to refuse. One session at a time. */
#ifndef IPP_FAKE_BRIDGE_H
#define IPP_FAKE_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_options {
    bool ipc;                 /* serve ipc:// without keys, else TCP on loopback with CURVE */
    bool refuse_key;          /* ZAP answers 400 */
    bool wrong_key;           /* the file names another server's key */
    bool forgetful;           /* knows no session that wants to be resumed */
    int protocol_in_file;     /* 0: ours */
    const char *location;     /* in the file; NULL: this host */
    const char *attach_error; /* attach_reply's ename; NULL: ok */
};

struct fake_bridge;

/* What the bridge has seen; a copy. */
struct fake_seen {
    uint64_t attached;   /* how often */
    uint64_t requests;   /* accepted: each number once */
    uint64_t duplicates; /* numbers that it had */
    uint64_t chunks, chunk_bytes;
    uint64_t acknowledged;     /* last number of ours that the client has */
    uint64_t acks;             /* messages that only acknowledge */
    uint64_t unanswered_bytes; /* of requests that it has accepted and not acknowledged */
    bool detached;
};

/* Starts, and writes the connection file to `path`. */
struct fake_bridge *fake_start(const char *path, const struct fake_options *options);
/* Stops without a word and frees. */
void fake_stop(struct fake_bridge *fake);

/* Each takes effect before it returns. */
struct fake_seen fake_look(struct fake_bridge *fake);
/* Breaks all connections; what was on its way is lost. */
void fake_cut(struct fake_bridge *fake);
/* While it is mute it takes requests and answers, but sends nothing: the answers go out when it is
 * not any more, or when the client attaches again. */
void fake_mute(struct fake_bridge *fake, bool mute);
/* While it is deaf what arrives is lost. */
void fake_deaf(struct fake_bridge *fake, bool deaf);
/* Events that a bridge publishes; `content` is JSON. */
void fake_event(struct fake_bridge *fake, const char *content);
/* Sends the last numbered message again. */
void fake_repeat(struct fake_bridge *fake);
/* An attach_reply with that ename, which nobody has asked for. */
void fake_disown(struct fake_bridge *fake, const char *ename);
/* Closes its socket until fake_cut. */
void fake_close(struct fake_bridge *fake);

#endif
