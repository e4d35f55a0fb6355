/* SPDX-License-Identifier: BSD-3-Clause
 * The door of wire: one Jupyter message and its bytes, the table of operations, the connection
 * file.
 *
 * A message on a socket is [identities...] <IDS|MSG> signature header parent metadata content
 * [buffers...]; the four JSON frames are kept as the bytes that were sent, so that they can be
 * passed on, signed and compared unchanged. */
#ifndef IPP_WIRE_H
#define IPP_WIRE_H

#include <jansson.h>

#include "base/base.h"

/* ---- operations (ops.def) ---- */

enum wire_channel {
    WIRE_QUERY,
    WIRE_MUX,
    WIRE_TASK,
    WIRE_BROADCAST,
    WIRE_CONTROL,
    WIRE_IOPUB,
    WIRE_NOTIFICATION,
    WIRE_PORTS, /* those above have a port each; those below are on the steering socket alone */
    WIRE_ENGINES = WIRE_PORTS,
    WIRE_SESSION,
    WIRE_CHUNK,
    WIRE_ACK,
    WIRE_CHANNELS
};
enum wire_destination { WIRE_TO_BRIDGE, WIRE_TO_RUN, WIRE_TO_CONTROL, WIRE_TO_ABSENT };
enum wire_role { WIRE_ROLE_OBSERVER, WIRE_ROLE_OPERATOR, WIRE_ROLE_OWNER };
enum wire_op {
#define IPP_OP(symbol, ...) WIRE_OP_##symbol,
#include "wire/ops.def"
    WIRE_OP_COUNT
};

struct wire_op_info {
    enum wire_op op;
    const char *request, *reply; /* msg_type of both */
    unsigned channels;           /* bit 1 << enum wire_channel for each channel that takes it */
    enum wire_destination destination;
    enum wire_role role;
    const char *doc;
};

/* Name of a channel, in the connection file and on the steering socket ("registration", "mux",
 * "engines", ...). */
const char *wire_channel_name(enum wire_channel channel);
/* The channel of that name; -1 when there is none. `name` need not end with a NUL. */
int wire_channel_find(const void *name, size_t size);
/* "observer", "operator", "owner". */
const char *wire_role_name(enum wire_role role);
/* -1 for any other word. */
int wire_role_find(const char *name);

/* The row for `msg_type` on `channel`; NULL with errno ENOENT (nobody knows the type) or EPROTOTYPE
 * (known, but not on this channel). */
const struct wire_op_info *wire_op_find(enum wire_channel channel, const char *msg_type);
const struct wire_op_info *wire_op_info(enum wire_op op);

/* ---- messages ---- */

/* A message owns one reference to each frame. Start it as {0}; clearing an empty one is fine. */
typedef struct wire_msg {
    ipp_frames_t identities;
    ipp_frame_t *header, *parent, *metadata, *content;
    ipp_frames_t buffers;
    json_t *header_json; /* `header` parsed, as wire_decode left it; NULL in a message you build */
} wire_msg_t;

void wire_msg_clear(wire_msg_t *msg);

/* Signs and verifies: HMAC-SHA256 with the connection file's key, and a bounded memory of
 * signatures already seen. */
typedef struct wire_signer wire_signer_t;
/* An empty key means unsigned messages, as in Jupyter. `remember`: how many signatures a replay is
 * checked against, 0 for none. One signer is one thread's for decoding; encoding only reads it.
 * NULL with errno ENOMEM. */
wire_signer_t *wire_signer_create(const char *key, size_t remember);
void wire_signer_destroy(wire_signer_t *signer); /* NULL is fine; keeps errno */
/* A fresh random key: 48 hexadecimal digits. */
void wire_key_generate(char out[49]);

/* Takes the frames of one multipart message apart. On success `msg` owns them (what it held before
 * is dropped) and `frames` is empty. On failure both, and the memory of signatures, are unchanged
 * and errno says: EBADMSG no delimiter after at most 16 identities, too few frames, or a header
 * that is not a JSON object with strings msg_id and msg_type; EACCES wrong signature; EALREADY a
 * signature seen before; ENOMEM. Parent, metadata and content are not parsed here: whoever reads
 * them with wire_json_read meets the error, and has the header with which to answer it. */
int wire_decode(wire_msg_t *msg, ipp_frames_t *frames, wire_signer_t *signer, ipp_err_t *err);

/* Appends the signed frames of `msg`, identities first, to `out` (references are shared, msg is
 * unchanged). A parent, metadata or content that is NULL is sent as {}. On failure `out` is
 * unchanged; errno EINVAL (no header) or ENOMEM. */
int wire_encode(ipp_frames_t *out, const wire_msg_t *msg, const wire_signer_t *signer);

/* ---- the head of a message on the steering socket (docs/protocol.md) ---- */

#define WIRE_STEERING_PROTOCOL 1
#define WIRE_HEAD_BYTES 32
#define WIRE_TOKEN_LEN 32 /* hexadecimal digits */

/* Limits of a session that both sides hold to. */
#define WIRE_ACK_MESSAGES 64
#define WIRE_ACK_BYTES ((size_t)1 << 20)
#define WIRE_WINDOW_BYTES ((size_t)32 << 20) /* a client's unacknowledged requests */
#define WIRE_CHUNK_BYTES ((size_t)4 << 20)
#define WIRE_CHUNKED_BYTES ((size_t)8 << 20) /* larger buffers travel in chunks */

enum wire_head_flags { WIRE_HEAD_LAST = 1, WIRE_HEAD_ERROR = 2, WIRE_HEAD_ABORTED = 4 };

struct wire_head {
    uint64_t sequence, acknowledged, request;
    int32_t engine;
    uint32_t flags;
};

void wire_head_write(char out[WIRE_HEAD_BYTES], const struct wire_head *head);
/* NULL: ENOMEM. */
ipp_frame_t *wire_head_frame(const struct wire_head *head);
/* -1 when the frame has another size. */
int wire_head_read(struct wire_head *head, ipp_frame_t *frame);

/* ---- packs: the small frames of a message on the steering socket, in one ---- */

#define WIRE_PACKED_BYTES 4096

/* A frame's bytes, which stay the caller's. NULL: the frame follows the pack. */
struct wire_slice {
    const void *data;
    size_t size;
};

/* The pack of a message of such frames. NULL with errno ENOMEM, also when one of 4 GiB is to be in
 * it. */
ipp_frame_t *wire_pack_slices(const struct wire_slice *slices, size_t count);
/* Puts the pack of the frames from `first` on in their place, and those larger than
 * WIRE_PACKED_BYTES behind. -1, unchanged: ENOMEM. */
int wire_pack(ipp_frames_t *frames, size_t first);
/* Undoes it. -1, unchanged, with errno EBADMSG (the pack at `first` is none, or is of other frames
 * than follow it) or ENOMEM. */
int wire_unpack(ipp_frames_t *frames, size_t first);

/* ---- messages on ZeroMQ sockets ---- */

#define WIRE_Z85_LEN 40 /* a CURVE key */

/* Adds the next message's frames to `frames`; 1, or 0 when there is none. Large ones are not
 * copied. `user` (may be NULL) gets the name that ZAP gave the sender, "" without one. */
int wire_socket_receive(void *socket, ipp_frames_t *frames, char user[WIRE_Z85_LEN + 1]);
/* Sends and empties `frames`; never waits. -1: EHOSTUNREACH the peer (first frame) is gone, EAGAIN
 * the queue is full, ENOMEM. */
int wire_socket_send(void *socket, ipp_frames_t *frames);

/* A fresh key pair of CURVE's. -1 with errno ENOTSUP when libzmq has no CURVE. */
int wire_curve_keypair(char public_key[WIRE_Z85_LEN + 1], char secret_key[WIRE_Z85_LEN + 1]);
/* Whether these two belong together. */
bool wire_curve_is_pair(const char *public_key, const char *secret_key);

/* ---- JSON in frames ---- */

/* A new reference to the object in `frame`; NULL with a text and errno EBADMSG when it is not one
 * JSON object, or ENOMEM. Strings in it may hold NUL. Of duplicate keys the last one counts, as in
 * Python. */
json_t *wire_json_read(ipp_frame_t *frame, ipp_err_t *err);
/* Compact JSON of an object or array; does not take the reference. NULL with errno EINVAL (neither
 * of them, or NULL, as a json_pack leaves it that met a string not in UTF-8) or ENOMEM. */
ipp_frame_t *wire_json_frame(const json_t *value);
/* The same, taking the reference to `value` (as json_pack leaves it). */
ipp_frame_t *wire_json_frame_new(json_t *value);
/* Writes it indented with ipp_private_write; does not take the reference. -1 with a text, EINVAL
 * for what wire_json_frame refuses. */
int wire_json_write(const char *path, const json_t *value, ipp_err_t *err);
/* The string at object[key], or `fallback` when it is missing, no string or one with a NUL inside.
 * Borrowed from `object`. */
const char *wire_json_string(const json_t *object, const char *key, const char *fallback);

/* So many random digits of 0-9a-f and a NUL; even, at most 128. Ends the process when the machine
 * has no randomness. */
void wire_random_hex(char *out, size_t digits);
/* A random UUID (version 4), 36 characters. */
void wire_uuid(char out[37]);
/* ---- JSON objects that are made often ---- */

/* An object of which only some strings differ from one use to the next, the blanks. */
typedef struct wire_form wire_form_t;
/* Of `object`, whose reference is taken, the first `blanks` members are blanks: "" each. NULL with
 * errno EINVAL (they are not, or a string is not in UTF-8) or ENOMEM. */
wire_form_t *wire_form_create(json_t *object, size_t blanks);
void wire_form_destroy(wire_form_t *form); /* NULL is fine; keeps errno */
/* The object with `values`, one for each blank, as they stand between the quotes of JSON: escaped
 * already where need be. Any thread. NULL: ENOMEM. */
ipp_frame_t *wire_form_fill(const wire_form_t *form, const struct wire_slice *values);

/* Makes the headers of one session: fresh msg_id, date now, username "ipp", protocol version 5.3.
 * NULL with errno ENOMEM. */
typedef struct wire_headers wire_headers_t;
wire_headers_t *wire_headers_create(const char *session);
void wire_headers_destroy(wire_headers_t *headers); /* NULL is fine; keeps errno */
/* Any thread. NULL with errno EINVAL (a string not in UTF-8) or ENOMEM. */
ipp_frame_t *wire_headers_next(wire_headers_t *headers, const char *msg_type);

/* ---- copies of a broadcast: each has a msg_id of its own ---- */

/* "MSGID_UUID", however long that is. The caller frees it. NULL with errno ENOMEM. */
char *wire_copy_id(const char *msg_id, const char *uuid);
/* Gives the header of a broadcast the msg_id of that copy. -1, unchanged, with errno EINVAL (no
 * msg_id in it, or a uuid not in UTF-8) or ENOMEM. */
int wire_copy_rename(json_t *header, const char *uuid);
/* The header of a broadcast from which its copies' are made without reading it: msg_id is its
 * first member, and its string ends at *id_end. NULL with errno EINVAL (no msg_id) or ENOMEM. */
ipp_frame_t *wire_copies_header(json_t *header, size_t *id_end);
/* The header of the copy for the engine `uuid`, which needs no escaping. NULL with errno EBADMSG
 * (id_end is not where a string ends) or ENOMEM. */
ipp_frame_t *wire_copy_header(ipp_frame_t *header, size_t id_end, const char *uuid);
/* The broadcast's own msg_id, as it stands in such a header or in a copy's; the frame's bytes. */
struct wire_slice wire_copies_id(ipp_frame_t *header, size_t id_end);

/* ---- the connection file, as ipyparallel reads it, with keys of ours beside ---- */

/* The steering socket, and the keys with which a client may speak to it. */
struct wire_steering {
    int protocol, port;
    char *ipc; /* an endpoint for clients on the same host; "" when there is none */
    char server_key[WIRE_Z85_LEN + 1], public_key[WIRE_Z85_LEN + 1], secret_key[WIRE_Z85_LEN + 1];
};

typedef struct wire_connection {
    char *interface;         /* "tcp://127.0.0.1" */
    char *location;          /* host name or address clients should come from */
    char *key;               /* HMAC key; NULL in an invitation */
    char *cluster_id;        /* "" for the default cluster */
    char *python;            /* "3.11.2" */
    int ports[WIRE_PORTS];   /* by enum wire_channel; 0 in an invitation */
    int engines;             /* how many there were when the file was written */
    const char *task_scheme; /* the balancer's, borrowed; NULL: leastload */
    long pid;                /* the bridge's process; 0 in an invitation */
    struct wire_steering steering;
    /* An invitation's; NULL in the owner's file. */
    char *invited, *role;
    char *expires; /* ISO date; NULL: never */
} wire_connection_t;

void wire_connection_clear(wire_connection_t *connection);

/* Path of the file for a profile (NULL: "default") and cluster id (NULL or "": none):
 * FOLDER/profile_NAME/security/ipcontroller[-ID]-client.json, FOLDER being $IPYTHONDIR or
 * ~/.ipython. The caller frees it. NULL with a text and errno EINVAL (either has a '/', a control
 * character or a leading '.'), ENOENT (no home is known) or ENOMEM. */
char *wire_connection_path(const char *profile, const char *cluster_id, ipp_err_t *err);
/* Writes it whole or not at all (temporary file, mode 0600, rename), making missing folders with
 * mode 0700. errno EINVAL when interface, location, key, a port or pid is missing (cluster_id and
 * python may be NULL) or a string is not in UTF-8, else what the file system said. */
int wire_connection_write(const char *path, const wire_connection_t *connection, ipp_err_t *err);
/* Reads one that we wrote; errno ENOENT, EACCES, EBADMSG and a text that names the file and the key
 * at fault. On success the strings are the caller's (wire_connection_clear), what `connection` held
 * before is dropped; on failure it is unchanged. */
int wire_connection_read(const char *path, wire_connection_t *connection, ipp_err_t *err);
/* Whether only the cluster's own host can connect: it listens on a loopback address. */
bool wire_connection_is_local(const wire_connection_t *connection);
/* Removes the file of a cluster that is gone, and the local socket that it names. */
void wire_connection_remove(const char *path);

#endif
