/* SPDX-License-Identifier: BSD-3-Clause
 * New headers and the ids in them. */
#include "wire/sign.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void wire_uuid(char out[37])
{
    unsigned char b[16];
    char hex[33];
    sign_random(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
    sodium_bin2hex(hex, sizeof hex, b, sizeof b);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* Message ids are made as Jupyter makes them, RANDOM_PID_N: one random number a process, and the
 * pid for its forks. */
static pthread_once_t prefix_once = PTHREAD_ONCE_INIT;
static char prefix[37];

static void prefix_draw(void)
{
    wire_uuid(prefix);
}

static void next_msg_id(char *out, size_t size)
{
    static _Atomic uint64_t count;
    pthread_once(&prefix_once, prefix_draw);
    snprintf(out, size, "%s_%ld_%llu", prefix, (long)getpid(),
             (unsigned long long)atomic_fetch_add(&count, 1));
}

ipp_frame_t *wire_header_frame(const char *msg_type, const char *session)
{
    char msg_id[96], date[IPP_DATE_LEN];
    next_msg_id(msg_id, sizeof msg_id);
    return wire_json_frame_new(json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "msg_id", msg_id, "msg_type",
                                         msg_type, "username", "ipp", "session", session, "date",
                                         ipp_date(date), "version", "5.3"));
}

char *wire_copy_id(const char *msg_id, const char *uuid)
{
    char *id;
    return asprintf(&id, "%s_%s", msg_id, uuid) < 0 ? NULL : id;
}

int wire_copy_rename(json_t *header, const char *uuid)
{
    const char *msg_id = wire_json_string(header, "msg_id", NULL);
    if (!msg_id) {
        errno = EINVAL;
        return -1;
    }
    char *id = wire_copy_id(msg_id, uuid);
    if (!id)
        return -1;
    int result = json_object_set_new(header, "msg_id", json_string(id));
    free(id);
    if (result < 0)
        errno = EINVAL;
    return result;
}
