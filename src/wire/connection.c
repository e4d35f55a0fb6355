/* SPDX-License-Identifier: BSD-3-Clause
 * The connection file: a wire_connection and the JSON that ipyparallel reads. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "wire/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown" /* compiled without configure */
#endif

void wire_connection_clear(wire_connection_t *connection)
{
    free(connection->interface);
    free(connection->location);
    free(connection->key);
    free(connection->cluster_id);
    free(connection->python);
    free(connection->steering.ipc);
    free(connection->invited);
    free(connection->role);
    free(connection->expires);
    explicit_bzero(&connection->steering, sizeof connection->steering);
    *connection = (wire_connection_t){ 0 };
}

/* ---- writing ---- */

static int check_ports(const wire_connection_t *c, ipp_err_t *err)
{
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        if (c->ports[i] < 1 || c->ports[i] > 65535)
            return ipp_err(err, EINVAL, "connection file: port %s is %d",
                           wire_channel_name((enum wire_channel)i), c->ports[i]);
    return 0;
}

static bool is_z85_key(const char *key)
{
    return strlen(key) == WIRE_Z85_LEN;
}

static int check_steering(const struct wire_steering *s, ipp_err_t *err)
{
    if (s->port < 1 || s->port > 65535)
        return ipp_err(err, EINVAL, "connection file: port steering is %d", s->port);
    if (!is_z85_key(s->server_key) || !is_z85_key(s->public_key) || !is_z85_key(s->secret_key))
        return ipp_err(err, EINVAL, "connection file: a key of the steering socket is missing");
    return 0;
}

static int check(const wire_connection_t *c, ipp_err_t *err)
{
    if (!c->interface || !strstr(c->interface, "://"))
        return ipp_err(err, EINVAL, "connection file: no interface of the form tcp://ADDRESS");
    if (!c->location || (!c->key && !c->invited))
        return ipp_err(err, EINVAL, "connection file: no %s", c->location ? "key" : "location");
    if (c->invited && (!c->role || wire_role_find(c->role) < 0))
        return ipp_err(err, EINVAL, "connection file: no role");
    if ((c->pid < 1 && !c->invited) || c->pid < 0 || c->pid > INT_MAX || c->engines < 0)
        return ipp_err(err, EINVAL, "connection file: pid %ld, engines %d", c->pid, c->engines);
    return check_steering(&c->steering, err) < 0 || (!c->invited && check_ports(c, err) < 0) ? -1
                                                                                             : 0;
}

static json_t *steering_json(const struct wire_steering *s)
{
    return json_pack("{s:i, s:i, s:s, s:s, s:s, s:s}", "protocol", s->protocol, "port", s->port,
                     "ipc", s->ipc ? s->ipc : "", "server_key", s->server_key, "public_key",
                     s->public_key, "secret_key", s->secret_key);
}

/* What only we read. */
static json_t *ours_json(const wire_connection_t *c)
{
    json_t *ours = json_pack("{s:s, s:I, s:i, s:s, s:s, s:o}", "version", PACKAGE_VERSION, "pid",
                             (json_int_t)c->pid, "engines", c->engines, "cluster_id",
                             c->cluster_id ? c->cluster_id : "", "python",
                             c->python ? c->python : "", "steering", steering_json(&c->steering));
    if (ours && c->invited &&
        json_object_set_new(ours, "invited",
                            json_pack("{s:s, s:s, s:s?}", "name", c->invited, "role", c->role,
                                      "expires", c->expires)) < 0) {
        json_decref(ours);
        return NULL;
    }
    return ours;
}

/* What an ipyparallel client needs beside. */
static int add_ports(json_t *file, const wire_connection_t *c)
{
    int bad = 0;
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        bad |= json_object_set_new(file, wire_channel_name((enum wire_channel)i),
                                   json_integer(c->ports[i]));
    json_t *rest = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "ssh", "", "key", c->key, "pack",
                             "json", "unpack", "json", "signature_scheme", "hmac-sha256",
                             "task_scheme", c->task_scheme ? c->task_scheme : "leastload");
    bad |= rest ? json_object_update(file, rest) : -1;
    json_decref(rest);
    return bad;
}

static json_t *to_json(const wire_connection_t *c)
{
    json_t *file = json_pack("{s:s, s:s, s:o}", "interface", c->interface, "location", c->location,
                             "ippmpi", ours_json(c));
    if (file && !c->invited && add_ports(file, c) != 0) {
        json_decref(file);
        file = NULL;
    }
    return file;
}

int wire_connection_write(const char *path, const wire_connection_t *connection, ipp_err_t *err)
{
    if (check(connection, err) < 0)
        return -1;
    json_t *file = to_json(connection);
    int result = wire_json_write(path, file, err), saved_errno = errno;
    json_decref(file);
    errno = saved_errno;
    return result;
}

/* ---- reading ---- */

static int take_string(char **to, const json_t *object, const char *key, ipp_err_t *err)
{
    const char *text = wire_json_string(object, key, NULL);
    if (!text)
        return ipp_err(err, EBADMSG, "key \"%s\": not a string", key);
    *to = strdup(text);
    return *to ? 0 : ipp_err(err, ENOMEM, "out of memory");
}

static int expect_string(const json_t *object, const char *key, const char *value, ipp_err_t *err)
{
    if (strcmp(wire_json_string(object, key, ""), value) != 0)
        return ipp_err(err, EBADMSG, "key \"%s\": not \"%s\"", key, value);
    return 0;
}

static int take_integer(int *to, const json_t *object, const char *key, int least, int most,
                        ipp_err_t *err)
{
    const json_t *value = json_object_get(object, key);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < least || number > most)
        return ipp_err(err, EBADMSG, "key \"%s\": not an integer from %d to %d", key, least, most);
    *to = (int)number;
    return 0;
}

static int take_ports(int ports[WIRE_PORTS], const json_t *file, ipp_err_t *err)
{
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        if (take_integer(&ports[i], file, wire_channel_name((enum wire_channel)i), 1, 65535, err) <
            0)
            return -1;
    return 0;
}

static int take_key(char to[WIRE_Z85_LEN + 1], const json_t *object, const char *key,
                    ipp_err_t *err)
{
    const char *text = wire_json_string(object, key, "");
    if (!is_z85_key(text))
        return ipp_err(err, EBADMSG, "key \"%s\": not %d digits", key, WIRE_Z85_LEN);
    memcpy(to, text, WIRE_Z85_LEN + 1);
    return 0;
}

static int take_steering(struct wire_steering *s, const json_t *object, ipp_err_t *err)
{
    if (!json_is_object(object))
        return ipp_err(err, EBADMSG, "key \"steering\": not an object: an older version's file?");
    return take_integer(&s->protocol, object, "protocol", 1, INT_MAX, err) < 0 ||
                   take_integer(&s->port, object, "port", 1, 65535, err) < 0 ||
                   take_string(&s->ipc, object, "ipc", err) < 0 ||
                   take_key(s->server_key, object, "server_key", err) < 0 ||
                   take_key(s->public_key, object, "public_key", err) < 0 ||
                   take_key(s->secret_key, object, "secret_key", err) < 0
               ? -1
               : 0;
}

static int take_invited(wire_connection_t *c, const json_t *invited, ipp_err_t *err)
{
    if (!json_is_object(invited))
        return ipp_err(err, EBADMSG, "key \"invited\": not an object");
    if (take_string(&c->invited, invited, "name", err) < 0 ||
        take_string(&c->role, invited, "role", err) < 0)
        return -1;
    if (wire_role_find(c->role) < 0)
        return ipp_err(err, EBADMSG, "key \"role\": no role is called '%.40s'", c->role);
    return json_is_string(json_object_get(invited, "expires"))
               ? take_string(&c->expires, invited, "expires", err)
               : 0;
}

/* What only we write. A pid of 0 or less must not get out: kill() would take it for a group. */
static int take_ours(wire_connection_t *c, const json_t *ours, ipp_err_t *err)
{
    int pid = 0;
    if (!json_is_object(ours))
        return ipp_err(err, EBADMSG, "key \"ippmpi\": not an object: another program's file?");
    const json_t *invited = json_object_get(ours, "invited");
    if (take_integer(&pid, ours, "pid", invited ? 0 : 1, INT_MAX, err) < 0 ||
        take_integer(&c->engines, ours, "engines", 0, INT_MAX, err) < 0 ||
        take_string(&c->cluster_id, ours, "cluster_id", err) < 0 ||
        take_string(&c->python, ours, "python", err) < 0 ||
        take_steering(&c->steering, json_object_get(ours, "steering"), err) < 0)
        return -1;
    c->pid = pid;
    return invited ? take_invited(c, invited, err) : 0;
}

/* What stands in the owner's file for ipyparallel's client. */
static int take_ports_and_key(wire_connection_t *c, const json_t *file, ipp_err_t *err)
{
    return take_string(&c->key, file, "key", err) < 0 || take_ports(c->ports, file, err) < 0 ||
                   expect_string(file, "pack", "json", err) < 0 ||
                   expect_string(file, "unpack", "json", err) < 0 ||
                   expect_string(file, "signature_scheme", "hmac-sha256", err) < 0
               ? -1
               : 0;
}

static int from_json(wire_connection_t *c, const json_t *file, ipp_err_t *err)
{
    if (take_string(&c->interface, file, "interface", err) < 0 ||
        take_string(&c->location, file, "location", err) < 0 ||
        take_ours(c, json_object_get(file, "ippmpi"), err) < 0)
        return -1;
    return c->invited ? 0 : take_ports_and_key(c, file, err);
}

int wire_connection_read(const char *path, wire_connection_t *connection, ipp_err_t *err)
{
    ipp_err_t why;
    wire_connection_t fresh = { 0 };
    ipp_frame_t *frame = ipp_private_read(path, err);
    if (!frame)
        return -1;
    json_t *file = wire_json_read(frame, &why);
    ipp_frame_unref(frame);
    int result = file ? from_json(&fresh, file, &why) : -1;
    int saved_errno = errno;
    json_decref(file);
    if (result < 0) {
        wire_connection_clear(&fresh);
        return ipp_err(err, saved_errno, "%s: %s", path, why.text);
    }
    wire_connection_clear(connection);
    *connection = fresh;
    return 0;
}

/* Only what a bridge made: FOLDER/ippmpi-XXXXXX/steering. */
static void remove_local_socket(const char *endpoint)
{
    static const char scheme[] = "ipc://", tail[] = "/steering";
    if (!endpoint || strncmp(endpoint, scheme, strlen(scheme)) != 0)
        return;
    char *path = strdup(endpoint + strlen(scheme));
    char *end = path ? strrchr(path, '/') : NULL;
    if (end && strcmp(end, tail) == 0) {
        unlink(path);
        *end = '\0';
        const char *folder = strrchr(path, '/');
        if (folder && strncmp(folder, "/ippmpi-", strlen("/ippmpi-")) == 0)
            rmdir(path); /* only when it is empty */
    }
    free(path);
}

bool wire_connection_is_local(const wire_connection_t *connection)
{
    const char *address = strstr(connection->interface, "://");
    return address && (strncmp(address, "://127.", 7) == 0 || strcmp(address, "://[::1]") == 0 ||
                       strcmp(address, "://localhost") == 0);
}

void wire_connection_remove(const char *path)
{
    wire_connection_t connection = { 0 };
    if (wire_connection_read(path, &connection, NULL) == 0)
        remove_local_socket(connection.steering.ipc);
    wire_connection_clear(&connection);
    unlink(path);
}
