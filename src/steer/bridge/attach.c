/* SPDX-License-Identifier: BSD-3-Clause
 * Requests about sessions: to open one or take it up again, to end it, and what to send unasked. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

#define SESSIONS_MAX 1000
#define CLIENT_MAX 200 /* bytes */

void attach_refuse(struct bridge *b, int socket, ipp_frame_t *peer, const char *ename,
                   const char *text)
{
    ipp_frames_t frames = { 0 };
    json_t *content = json_pack("{s:s, s:s, s:s, s:[s], s:i, s:s}", "status", "error", "ename",
                                ename, "evalue", text, "traceback", text, "protocol",
                                WIRE_STEERING_PROTOCOL, "version", PACKAGE_VERSION);
    if (compose(b, &frames, "attach_reply", NULL, json_object(), content))
        session_say(b, socket, peer, 0, WIRE_HEAD_LAST | WIRE_HEAD_ERROR, &frames);
}

static double seconds_left(const struct guest *guest)
{
    return (double)(guest->expires_ms - ipp_now_ms()) / 1000;
}

static void welcome(struct bridge *b, struct session *s, const struct guest *guest, bool resumed,
                    ipp_frame_t *parent)
{
    ipp_frames_t frames = { 0 };
    json_t *content =
        json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:o, s:b, s:I, s:s, s:o}", "status", "ok",
                  "protocol", WIRE_STEERING_PROTOCOL, "version", PACKAGE_VERSION, "python",
                  b->connection.python, "role", wire_role_name(guest->role), "name", guest->name,
                  "expires", guest->expires_ms ? json_real(seconds_left(guest)) : json_null(),
                  "resumed", resumed, "received", (json_int_t)s->received, "cluster_id",
                  b->connection.cluster_id, "engines", engines_about(b));
    if (compose(b, &frames, "attach_reply", parent, json_object(), content))
        session_say(b, s->socket, s->peer, session_may_acknowledge(s), WIRE_HEAD_LAST, &frames);
}

/* A text of a peer's as a short line, for logs, events and terminals. NULL: ENOMEM. */
static char *short_line(const char *text)
{
    size_t size = strnlen(text, CLIENT_MAX);
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--; /* no half of a character */
    char *line = strndup(text, size);
    for (char *c = line; c && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return line;
}

/* Strings of the attach_request that the session is known by. */
static void describe(struct session *s, const wire_msg_t *msg, const json_t *content)
{
    char *label = strdup(wire_json_string(msg->header_json, "session", ""));
    char *client = short_line(wire_json_string(content, "client", "?"));
    if (label) {
        free(s->label);
        s->label = label;
    }
    if (client) {
        free(s->client);
        s->client = client;
    }
}

/* The owner has two ways in. */
static bool same_guest(struct bridge *b, const struct session *s, const struct guest *guest)
{
    const struct guest *opener = access_find(&b->access, s->key);
    return opener && strcmp(opener->name, guest->name) == 0;
}

/* NULL with a text and in *ename what kind of refusal it is. */
static struct session *open_session(struct bridge *b, const struct guest *guest,
                                    const json_t *content, bool *resumed, const char **ename,
                                    ipp_err_t *err)
{
    const char *token = wire_json_string(content, "token", "");
    *ename = "ValueError";
    if (strlen(token) != WIRE_TOKEN_LEN || strspn(token, "0123456789abcdef") != WIRE_TOKEN_LEN) {
        ipp_err(err, EINVAL, "token: not %d hexadecimal digits", WIRE_TOKEN_LEN);
        return NULL;
    }
    struct session *s = session_of_token(b, token);
    json_int_t received = json_integer_value(json_object_get(content, "received"));
    if (s && !same_guest(b, s, guest)) {
        audit_refused(b, guest->address[0] ? guest->address : "local", guest, AUDIT_INTRUDER);
        *ename = "PermissionError";
        ipp_err(err, EACCES, "this session was opened with another key");
        return NULL;
    }
    *resumed = s && json_is_true(json_object_get(content, "resume"));
    if (s && (!*resumed || received < 0 || (uint64_t)received > s->sent)) {
        session_end(b, s); /* its client has begun anew */
        s = NULL;
        *resumed = false;
    }
    if (s)
        session_acknowledged(s, (uint64_t)received);
    else if (HASH_COUNT(b->sessions) >= SESSIONS_MAX)
        ipp_err(err, EAGAIN, "%d clients are connected: the bridge takes no more", SESSIONS_MAX);
    else if (!(s = session_new(b, token, guest)))
        ipp_err(err, ENOMEM, "the bridge has no memory for a session");
    return s;
}

static void attach(struct bridge *b, int socket, ipp_frame_t *peer, struct guest *guest,
                   const wire_msg_t *msg, const json_t *content)
{
    ipp_err_t err = { "" };
    const char *ename;
    bool resumed = false;
    struct session *s = open_session(b, guest, content, &resumed, &ename, &err);
    if (!s || session_attach(b, s, socket, peer) < 0) {
        attach_refuse(b, socket, peer, s ? "MemoryError" : ename, s ? "no memory" : err.text);
        return;
    }
    snprintf(s->address, sizeof s->address, "%s",
             socket == SOCKET_LOCAL ? ACCESS_LOCAL : guest->address);
    describe(s, msg, content);
    welcome(b, s, guest, resumed, msg->header);
    session_resend(b, s);
    ipp_date(guest->last_seen);
    ipp_log(IPP_LOG_INFO, "%s (%s, %s) %s: %s", guest->name, wire_role_name(guest->role),
            s->address, resumed ? "is back" : "is connected", s->client);
    if (!resumed)
        feed_event(b, "attached", false,
                   json_pack("{s:s, s:s, s:s, s:s}", "name", guest->name, "role",
                             wire_role_name(guest->role), "client", s->client, "address",
                             s->address));
}

static void refuse_former(struct bridge *b, int socket, ipp_frame_t *peer, const char *key)
{
    enum audit_reason why;
    const struct guest *former = access_find_former(&b->access, key, &why);
    audit_refused(b, former ? former->address : "", former, why);
    attach_refuse(b, socket, peer, "PermissionError", "the invitation was revoked, or has expired");
}

void attach_message(struct bridge *b, int socket, ipp_frame_t *peer, const char *key,
                    const wire_msg_t *msg)
{
    char text[200];
    ipp_err_t err = { "" };
    struct guest *guest = access_find(&b->access, key);
    json_t *content = wire_json_read(msg->content, &err);
    const json_t *protocol = json_object_get(content, "protocol");
    snprintf(text, sizeof text,
             "this cluster speaks protocol %d (ippmpi %s), the client protocol %lld",
             WIRE_STEERING_PROTOCOL, PACKAGE_VERSION, (long long)json_integer_value(protocol));
    if (!content)
        attach_refuse(b, socket, peer, "ValueError", err.text);
    else if (!guest)
        refuse_former(b, socket, peer, key);
    else if (json_integer_value(protocol) != WIRE_STEERING_PROTOCOL)
        attach_refuse(b, socket, peer, "ProtocolError", text);
    else if (b->phase != PHASE_SERVING)
        attach_refuse(b, socket, peer, "EngineError",
                      b->phase == PHASE_STARTING ? "the cluster is starting"
                                                 : "the cluster is shutting down");
    else
        attach(b, socket, peer, guest, msg, content);
    json_decref(content);
}

/* ---- requests of a session ---- */

static void detach_request(struct bridge *b, const struct origin *from, const wire_msg_t *msg)
{
    struct session *s = from->session;
    const struct guest *guest = access_find(&b->access, s->key);
    json_t *details = json_pack("{s:s}", "name", guest ? guest->name : "?");
    answer_own(b, from, msg, "detach_reply", json_pack("{s:s}", "status", "ok"));
    session_end(b, s);
    feed_event(b, "detached", false, details);
}

static void subscribe(struct bridge *b, const struct origin *from, const wire_msg_t *msg)
{
    static const char *const names[] = {
        [OUTPUT_OWN] = "own", [OUTPUT_ALL] = "all", [OUTPUT_NONE] = "none"
    };
    json_t *content = wire_json_read(msg->content, NULL);
    const char *output = wire_json_string(content, "output", "own");
    int choice = OUTPUT_OWN;
    while (choice <= OUTPUT_NONE && strcmp(names[choice], output) != 0)
        choice++;
    if (choice > OUTPUT_NONE) {
        answer_error(b, from, msg, "subscribe_reply", "ValueError",
                     "output: not \"own\", \"all\" or \"none\" but '%.40s'", output);
    } else {
        bool events = json_is_true(json_object_get(content, "events"));
        bool newly = events && !from->session->events;
        from->session->output = (enum session_output)choice;
        from->session->events = events;
        answer_own(b, from, msg, "subscribe_reply", json_pack("{s:s}", "status", "ok"));
        if (newly)
            feed_replay(b, from->session);
    }
    json_decref(content);
}

void session_request(struct bridge *b, const struct origin *from, const wire_msg_t *msg,
                     const struct wire_op_info *op)
{
    switch (op->op) {
    case WIRE_OP_DETACH:
        detach_request(b, from, msg);
        break;
    case WIRE_OP_SUBSCRIBE:
        subscribe(b, from, msg);
        break;
    case WIRE_OP_INVITE:
        access_invite(b, from, msg);
        break;
    case WIRE_OP_REVOKE:
        access_revoke(b, from, msg);
        break;
    case WIRE_OP_INVITATIONS:
        access_list(b, from, msg);
        break;
    default:
        answer_error(b, from, msg, op->reply, "ValueError", "this connection is attached already");
    }
}
