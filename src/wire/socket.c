/* SPDX-License-Identifier: BSD-3-Clause
 * A ZeroMQ multipart message as a list of frames, without copying the large ones. */
#include "wire/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Smaller frames are copied: two allocations of ZeroMQ's own cost more. */
#define COPY_BYTES 4096

static void free_message(void *data, void *arg)
{
    (void)data;
    zmq_msg_close(arg);
    free(arg);
}

/* A frame of a message part; takes the part. NULL: ENOMEM. */
static ipp_frame_t *frame_of(zmq_msg_t *part)
{
    size_t size = zmq_msg_size(part);
    if (size <= COPY_BYTES) {
        ipp_frame_t *frame = ipp_frame_copy(zmq_msg_data(part), size);
        zmq_msg_close(part);
        return frame;
    }
    zmq_msg_t *kept = malloc(sizeof *kept);
    if (!kept) {
        zmq_msg_close(part);
        return NULL;
    }
    zmq_msg_init(kept);
    zmq_msg_move(kept, part);
    zmq_msg_close(part);
    ipp_frame_t *frame = ipp_frame_adopt(zmq_msg_data(kept), size, free_message, kept);
    if (!frame)
        free_message(NULL, kept);
    return frame;
}

static void read_user(zmq_msg_t *part, char user[WIRE_Z85_LEN + 1])
{
    const char *id = zmq_msg_gets(part, "User-Id");
    snprintf(user, WIRE_Z85_LEN + 1, "%s", id ? id : "");
}

int wire_socket_receive(void *socket, ipp_frames_t *frames, char user[WIRE_Z85_LEN + 1])
{
    bool more = true, whole = true;
    for (int n = 0; more; n++) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            if (n > 0)
                ipp_log(IPP_LOG_ERROR, "a message broke off: %s", zmq_strerror(errno));
            return 0;
        }
        more = zmq_msg_more(&part);
        if (n == 1 && user) /* the identity before it is ZeroMQ's own */
            read_user(&part, user);
        whole &= ipp_frames_push(frames, frame_of(&part)) == 0;
    }
    if (!whole) { /* no memory for some of it: the rest is of no use */
        ipp_log(IPP_LOG_ERROR, "a message is dropped: no memory");
        ipp_frames_clear(frames);
        return wire_socket_receive(socket, frames, user);
    }
    return 1;
}

static void unref_frame(void *data, void *frame)
{
    (void)data;
    ipp_frame_unref(frame);
}

static int message_of(zmq_msg_t *part, ipp_frame_t *frame)
{
    size_t size = ipp_frame_size(frame);
    if (size > COPY_BYTES) {
        if (zmq_msg_init_data(part, ipp_frame_data(frame), size, unref_frame,
                              ipp_frame_ref(frame)) == 0)
            return 0;
        ipp_frame_unref(frame);
        return -1;
    }
    if (zmq_msg_init_size(part, size) < 0)
        return -1;
    memcpy(zmq_msg_data(part), ipp_frame_data(frame), size);
    return 0;
}

int wire_socket_send(void *socket, ipp_frames_t *frames)
{
    int result = 0;
    for (size_t i = 0; i < frames->count && result == 0; i++) {
        zmq_msg_t part;
        int flags = ZMQ_DONTWAIT | (i + 1 < frames->count ? ZMQ_SNDMORE : 0);
        if (message_of(&part, frames->at[i]) < 0) {
            result = -1;
        } else if (zmq_msg_send(&part, socket, flags) < 0) {
            int saved_errno = errno;
            zmq_msg_close(&part);
            errno = saved_errno;
            result = -1;
        }
    }
    int saved_errno = errno;
    ipp_frames_clear(frames);
    errno = saved_errno;
    return result;
}

int wire_curve_keypair(char public_key[WIRE_Z85_LEN + 1], char secret_key[WIRE_Z85_LEN + 1])
{
    return zmq_curve_keypair(public_key, secret_key);
}

bool wire_curve_is_pair(const char *public_key, const char *secret_key)
{
    char made[WIRE_Z85_LEN + 1];
    return zmq_curve_public(made, secret_key) == 0 && strcmp(made, public_key) == 0;
}
