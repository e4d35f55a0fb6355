/* SPDX-License-Identifier: BSD-3-Clause
 * Fuzzes the codec: arbitrary frames, signed on request so that the way behind the signature is
 * reached.
 *
 * Input: one byte of flags, then frames as [length byte][bytes]; 254 is followed by a 2-byte
 * big-endian length, 255 is the delimiter frame. A length beyond the end takes what is left. */
#include "wire/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIGN = 1, UNSIGNED = 2, REPLAY = 4 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char delimiter[] = "<IDS|MSG>";

static void split(ipp_frames_t *frames, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = data[at++];
        if (length == 255) {
            ipp_frames_push_copy(frames, delimiter, strlen(delimiter));
            continue;
        }
        if (length == 254 && size - at >= 2) {
            length = (size_t)data[at] << 8 | data[at + 1];
            at += 2;
        }
        if (length > size - at)
            length = size - at;
        ipp_frames_push_copy(frames, data + at, length);
        at += length;
    }
}

/* Puts the right signature where the first delimiter wants it; frames too few for that are left
 * alone. */
static void sign(ipp_frames_t *frames, const wire_signer_t *signer)
{
    ipp_frames_t encoded = { 0 };
    size_t at = 0;
    while (at < frames->count && !ipp_frame_equals(frames->at[at], delimiter, strlen(delimiter)))
        at++;
    if (frames->count - at < 6)
        return;
    const wire_msg_t msg = { .header = frames->at[at + 2],
                             .parent = frames->at[at + 3],
                             .metadata = frames->at[at + 4],
                             .content = frames->at[at + 5] };
    CHECK(wire_encode(&encoded, &msg, signer) == 0 && encoded.count == 6);
    ipp_frame_unref(frames->at[at + 1]);
    frames->at[at + 1] = ipp_frame_ref(encoded.at[1]);
    ipp_frames_clear(&encoded);
}

static void check_same(const ipp_frames_t *a, const ipp_frames_t *b)
{
    CHECK(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        CHECK(ipp_frame_equals(a->at[i], ipp_frame_data(b->at[i]), ipp_frame_size(b->at[i])));
}

static void check_failure(int code, const ipp_err_t *err)
{
    CHECK(code == EBADMSG || code == EACCES || code == EALREADY);
    CHECK(err->text[0]);
    for (const char *c = err->text; *c; c++)
        CHECK(*c >= ' ' && *c <= '~');
}

/* What was read can be written, and reads the same again. */
static void check_json(ipp_frame_t *frame)
{
    ipp_err_t err;
    json_t *value = wire_json_read(frame, &err);
    if (!value) {
        check_failure(errno, &err);
        return;
    }
    ipp_frame_t *written = wire_json_frame(value);
    CHECK(written);
    json_t *again = wire_json_read(written, &err);
    CHECK(again && json_equal(value, again));
    json_decref(value);
    json_decref(again);
    ipp_frame_unref(written);
}

static void check_decoded(const wire_msg_t *msg)
{
    const char *msg_type = wire_json_string(msg->header_json, "msg_type", NULL);
    CHECK(msg_type && wire_json_string(msg->header_json, "msg_id", NULL));
    for (unsigned channel = 0; channel < WIRE_CHANNELS; channel++) {
        const struct wire_op_info *op = wire_op_find((enum wire_channel)channel, msg_type);
        CHECK(op ? (op->channels & 1u << channel) != 0 : errno == ENOENT || errno == EPROTOTYPE);
    }
    CHECK(msg->identities.count <= 16);
    check_json(msg->header);
    check_json(msg->parent);
    check_json(msg->metadata);
    check_json(msg->content);
}

/* What can be unpacked can be packed; and unpack(pack(x)) == x. */
static void check_packs(const ipp_frames_t *original)
{
    ipp_frames_t frames = { 0 }, packed = { 0 };
    ipp_frames_share(&frames, original, 0);
    if (wire_unpack(&frames, 0) == 0) {
        CHECK(wire_pack(&frames, 0) == 0);
    } else {
        CHECK(errno == EBADMSG);
        check_same(&frames, original);
    }
    ipp_frames_share(&packed, original, 0);
    CHECK(wire_pack(&packed, 0) == 0 && wire_unpack(&packed, 0) == 0);
    check_same(&packed, original);
    ipp_frames_clear(&frames);
    ipp_frames_clear(&packed);
}

/* decode(encode(x)) == x, a replay is refused, and nothing is changed by a refusal. */
static void check_round(wire_msg_t *msg, wire_signer_t *signer, const ipp_frames_t *original,
                        int flags)
{
    ipp_frames_t encoded = { 0 };
    ipp_err_t err;
    check_decoded(msg);
    CHECK(wire_encode(&encoded, msg, signer) == 0);
    if (!(flags & UNSIGNED))
        check_same(&encoded, original);
    wire_msg_t again = { 0 };
    int result = wire_decode(&again, &encoded, signer, &err);
    if (flags & REPLAY && !(flags & UNSIGNED)) {
        CHECK(result < 0 && errno == EALREADY && !again.header);
        CHECK(encoded.count == original->count);
    } else {
        CHECK(result == 0 && encoded.count == 0);
        CHECK(json_equal(msg->header_json, again.header_json));
        check_same(&msg->identities, &again.identities);
        check_same(&msg->buffers, &again.buffers);
        CHECK(msg->content == again.content); /* the very frames: never copied */
    }
    wire_msg_clear(&again);
    ipp_frames_clear(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const int flags = data[0];
    wire_signer_t *signer = wire_signer_create(flags & UNSIGNED ? "" : "key", flags & REPLAY);
    ipp_frames_t frames = { 0 }, original = { 0 };
    wire_msg_t msg = { 0 };
    ipp_err_t err = { "" };
    CHECK(signer);
    split(&frames, data + 1, size - 1);
    check_packs(&frames);
    if (flags & SIGN)
        sign(&frames, signer);
    ipp_frames_share(&original, &frames, 0);
    if (wire_decode(&msg, &frames, signer, &err) == 0) {
        CHECK(frames.count == 0);
        check_round(&msg, signer, &original, flags);
    } else {
        check_failure(errno, &err);
        check_same(&frames, &original);
        CHECK(!msg.header && !msg.header_json && !msg.identities.at && !msg.buffers.at);
    }
    wire_msg_clear(&msg);
    ipp_frames_clear(&frames);
    ipp_frames_clear(&original);
    wire_signer_destroy(signer);
    return 0;
}
