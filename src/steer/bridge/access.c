/* SPDX-License-Identifier: BSD-3-Clause
 * Who may connect to the steering socket, and as what: keys, invitations, and ZAP (ZeroMQ's RFC
 * 27), by which libzmq asks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "steer/bridge/bridge_private.h"

#define GUESTS_MAX 10000
/* A hundred years; what is longer is not meant. */
#define EXPIRES_MAX_S 3.2e9

static void guest_free(struct guest *guest)
{
    if (guest)
        free(guest->name);
    free(guest);
}

static void forget(struct guest **guests, struct guest *guest)
{
    HASH_DEL(*guests, guest); /* NOLINT(clang-analyzer-unix.Malloc): uthash's links confuse it */
    guest_free(guest);
}

static struct guest *add(struct access *access, const char *key, const char *name,
                         enum wire_role role)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (!guest || !(guest->name = strdup(name))) {
        guest_free(guest);
        return NULL;
    }
    struct guest *former;
    HASH_FIND_STR(access->former, key, former);
    if (former)
        forget(&access->former, former);
    snprintf(guest->key, sizeof guest->key, "%s", key);
    guest->role = role;
    ipp_date(guest->invited);
    HASH_ADD_STR(access->guests, key, guest);
    return guest;
}

struct guest *access_add_owner(struct access *access, const char *key)
{
    return add(access, ACCESS_LOCAL, "owner", WIRE_ROLE_OWNER)
               ? add(access, key, "owner", WIRE_ROLE_OWNER)
               : NULL;
}

static bool has_expired(const struct guest *guest)
{
    return guest->expires_ms && guest->expires_ms <= ipp_now_ms();
}

struct guest *access_find(struct access *access, const char *key)
{
    struct guest *guest;
    HASH_FIND_STR(access->guests, key, guest);
    return guest && !has_expired(guest) ? guest : NULL;
}

const struct guest *access_find_former(struct access *access, const char *key,
                                       enum audit_reason *why)
{
    struct guest *expired, *revoked;
    HASH_FIND_STR(access->guests, key, expired);
    HASH_FIND_STR(access->former, key, revoked);
    *why = expired ? AUDIT_EXPIRED : revoked ? AUDIT_REVOKED : AUDIT_UNKNOWN;
    return expired ? expired : revoked;
}

static struct guest *find_name(struct access *access, const char *name)
{
    struct guest *guest = access->guests;
    while (guest && strcmp(guest->name, name) != 0)
        guest = guest->hh.next;
    return guest;
}

void access_clear(struct access *access)
{
    while (access->guests)
        forget(&access->guests, access->guests);
    while (access->former)
        forget(&access->former, access->former);
}

/* ---- ZAP ---- */

enum {
    ZAP_PEER,
    ZAP_EMPTY,
    ZAP_VERSION,
    ZAP_REQUEST,
    ZAP_DOMAIN,
    ZAP_ADDRESS,
    ZAP_IDENTITY,
    ZAP_MECHANISM,
    ZAP_CREDENTIALS,
    ZAP_FRAMES
};

/* "" when it shows none. */
static void zap_key(const ipp_frames_t *asked, char key[WIRE_Z85_LEN + 1])
{
    if (asked->count != ZAP_FRAMES || !ipp_frame_equals(asked->at[ZAP_MECHANISM], "CURVE", 5) ||
        ipp_frame_size(asked->at[ZAP_CREDENTIALS]) != 32)
        key[0] = '\0';
    else
        zmq_z85_encode(key, ipp_frame_data(asked->at[ZAP_CREDENTIALS]), 32);
}

/* Notes who was let in from where, or not. */
static void zap_note(struct bridge *b, const ipp_frames_t *asked, struct guest *guest,
                     const char *key)
{
    enum audit_reason why;
    char address[ADDRESS_LEN];
    snprintf(address, sizeof address, "%.*s", (int)ipp_frame_size(asked->at[ZAP_ADDRESS]),
             (char *)ipp_frame_data(asked->at[ZAP_ADDRESS]));
    if (guest) {
        ipp_date(guest->last_seen);
        memcpy(guest->address, address, sizeof address);
    } else {
        const struct guest *former = access_find_former(&b->access, key, &why);
        audit_refused(b, address, former, why);
    }
}

static void zap_answer(struct bridge *b, const ipp_frames_t *asked)
{
    char key[WIRE_Z85_LEN + 1] = "";
    zap_key(asked, key);
    struct guest *guest = access_find(&b->access, key);
    const char *code = guest ? "200" : "400", *user = guest ? guest->key : "";
    ipp_frames_t answer = { 0 };
    int bad = 0;
    for (int i = ZAP_PEER; i <= ZAP_REQUEST; i++)
        bad |= ipp_frames_push(&answer, ipp_frame_ref(asked->at[i]));
    bad |= ipp_frames_push_copy(&answer, code, 3);
    bad |= ipp_frames_push_copy(&answer, "", 0);
    bad |= ipp_frames_push_copy(&answer, user, strlen(user));
    bad |= ipp_frames_push_copy(&answer, "", 0);
    if (bad || sockets_send(b->sockets, SOCKET_ZAP, &answer) < 0)
        ipp_log(IPP_LOG_ERROR, "a client's key cannot be judged: %s", strerror(errno));
    ipp_frames_clear(&answer);
    zap_note(b, asked, guest, key);
}

void access_answer_zap(struct bridge *b)
{
    ipp_frames_t asked = { 0 };
    while (sockets_receive(b->sockets, SOCKET_ZAP, &asked, NULL)) {
        if (asked.count > ZAP_ADDRESS)
            zap_answer(b, &asked);
        ipp_frames_clear(&asked);
    }
}

/* ---- invitations ---- */

/* Lines of logs and of tables: a name is no place for control characters. */
static bool is_name(const char *name)
{
    size_t length = strlen(name);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return length > 0 && length <= GUEST_NAME_MAX;
}

static bool is_taken(struct access *access, const char *key)
{
    struct guest *guest;
    HASH_FIND_STR(access->guests, key, guest);
    return guest;
}

/* Who it was is kept: so it can be said who is refused. */
static void end_invitation(struct access *access, struct guest *guest)
{
    HASH_DEL(access->guests, guest);
    HASH_ADD_STR(access->former, key, guest);
    if (HASH_COUNT(access->former) > GUESTS_MAX)
        forget(&access->former, access->former);
}

/* A name is free again when its invitation has expired. */
static struct guest *holder(struct access *access, const char *name)
{
    struct guest *guest = find_name(access, name);
    if (guest && has_expired(guest)) {
        end_invitation(access, guest);
        return NULL;
    }
    return guest;
}

/* What the request says, checked; NULL with a text. */
static struct guest *read_invitation(struct bridge *b, const json_t *content, ipp_err_t *err)
{
    const char *name = wire_json_string(content, "name", ""),
               *key = wire_json_string(content, "public_key", "");
    int role = wire_role_find(wire_json_string(content, "role", ""));
    const json_t *expires = json_object_get(content, "expires");
    double expires_s = json_number_value(expires);
    unsigned char raw[32];
    struct guest *guest = NULL;
    if (!is_name(name))
        ipp_err(err, EINVAL, "name: not a line of 1 to %d bytes", GUEST_NAME_MAX);
    else if (role != WIRE_ROLE_OBSERVER && role != WIRE_ROLE_OPERATOR)
        ipp_err(err, EINVAL, "role: not \"observer\" or \"operator\"");
    else if (strlen(key) != WIRE_Z85_LEN || !zmq_z85_decode(raw, key))
        ipp_err(err, EINVAL, "public_key: not a key of %d digits", WIRE_Z85_LEN);
    else if (expires && !json_is_null(expires) && !(expires_s > 0 && expires_s < EXPIRES_MAX_S))
        ipp_err(err, EINVAL, "expires: not a number of seconds");
    else if (holder(&b->access, name))
        ipp_err(err, EEXIST, "%s is invited already: revoke that invitation first", name);
    else if (is_taken(&b->access, key))
        ipp_err(err, EEXIST, "this key is known already, if only as one that has expired");
    else if (HASH_COUNT(b->access.guests) >= GUESTS_MAX)
        ipp_err(err, ENOSPC, "%d invitations are the most there can be", GUESTS_MAX);
    else if (!(guest = add(&b->access, key, name, (enum wire_role)role)))
        ipp_err(err, ENOMEM, "the bridge has no memory for it");
    return guest;
}

static void set_expiry(struct guest *guest, double expires_s)
{
    struct tm utc;
    time_t when = time(NULL) + (time_t)(expires_s + 0.999);
    guest->expires_ms = ipp_now_ms() + (int64_t)(expires_s * 1000);
    strftime(guest->expires, sizeof guest->expires, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &utc));
}

void access_invite(struct bridge *b, const struct origin *from, const wire_msg_t *msg)
{
    ipp_err_t err = { "" };
    json_t *content = wire_json_read(msg->content, &err);
    struct guest *guest = content ? read_invitation(b, content, &err) : NULL;
    if (!guest) {
        answer_error(b, from, msg, "invite_reply", "ValueError", "%s", err.text);
        json_decref(content);
        return;
    }
    const json_t *expires = json_object_get(content, "expires");
    if (json_is_number(expires))
        set_expiry(guest, json_number_value(expires));
    const struct wire_steering *s = &b->connection.steering;
    answer_own(b, from, msg, "invite_reply",
               json_pack("{s:s, s:s, s:i, s:s, s:s, s:s*}", "status", "ok", "server_key",
                         s->server_key, "port", s->port, "interface", b->connection.interface,
                         "location", b->connection.location, "expires",
                         guest->expires[0] ? guest->expires : NULL));
    audit_invited(b, from, guest);
    json_decref(content);
}

/* Those who have come in with a key that holds no more. */
static void end_sessions(struct bridge *b, const char *key)
{
    struct session *s, *next;
    HASH_ITER(hh, b->sessions, s, next)
    {
        if (strcmp(s->key, key) != 0)
            continue;
        if (s->peer)
            attach_refuse(b, s->socket, s->peer, "PermissionError",
                          "the invitation was revoked, or has expired");
        session_end(b, s);
    }
}

void access_revoke(struct bridge *b, const struct origin *from, const wire_msg_t *msg)
{
    json_t *content = wire_json_read(msg->content, NULL);
    const char *name = wire_json_string(content, "name", "");
    struct guest *guest = find_name(&b->access, name);
    if (!guest || guest->role == WIRE_ROLE_OWNER)
        answer_error(b, from, msg, "revoke_reply", "KeyError", "nobody called '%.100s' is invited",
                     name);
    else {
        end_invitation(&b->access, guest);
        end_sessions(b, guest->key);
        audit_revoked(b, from, guest);
        answer_own(b, from, msg, "revoke_reply", json_pack("{s:s}", "status", "ok"));
    }
    json_decref(content);
}

static int attached(struct bridge *b, const struct guest *guest)
{
    int count = 0;
    for (const struct session *s = b->sessions; s; s = s->hh.next)
        count += s->peer && strcmp(s->key, guest->key) == 0;
    return count;
}

void access_list(struct bridge *b, const struct origin *from, const wire_msg_t *msg)
{
    json_t *list = json_array();
    for (const struct guest *g = b->access.guests; g; g = g->hh.next)
        if (g->role != WIRE_ROLE_OWNER)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:i, s:b}", "name",
                                                  g->name, "role", wire_role_name(g->role),
                                                  "invited", g->invited, "expires",
                                                  g->expires[0] ? g->expires : NULL, "last_seen",
                                                  g->last_seen[0] ? g->last_seen : NULL, "attached",
                                                  attached(b, g), "expired", has_expired(g)));
    answer_own(b, from, msg, "invitations_reply",
               json_pack("{s:s, s:o}", "status", "ok", "invitations", list));
}
