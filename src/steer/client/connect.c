/* SPDX-License-Identifier: BSD-3-Clause
 * A session's connections, one after the other: tunnel, connection, attach_request; and what is
 * made of it when one of them fails. */
#include "steer/client/client_private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define ATTACH_MS 10000
#define PROBE_MS 5000
#define TUNNEL_MS 30000
#define RETRY_MS 50
#define RETRY_MOST_MS 5000
/* How long nobody of ours may listen behind TCP before the cluster counts as gone. The bridge binds
 * its sockets once, so this is only for what may stand between: a proxy, a far side of a tunnel. */
#define GONE_MS 10000
#define GONE_LOCAL_MS 1000
/* The bridge keeps a session as long. */
#define OFFLINE_MS ((int64_t)3600 * 1000)

/* ---- down ---- */

static int64_t pause_ms(unsigned attempts)
{
    if (attempts == 0)
        return 0;
    int64_t pause = (int64_t)RETRY_MS << (attempts < 8 ? attempts - 1 : 7);
    return pause < RETRY_MOST_MS ? pause : RETRY_MOST_MS;
}

static void watch_extra(ipp_steer_t *steer, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events };
    steer->extra_fd = fd;
    epoll_ctl(steer->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void forget_extra(ipp_steer_t *steer)
{
    if (steer->extra_fd < 0)
        return;
    epoll_ctl(steer->epoll_fd, EPOLL_CTL_DEL, steer->extra_fd, NULL);
    if (steer->state == SESSION_PROBING)
        close(steer->extra_fd); /* a tunnel's is the tunnel's */
    steer->extra_fd = -1;
}

void connect_stop(ipp_steer_t *steer)
{
    forget_extra(steer);
    line_close(&steer->line);
}

void connect_broke(ipp_steer_t *steer, const char *why)
{
    int64_t now = ipp_now_ms();
    connect_stop(steer);
    snprintf(steer->trouble.text, sizeof steer->trouble.text, "%s", why);
    if (steer->offline_since == 0)
        steer->offline_since = now;
    if (steer->ending)
        session_die(steer, ECONNRESET, "%s: the cluster was shut down", steer->place.label);
    else if (now - steer->offline_since > OFFLINE_MS)
        session_die(steer, ECONNRESET, "%s: not reached for an hour: %s", steer->place.label,
                    steer->trouble.text);
    else {
        steer->state = SESSION_DOWN;
        steer->retry_at = now + pause_ms(steer->attempts++);
    }
}

/* Nobody of ours listens there; `patience_ms`: how long that may be so. */
static void gone(ipp_steer_t *steer, const char *why, int64_t patience_ms)
{
    int64_t now = ipp_now_ms();
    if (steer->gone_since == 0)
        steer->gone_since = now;
    if (now - steer->gone_since < patience_ms)
        connect_broke(steer, why);
    else
        session_die(steer, steer->attached_once ? ECONNRESET : ECONNREFUSED,
                    "%s: %s: the cluster is gone%s%s", steer->place.label, why,
                    steer->place.elsewhere ? ", or reached through ssh to its host only: " : "",
                    steer->place.elsewhere ? steer->place.connection.location : "");
}

/* ---- up ---- */

static struct outgoing *attach_message(const ipp_steer_t *steer)
{
    json_t *content = json_pack("{s:i, s:s, s:I, s:b, s:s}", "protocol", WIRE_STEERING_PROTOCOL,
                                "token", steer->token, "received", (json_int_t)steer->received,
                                "resume", (int)steer->attached_once, "client", steer->client);
    char *text = content ? json_dumps(content, JSON_COMPACT) : NULL;
    char *header = request_header(steer, "attach_request", 0);
    struct outgoing *message =
        text && header ? outgoing_create(WIRE_SESSION, header, "{}", text, NULL, 0) : NULL;
    json_decref(content);
    free(header);
    free(text);
    return message;
}

static void open_line(ipp_steer_t *steer)
{
    ipp_err_t err = { "" };
    struct outgoing *attach = attach_message(steer);
    if (!attach || line_open(&steer->line, &steer->place, &err) < 0) {
        connect_broke(steer, attach ? err.text : "no memory");
    } else {
        steer->state = SESSION_CONNECTING;
        steer->deadline = ipp_now_ms() + ATTACH_MS;
        if (!line_send(&steer->line, attach, 0))
            connect_broke(steer, "the connection broke");
    }
    outgoing_destroy(attach);
}

static void open_tunnel(ipp_steer_t *steer)
{
    ipp_err_t err = { "" };
    steer->gone_since = 0; /* what was not reached through the old one may be through this */
    if (tunnel_restart(steer->place.tunnel, &err) < 0) {
        connect_broke(steer, err.text);
        return;
    }
    steer->state = SESSION_TUNNELLING;
    steer->deadline = ipp_now_ms() + TUNNEL_MS;
    watch_extra(steer, tunnel_fd(steer->place.tunnel), EPOLLIN);
}

void connect_start(ipp_steer_t *steer)
{
    if (steer->offline_since == 0)
        steer->offline_since = ipp_now_ms();
    if (steer->place.tunnel && !tunnel_stands(steer->place.tunnel))
        open_tunnel(steer);
    else
        open_line(steer);
}

static bool tunnel_step(ipp_steer_t *steer)
{
    ipp_err_t err = { "" };
    int result = tunnel_progress(steer->place.tunnel, &err);
    if (result == 0)
        return false;
    forget_extra(steer);
    if (result > 0)
        open_line(steer);
    else if (strstr(err.text, "Permission denied"))
        session_die(steer, ECONNRESET, "%s: the tunnel broke, and ssh is not let in again: %s",
                    steer->place.label, err.text);
    else
        connect_broke(steer, err.text);
    return true;
}

/* ---- why not ---- */

/* Nothing stands between us and a bridge on this host, and it does not bind its sockets again. */
static int64_t patience_ms(const ipp_steer_t *steer)
{
    if (!steer->attached_once)
        return 0;
    return steer->place.local ? GONE_LOCAL_MS : GONE_MS;
}

static void explain(ipp_steer_t *steer, int code)
{
    if (code == ECONNREFUSED || (!steer->place.curve && code == ENOENT))
        gone(steer, "nobody listens there", patience_ms(steer));
    else
        connect_broke(steer, code ? strerror(code) : "the connection broke");
}

static void probe(ipp_steer_t *steer)
{
    int fd;
    line_close(&steer->line);
    int code = line_probe(&steer->place, &fd);
    if (fd < 0) {
        explain(steer, code);
        return;
    }
    steer->state = SESSION_PROBING;
    steer->deadline = ipp_now_ms() + PROBE_MS;
    watch_extra(steer, fd, EPOLLOUT);
}

static bool probe_step(ipp_steer_t *steer)
{
    int code;
    if (!line_probe_result(steer->extra_fd, &code))
        return false;
    forget_extra(steer);
    explain(steer, code);
    return true;
}

/* ---- attached ---- */

static void attached(ipp_steer_t *steer, json_t *content)
{
    json_int_t received = json_integer_value(json_object_get(content, "received"));
    if (steer->attached_once && !json_is_true(json_object_get(content, "resumed"))) {
        session_die(steer, ECONNRESET,
                    "%s: the cluster has forgotten this session: what was asked may have run",
                    steer->place.label);
        return;
    }
    if (received < 0 || !outbox_rewind(&steer->outbox, (uint64_t)received)) {
        session_die(steer, EPROTO, "%s: the bridge claims to have what was never sent",
                    steer->place.label);
        return;
    }
    steer->state = SESSION_ATTACHED;
    steer->attached_once = true;
    steer->attempts = 0;
    steer->gone_since = steer->offline_since = 0;
    steer->unsaid_messages = 0;
    steer->unsaid_bytes = 0;
    if (about_set(steer, content) < 0)
        session_die(steer, ENOMEM, "no memory");
}

/* To an attach_request, or unasked: the bridge does not know the connection, or wants it no more.
 */
static void refused(ipp_steer_t *steer, const json_t *content)
{
    const char *ename = wire_json_string(content, "ename", "error");
    const char *evalue = wire_json_string(content, "evalue", "");
    int code = strcmp(ename, "PermissionError") == 0 ? EACCES : EPROTO;
    if (steer->state != SESSION_CONNECTING && code != EACCES)
        connect_broke(steer, evalue);
    else
        session_die(steer, code, "%s: %s: %s", steer->place.label, ename, evalue);
}

void connect_attach_reply(ipp_steer_t *steer, const struct incoming *message)
{
    ipp_err_t err = { "" };
    json_t *content = wire_json_read(message->content, &err);
    if (!content)
        connect_broke(steer, err.text);
    else if (strcmp(wire_json_string(content, "status", ""), "ok") != 0)
        refused(steer, content);
    else if (steer->state == SESSION_CONNECTING)
        attached(steer, content);
    json_decref(content);
}

/* By this host's clock. The cluster has told the next whole second. */
static bool has_expired(const char *date)
{
    struct tm utc;
    char soon[IPP_DATE_LEN];
    time_t when = time(NULL) + 1;
    strftime(soon, sizeof soon, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &utc));
    return date && strcmp(date, soon) <= 0;
}

/* What the file says of itself tells most of it. */
static void refused_key(ipp_steer_t *steer)
{
    const wire_connection_t *file = &steer->place.connection;
    if (file->invited && has_expired(file->expires))
        session_die(steer, EACCES, "%s: the invitation of %s has expired (%s)", steer->place.label,
                    file->invited, file->expires);
    else if (file->invited)
        session_die(steer, EACCES,
                    "%s: the cluster refuses this key: the invitation of %s was revoked, or is of "
                    "another cluster",
                    steer->place.label, file->invited);
    else
        session_die(steer, EACCES,
                    "%s: the cluster refuses this key: the file is of another cluster, or of one "
                    "that has ended",
                    steer->place.label);
}

/* ---- driving ---- */

static bool line_step(ipp_steer_t *steer)
{
    switch (line_event(&steer->line)) {
    case LINE_NOTHING:
        return false;
    case LINE_REFUSED_KEY:
        refused_key(steer);
        break;
    case LINE_NOT_OURS:
        /* Or the connection broke early: one more look. */
        gone(steer, "what listens there is not the cluster of this file",
             steer->attached_once  ? GONE_MS
             : steer->attempts > 0 ? 0
                                   : INT64_MAX);
        break;
    case LINE_CLOSED:
        probe(steer);
        break;
    case LINE_BROKEN:
        connect_broke(steer, "the connection broke");
        break;
    }
    return true;
}

bool connect_step(ipp_steer_t *steer)
{
    int64_t now = ipp_now_ms();
    if (steer->state == SESSION_DOWN) {
        if (now < steer->retry_at)
            return false;
        connect_start(steer);
        return true;
    }
    bool happened = steer->state == SESSION_TUNNELLING ? tunnel_step(steer)
                    : steer->state == SESSION_PROBING  ? probe_step(steer)
                                                       : line_step(steer);
    if (happened || steer->state == SESSION_ATTACHED || now < steer->deadline)
        return happened;
    connect_broke(steer, "nobody answers there");
    return true;
}
