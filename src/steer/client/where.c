/* SPDX-License-Identifier: BSD-3-Clause
 * Where a cluster is: the connection file that a caller means, and the socket that it names. */
#include "steer/client/client_private.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SSH "ssh://"

bool where_is_ssh(const char *where)
{
    return where && strncmp(where, SSH, strlen(SSH)) == 0;
}

/* ---- ssh URLs ---- */

/* Nothing that ssh would take for an option, or a shell for anything. */
static bool is_plain(const char *text, size_t size)
{
    if (size == 0 || text[0] == '-' || text[0] == '@')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("@._-:[]%+\\", text[i]))
            return false;
    return true;
}

/* Where the host ends: at its port's colon, but for those inside brackets. */
static const char *end_of_host(const char *login, const char *end)
{
    const char *host = login;
    for (const char *c = login; c < end; c++)
        if (*c == '@')
            host = c + 1;
    if (host < end && *host == '[') {
        const char *bracket = memchr(host, ']', (size_t)(end - host));
        return bracket ? bracket + 1 : host; /* not closed: no host */
    }
    const char *colon = memchr(host, ':', (size_t)(end - host));
    return colon ? colon : end;
}

static int take_port(struct ssh_url *url, const char *colon, const char *end)
{
    if (colon == end)
        return 0;
    char *after;
    long port =
        *colon == ':' && isdigit((unsigned char)colon[1]) ? strtol(colon + 1, &after, 10) : 0;
    if (port < 1 || port > 65535 || after != end)
        return -1;
    url->port = (int)port;
    return 0;
}

/* [USER@]HOST without the brackets around an IPv6 address: ssh wants none. */
static char *login_of(const char *start, const char *end)
{
    char *login = strndup(start, (size_t)(end - start));
    char *open = login ? strchr(login, '[') : NULL;
    if (open) {
        size_t rest = strcspn(open + 1, "]");
        memmove(open, open + 1, rest);
        open[rest] = '\0';
    }
    return login;
}

int where_parse_ssh(const char *where, struct ssh_url *url, ipp_err_t *err)
{
    const char *start = where + strlen(SSH), *end = start + strcspn(start, "/");
    const char *host_end = end_of_host(start, end);
    const char *host = memrchr(start, '@', (size_t)(host_end - start));
    host = host ? host + 1 : start;
    *url = (struct ssh_url){ 0 };
    if (memchr(start, ':', (size_t)(host - start)) ||
        !is_plain(start, (size_t)(host_end - start)) ||
        !is_plain(host, (size_t)(host_end - host)) || take_port(url, host_end, end) < 0)
        return ipp_err(err, EINVAL, "'%.200s': not ssh://[USER@]HOST[:PORT][/CLUSTER or /FILE]",
                       where);
    url->login = login_of(start, host_end);
    url->cluster_id = strdup(*end ? end + 1 : "");
    if (url->login && url->cluster_id)
        return 0;
    ssh_url_clear(url);
    return ipp_err(err, ENOMEM, "no memory");
}

void ssh_url_clear(struct ssh_url *url)
{
    free(url->login);
    free(url->cluster_id);
    *url = (struct ssh_url){ 0 };
}

/* ---- files ---- */

static bool is_path(const char *where)
{
    size_t size = strlen(where);
    return strchr(where, '/') || (size > 5 && strcmp(where + size - 5, ".json") == 0);
}

char *where_path(const char *where, const char *profile, ipp_err_t *err)
{
    if (!where || !is_path(where))
        return wire_connection_path(profile, where, err);
    char *path = strdup(where);
    if (!path)
        ipp_err(err, ENOMEM, "no memory");
    return path;
}

/* ---- addresses ---- */

static bool is_wildcard(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "*") == 0 ||
           strcmp(address, "[::]") == 0 || strcmp(address, "::") == 0;
}

static bool is_here(const char *location)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return strcmp(location, host) == 0 || strcmp(location, "localhost") == 0 ||
           strncmp(location, "127.", 4) == 0;
}

char *where_tcp_host(const wire_connection_t *connection, bool here)
{
    const char *address = strstr(connection->interface, "://");
    address = address ? address + 3 : connection->interface;
    if (!is_wildcard(address))
        return strdup(address);
    return strdup(here ? "127.0.0.1" : connection->location);
}

static struct addrinfo *resolve(const char *host, int port, ipp_err_t *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char bare[256], service[12];
    bool bracketed = host[0] == '[';
    snprintf(bare, sizeof bare, "%s", host + bracketed);
    if (bracketed)
        bare[strcspn(bare, "]")] = '\0';
    snprintf(service, sizeof service, "%d", port);
    int code = getaddrinfo(bare, service, &hints, &found);
    if (code == 0)
        return found;
    ipp_err(err, EHOSTUNREACH, "host %s of the connection file: %s: is it reached by ssh://?", host,
            gai_strerror(code));
    return NULL;
}

char *where_tcp_endpoint(const wire_connection_t *connection, ipp_err_t *err)
{
    char number[INET6_ADDRSTRLEN + 20], *endpoint = NULL;
    char *host = where_tcp_host(connection, is_here(connection->location));
    struct addrinfo *found = host ? resolve(host, connection->steering.port, err) : NULL;
    free(host);
    if (!found)
        return NULL;
    getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof number, NULL, 0, NI_NUMERICHOST);
    const char *form = found->ai_family == AF_INET6 ? "tcp://[%s]:%d" : "tcp://%s:%d";
    if (asprintf(&endpoint, form, number, connection->steering.port) < 0)
        endpoint = NULL;
    freeaddrinfo(found);
    return endpoint;
}

/* The socket file shows that this is the host, and the user, that the cluster runs on. */
static bool use_ipc(const wire_connection_t *connection)
{
    const char *ipc = connection->steering.ipc;
    return !connection->invited && strncmp(ipc, "ipc://", 6) == 0 &&
           is_here(connection->location) && access(ipc + 6, R_OK | W_OK) == 0;
}

/* ---- places ---- */

static int check_protocol(const struct place *place, ipp_err_t *err)
{
    int protocol = place->connection.steering.protocol;
    if (protocol == WIRE_STEERING_PROTOCOL)
        return 0;
    return ipp_err(err, EPROTO, "%s: the cluster speaks protocol %d, this library %d: %s is older",
                   place->label, protocol, WIRE_STEERING_PROTOCOL,
                   protocol > WIRE_STEERING_PROTOCOL ? "the library" : "the cluster");
}

/* Its own half of the keys would be of no use, and the handshake cannot say why. */
static int check_keys(const struct place *place, ipp_err_t *err)
{
    const struct wire_steering *keys = &place->connection.steering;
    return wire_curve_is_pair(keys->public_key, keys->secret_key)
               ? 0
               : ipp_err(err, EBADMSG,
                         "%s: public_key and secret_key are no pair: the file was changed",
                         place->label);
}

/* Nobody has started that cluster, or it has ended. */
static int not_found(const char *where, const char *profile, ipp_err_t *err)
{
    ipp_err_t why = { "" };
    bool named = where && *where;
    if (err)
        why = *err;
    if (named && is_path(where))
        return ipp_err(err, ENOENT, "no cluster runs behind this file: %s", why.text);
    return ipp_err(err, ENOENT,
                   "no cluster '%s' runs here (%s): start one with `ipp-cluster start%s%s%s%s`",
                   named ? where : "default", why.text, profile ? " --profile=" : "",
                   profile ? profile : "", named ? " --cluster-id=" : "", named ? where : "");
}

static int find_file(struct place *place, const char *where, const char *profile, ipp_err_t *err)
{
    place->label = where_path(where, profile, err);
    if (!place->label)
        return -1;
    if (wire_connection_read(place->label, &place->connection, err) < 0)
        return errno == ENOENT ? not_found(where, profile, err) : -1;
    if (check_protocol(place, err) < 0 || check_keys(place, err) < 0)
        return -1;
    bool ipc = use_ipc(&place->connection);
    place->local = is_here(place->connection.location);
    place->elsewhere = !place->local && wire_connection_is_local(&place->connection);
    place->curve = !ipc;
    place->endpoint =
        ipc ? strdup(place->connection.steering.ipc) : where_tcp_endpoint(&place->connection, err);
    return place->endpoint ? 0 : -1;
}

/* The far side's file is fetched, one of this machine is read. */
static struct tunnel *open_tunnel(struct ssh_url *url, const char *profile, int64_t deadline_ms,
                                  wire_connection_t *connection, ipp_err_t *err)
{
    if (is_path(url->cluster_id))
        return wire_connection_read(url->cluster_id, connection, err) < 0
                   ? NULL
                   : tunnel_open_known(url, deadline_ms, connection, err);
    char *checked = wire_connection_path(profile, url->cluster_id, err);
    struct tunnel *tunnel =
        checked ? tunnel_open(url, profile, deadline_ms, connection, err) : NULL;
    int saved_errno = errno;
    free(checked);
    errno = saved_errno;
    return tunnel;
}

static int find_by_ssh(struct place *place, const char *where, const char *profile,
                       int64_t deadline_ms, ipp_err_t *err)
{
    struct ssh_url url;
    if (where_parse_ssh(where, &url, err) < 0)
        return -1;
    place->label = strdup(where);
    if (place->label && url.cluster_id)
        place->tunnel = open_tunnel(&url, profile, deadline_ms, &place->connection, err);
    ssh_url_clear(&url);
    if (!place->tunnel || check_protocol(place, err) < 0 || check_keys(place, err) < 0)
        return -1;
    place->curve = true;
    place->elsewhere = wire_connection_is_local(&place->connection);
    if (asprintf(&place->endpoint, "ipc://%s", tunnel_socket(place->tunnel)) >= 0)
        return 0;
    place->endpoint = NULL;
    return ipp_err(err, ENOMEM, "no memory");
}

int place_find(struct place *place, const char *where, const char *profile, int64_t deadline_ms,
               ipp_err_t *err)
{
    if (!where_is_ssh(where))
        return find_file(place, where, profile, err);
    return find_by_ssh(place, where, profile, deadline_ms, err);
}

void place_clear(struct place *place)
{
    tunnel_close(place->tunnel);
    wire_connection_clear(&place->connection);
    free(place->endpoint);
    free(place->label);
    *place = (struct place){ 0 };
}
