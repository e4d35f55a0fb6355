/* SPDX-License-Identifier: BSD-3-Clause
 * The table of operations, made of ops.def. */
#include "wire/wire.h"

#include <errno.h>
#include <string.h>

/* The words of ops.def's channel column. */
enum {
    QUERY = 1u << WIRE_QUERY,
    MUX = 1u << WIRE_MUX,
    TASK = 1u << WIRE_TASK,
    BROADCAST = 1u << WIRE_BROADCAST,
    CONTROL = 1u << WIRE_CONTROL,
    ENGINES = 1u << WIRE_ENGINES,
    SESSION = 1u << WIRE_SESSION,
    CHUNK = 1u << WIRE_CHUNK
};

static const struct wire_op_info ops[] = {
#define IPP_OP(symbol, request_type, reply_type, channel_mask, to, least_role, sentence)           \
    [WIRE_OP_##symbol] = { .op = WIRE_OP_##symbol,                                                 \
                           .request = request_type,                                                \
                           .reply = reply_type,                                                    \
                           .channels = channel_mask,                                               \
                           .destination = WIRE_TO_##to,                                            \
                           .role = WIRE_ROLE_##least_role,                                         \
                           .doc = sentence },
#include "wire/ops.def"
};

static const char *const channel_names[WIRE_CHANNELS] = {
    [WIRE_QUERY] = "registration",
    [WIRE_MUX] = "mux",
    [WIRE_TASK] = "task",
    [WIRE_BROADCAST] = "broadcast",
    [WIRE_CONTROL] = "control",
    [WIRE_IOPUB] = "iopub",
    [WIRE_NOTIFICATION] = "notification",
    [WIRE_ENGINES] = "engines",
    [WIRE_SESSION] = "session",
    [WIRE_CHUNK] = "chunk",
    [WIRE_ACK] = "ack",
};

static const char *const role_names[] = { [WIRE_ROLE_OBSERVER] = "observer",
                                          [WIRE_ROLE_OPERATOR] = "operator",
                                          [WIRE_ROLE_OWNER] = "owner" };

const char *wire_channel_name(enum wire_channel channel)
{
    return channel_names[channel];
}

int wire_channel_find(const void *name, size_t size)
{
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        if (strlen(channel_names[channel]) == size &&
            memcmp(channel_names[channel], name, size) == 0)
            return channel;
    return -1;
}

const char *wire_role_name(enum wire_role role)
{
    return role_names[role];
}

int wire_role_find(const char *name)
{
    for (int role = WIRE_ROLE_OBSERVER; role <= WIRE_ROLE_OWNER; role++)
        if (strcmp(role_names[role], name) == 0)
            return role;
    return -1;
}

const struct wire_op_info *wire_op_find(enum wire_channel channel, const char *msg_type)
{
    bool known = false;
    for (size_t i = 0; i < WIRE_OP_COUNT; i++) {
        if (strcmp(ops[i].request, msg_type) != 0)
            continue;
        if (ops[i].channels & (1u << channel))
            return &ops[i];
        known = true;
    }
    errno = known ? EPROTOTYPE : ENOENT;
    return NULL;
}

const struct wire_op_info *wire_op_info(enum wire_op op)
{
    return &ops[op];
}
