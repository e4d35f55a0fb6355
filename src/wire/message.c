/* SPDX-License-Identifier: BSD-3-Clause
 * The codec: the frames of one multipart message, taken apart and put together. */
#include "wire/sign.h"

#include <errno.h>
#include <string.h>

#define MAX_IDENTITIES 16

static const char delimiter[] = "<IDS|MSG>";
#define DELIMITER_LEN (sizeof delimiter - 1)

/* Where things are, counted from the delimiter. */
enum { AT_SIGNATURE = 1, AT_HEADER, AT_PARENT, AT_METADATA, AT_CONTENT, AT_BUFFERS };

void wire_msg_clear(wire_msg_t *msg)
{
    int saved_errno = errno;
    ipp_frames_clear(&msg->identities);
    ipp_frame_unref(msg->header);
    ipp_frame_unref(msg->parent);
    ipp_frame_unref(msg->metadata);
    ipp_frame_unref(msg->content);
    ipp_frames_clear(&msg->buffers);
    json_decref(msg->header_json);
    *msg = (wire_msg_t){ 0 };
    errno = saved_errno;
}

/* Where the delimiter is, or -1; never looks beyond the identities a message may have. */
static int find_delimiter(const ipp_frames_t *frames, size_t *at, ipp_err_t *err)
{
    for (*at = 0; *at < frames->count && *at <= MAX_IDENTITIES; ++*at)
        if (ipp_frame_equals(frames->at[*at], delimiter, DELIMITER_LEN))
            return 0;
    return ipp_err(err, EBADMSG, "no %s within the first %zu frames", delimiter, *at);
}

static int verify(const wire_signer_t *signer, ipp_frame_t *const *from_delimiter,
                  unsigned char digest[SIGN_DIGEST_BYTES], ipp_err_t *err)
{
    sign_digest(signer, from_delimiter + AT_HEADER, digest);
    if (!sign_matches(digest, from_delimiter[AT_SIGNATURE]))
        return ipp_err(err, EACCES, "wrong signature: the sender has another key");
    if (sign_seen(signer, digest))
        return ipp_err(err, EALREADY, "a signature seen before: the message was sent twice");
    return 0;
}

static json_t *read_header(ipp_frame_t *frame, ipp_err_t *err)
{
    ipp_err_t why;
    json_t *header = wire_json_read(frame, &why);
    if (!header) {
        ipp_err(err, errno, "header: %s", why.text);
        return NULL;
    }
    static const char *const needed[] = { "msg_id", "msg_type" };
    for (int i = 0; i < 2; i++) {
        if (!wire_json_string(header, needed[i], NULL)) {
            json_decref(header);
            ipp_err(err, EBADMSG, "header: no string %s", needed[i]);
            return NULL;
        }
    }
    return header;
}

/* Shares the frames out to `msg`; the caller drops the list's own references, or what there is of
 * `msg`. */
static int take_apart(wire_msg_t *msg, const ipp_frames_t *frames, size_t at)
{
    ipp_frame_t *const *from_delimiter = frames->at + at;
    const ipp_frames_t identities = { .at = frames->at, .count = at };
    if (ipp_frames_share(&msg->identities, &identities, 0) < 0 ||
        ipp_frames_share(&msg->buffers, frames, at + AT_BUFFERS) < 0)
        return -1;
    msg->header = ipp_frame_ref(from_delimiter[AT_HEADER]);
    msg->parent = ipp_frame_ref(from_delimiter[AT_PARENT]);
    msg->metadata = ipp_frame_ref(from_delimiter[AT_METADATA]);
    msg->content = ipp_frame_ref(from_delimiter[AT_CONTENT]);
    return 0;
}

int wire_decode(wire_msg_t *msg, ipp_frames_t *frames, wire_signer_t *signer, ipp_err_t *err)
{
    size_t at;
    unsigned char digest[SIGN_DIGEST_BYTES];
    if (find_delimiter(frames, &at, err) < 0)
        return -1;
    if (frames->count - at < AT_BUFFERS)
        return ipp_err(err, EBADMSG, "%zu frames after %s, not 5 or more", frames->count - at - 1,
                       delimiter);
    if (sign_enabled(signer) && verify(signer, frames->at + at, digest, err) < 0)
        return -1;
    wire_msg_t fresh = { .header_json = read_header(frames->at[at + AT_HEADER], err) };
    if (!fresh.header_json)
        return -1;
    if (take_apart(&fresh, frames, at) < 0) {
        wire_msg_clear(&fresh);
        return ipp_err(err, ENOMEM, "no memory for a message of %zu frames", frames->count);
    }
    if (sign_enabled(signer))
        sign_remember(signer, digest);
    ipp_frames_clear(frames);
    wire_msg_clear(msg);
    *msg = fresh;
    return 0;
}

static void shorten(ipp_frames_t *frames, size_t count)
{
    while (frames->count > count)
        ipp_frame_unref(frames->at[--frames->count]);
}

/* A new reference to what stands in the message: {} for a frame that is not there. */
static ipp_frame_t *frame_or_empty(ipp_frame_t *frame)
{
    return frame ? ipp_frame_ref(frame) : ipp_frame_copy("{}", 2);
}

/* Pushes the signature and the JSON frames: all that is signed, and by what. */
static int push_signed(ipp_frames_t *out, ipp_frame_t *const json[4], const wire_signer_t *signer)
{
    unsigned char digest[SIGN_DIGEST_BYTES];
    char hex[SIGN_HEX_LEN + 1] = "";
    if (sign_enabled(signer)) {
        sign_digest(signer, json, digest);
        sign_hex(digest, hex);
    }
    if (ipp_frames_push_copy(out, hex, strlen(hex)) < 0)
        return -1;
    for (int i = 0; i < 4; i++)
        if (ipp_frames_push(out, ipp_frame_ref(json[i])) < 0)
            return -1;
    return 0;
}

int wire_encode(ipp_frames_t *out, const wire_msg_t *msg, const wire_signer_t *signer)
{
    if (!msg->header) {
        errno = EINVAL;
        return -1;
    }
    const size_t before = out->count;
    ipp_frame_t *json[4] = { ipp_frame_ref(msg->header), frame_or_empty(msg->parent),
                             frame_or_empty(msg->metadata), frame_or_empty(msg->content) };
    int result = -1;
    if (json[1] && json[2] && json[3] && ipp_frames_share(out, &msg->identities, 0) == 0 &&
        ipp_frames_push_copy(out, delimiter, DELIMITER_LEN) == 0 &&
        push_signed(out, json, signer) == 0 && ipp_frames_share(out, &msg->buffers, 0) == 0)
        result = 0;
    if (result < 0)
        shorten(out, before);
    for (int i = 0; i < 4; i++)
        ipp_frame_unref(json[i]);
    return result;
}
