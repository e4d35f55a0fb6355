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
    *connection = (wire_connection_t){ 0 };
}

/* ---- writing ---- */

static int check(const wire_connection_t *c, ipp_err_t *err)
{
    if (!c->interface || !strstr(c->interface, "://"))
        return ipp_err(err, EINVAL, "connection file: no interface of the form tcp://ADDRESS");
    if (!c->location || !c->key)
        return ipp_err(err, EINVAL, "connection file: no %s", c->location ? "key" : "location");
    if (c->pid < 1 || c->pid > INT_MAX || c->engines < 0)
        return ipp_err(err, EINVAL, "connection file: pid %ld, engines %d", c->pid, c->engines);
    for (unsigned i = 0; i < WIRE_CHANNELS; i++)
        if (c->ports[i] < 1 || c->ports[i] > 65535)
            return ipp_err(err, EINVAL, "connection file: port %s is %d",
                           wire_channel_name((enum wire_channel)i), c->ports[i]);
    return 0;
}

static json_t *to_json(const wire_connection_t *c)
{
    json_t *file = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s,s:I,s:i,s:s,s:s}}", /* ours last, in one object */
        "ssh", "", "interface", c->interface, "location", c->location, "key", c->key, "pack",
        "json", "unpack", "json", "signature_scheme", "hmac-sha256", "task_scheme", "leastload",
        "ippmpi", "version", PACKAGE_VERSION, "pid", (json_int_t)c->pid, "engines", c->engines,
        "cluster_id", c->cluster_id ? c->cluster_id : "", "python", c->python ? c->python : "");
    for (unsigned i = 0; file && i < WIRE_CHANNELS; i++) {
        if (json_object_set_new(file, wire_channel_name((enum wire_channel)i),
                                json_integer(c->ports[i])) < 0) {
            json_decref(file);
            file = NULL;
        }
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

static int take_ports(int ports[WIRE_CHANNELS], const json_t *file, ipp_err_t *err)
{
    for (unsigned i = 0; i < WIRE_CHANNELS; i++)
        if (take_integer(&ports[i], file, wire_channel_name((enum wire_channel)i), 1, 65535, err) <
            0)
            return -1;
    return 0;
}

/* What only we write. A pid of 0 or less must not get out: kill() would take it for a group. */
static int take_ours(wire_connection_t *c, const json_t *ours, ipp_err_t *err)
{
    int pid = 0;
    if (!json_is_object(ours))
        return ipp_err(err, EBADMSG, "key \"ippmpi\": not an object: another program's file?");
    if (take_integer(&pid, ours, "pid", 1, INT_MAX, err) < 0 ||
        take_integer(&c->engines, ours, "engines", 0, INT_MAX, err) < 0 ||
        take_string(&c->cluster_id, ours, "cluster_id", err) < 0 ||
        take_string(&c->python, ours, "python", err) < 0)
        return -1;
    c->pid = pid;
    return 0;
}

static int from_json(wire_connection_t *c, const json_t *file, ipp_err_t *err)
{
    if (take_string(&c->interface, file, "interface", err) < 0 ||
        take_string(&c->location, file, "location", err) < 0 ||
        take_string(&c->key, file, "key", err) < 0 || take_ports(c->ports, file, err) < 0 ||
        expect_string(file, "pack", "json", err) < 0 ||
        expect_string(file, "unpack", "json", err) < 0 ||
        expect_string(file, "signature_scheme", "hmac-sha256", err) < 0)
        return -1;
    return take_ours(c, json_object_get(file, "ippmpi"), err);
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
