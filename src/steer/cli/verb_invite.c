/* SPDX-License-Identifier: BSD-3-Clause
 * invite: lets others in, with a key pair made here; the secret half never leaves this machine but
 * in the file that the invited gets. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "steer/cli/cli.h"
#include "steer/cli/text.h"
#include "steer/cli/value.h"
#include "wire/wire.h"

/* ---- invite NAME ---- */

/* "90", "90s", "30m", "2h", "3d" or "1w", as seconds; -1 for anything else. */
static double read_span(const char *text)
{
    static const char units[] = "smhdw";
    static const double seconds[] = { 1, 60, 3600, 86400, 604800 };
    char *end;
    double count = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : units;
    if (end == text || !unit || (*end && end[1]) || !isfinite(count) || count <= 0)
        return -1;
    return count * seconds[unit - units];
}

static json_t *invitation(struct cli *cli, const char *public_key)
{
    const char *expires = cli->options.expires;
    double seconds = expires ? read_span(expires) : 0;
    return json_pack("{s:s,s:s,s:s,s:o}", "name", cli->argv[0], "role", cli->options.role,
                     "public_key", public_key, "expires",
                     expires ? json_real(seconds) : json_null());
}

static int check_request(struct cli *cli)
{
    const char *role = cli->options.role, *expires = cli->options.expires;
    if (!role || (strcmp(role, "observer") != 0 && strcmp(role, "operator") != 0))
        return cli_complain(cli, CLI_USAGE, "invite wants --role observer or --role operator");
    if (expires && read_span(expires) < 0)
        return cli_complain(cli, CLI_USAGE, "--expires %s: not a time as 45m, 2h or 3d", expires);
    if (!cli->options.output && strchr(cli->argv[0], '/'))
        return cli_complain(cli, CLI_USAGE, "a name with a slash wants -o FILE");
    return CLI_OK;
}

static char *copy_of(const json_t *object, const char *key)
{
    return cli_strdup(wire_json_string(object, key, ""));
}

/* What the invited needs: nothing of the owner's key, nothing for ipyparallel's own client. */
static void fill(struct cli *cli, wire_connection_t *connection, const json_t *reply)
{
    json_t *about = cli_about(cli);
    const json_t *expires = json_object_get(reply, "expires");
    struct wire_steering *steering = &connection->steering;
    connection->interface = copy_of(reply, "interface");
    connection->location = copy_of(reply, "location");
    connection->cluster_id = copy_of(about, "cluster_id");
    connection->python = copy_of(about, "python");
    connection->engines = (int)json_object_size(json_object_get(about, "engines"));
    connection->invited = cli_strdup(cli->argv[0]);
    connection->role = cli_strdup(cli->options.role);
    connection->expires = json_is_string(expires) ? cli_strdup(json_string_value(expires)) : NULL;
    steering->protocol = (int)json_integer_value(json_object_get(about, "protocol"));
    steering->port = (int)json_integer_value(json_object_get(reply, "port"));
    steering->ipc = cli_strdup("");
    snprintf(steering->server_key, sizeof steering->server_key, "%s",
             wire_json_string(reply, "server_key", ""));
    json_decref(about);
}

/* An invitation that nobody has a file for would only be in the way. */
static void take_back(struct cli *cli)
{
    int code;
    json_decref(
        job_ask(cli, "session", "revoke_request", json_pack("{s:s}", "name", cli->argv[0]), &code));
}

/* Where the one who is invited has to log in; the caller frees it. NULL: anybody can connect who
 * reaches the cluster's address. */
static char *login_host(const struct cli *cli, const wire_connection_t *connection)
{
    const char *ssh = cli->options.ssh;
    if (!wire_connection_is_local(connection))
        return NULL;
    const char *host = ssh ? strrchr(ssh, '@') : NULL; /* whose login is not theirs */
    return cli_strdup(host ? host + 1 : ssh ? ssh : connection->location);
}

static void say_invited(struct cli *cli, const wire_connection_t *connection, const char *path,
                        const char *host)
{
    printf("%s may come in as %s%s%s, with --connection-file %s\n", connection->invited,
           connection->role, connection->expires ? " until " : "",
           connection->expires ? connection->expires : "", path);
    printf("The file is the invitation: send it on a way that nobody else reads.\n");
    if (host)
        cli_complain(cli, 0,
                     "the cluster listens on %s alone (%s). From another host %s needs a login "
                     "there, and types: ipp-steer --ssh LOGIN@%s --connection-file %s status",
                     connection->location, connection->interface, connection->invited, host, path);
}

static int write_file(struct cli *cli, const wire_connection_t *connection)
{
    ipp_err_t err;
    char *path = cli->options.output ? cli_strdup(cli->options.output)
                                     : cli_format("ippmpi-%s.json", cli->argv[0]);
    /* wire makes the folders of a path, and a name alone has none. */
    char *whole = strchr(path, '/') ? cli_strdup(path) : cli_format("./%s", path);
    char *host = login_host(cli, connection);
    int code = CLI_OK;
    if (wire_connection_write(whole, connection, &err) < 0) {
        take_back(cli);
        code = cli_complain(cli, CLI_FAILED, "%s", err.text);
    } else if (cli->options.json) {
        cli_print_json(cli,
                       json_pack("{s:s,s:s,s:s?,s:s,s:s,s:s?}", "name", connection->invited, "role",
                                 connection->role, "expires", connection->expires, "file", path,
                                 "interface", connection->interface, "ssh", host));
    } else {
        say_invited(cli, connection, path, host);
    }
    free(host);
    free(whole);
    free(path);
    return code;
}

static int invite(struct cli *cli)
{
    wire_connection_t connection = { 0 };
    struct wire_steering *steering = &connection.steering;
    int code = check_request(cli);
    if (code != CLI_OK)
        return code;
    if (wire_curve_keypair(steering->public_key, steering->secret_key) < 0)
        return cli_complain(cli, CLI_FAILED, "no key pair: %s", strerror(errno));
    json_t *content = invitation(cli, steering->public_key);
    if (!content)
        return cli_complain(cli, CLI_USAGE, "'%s' is not UTF-8", cli->argv[0]);
    json_t *reply = job_ask(cli, "session", "invite_request", content, &code);
    if (reply) {
        fill(cli, &connection, reply);
        code = write_file(cli, &connection);
    }
    json_decref(reply);
    explicit_bzero(steering->secret_key, sizeof steering->secret_key);
    wire_connection_clear(&connection);
    return code;
}

/* ---- --list, --revoke ---- */

#define DISTANCE_LEN 80

/* "in 2 d 3 h", "5 min ago"; "" for what is no date. */
static void print_distance(char out[DISTANCE_LEN], const char *date)
{
    static const struct {
        const char *name;
        long seconds;
    } units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
    struct tm utc = { 0 };
    const char *end = strptime(date, "%Y-%m-%dT%H:%M:%S", &utc);
    out[0] = '\0';
    if (!end)
        return;
    long left = (long)(timegm(&utc) - time(NULL)), span = labs(left);
    size_t unit = 0;
    while (unit < 3 && span < units[unit].seconds)
        unit++;
    long count = span / units[unit].seconds, rest = span % units[unit].seconds;
    char more[32] = "";
    if (unit < 3 && rest >= units[unit + 1].seconds)
        snprintf(more, sizeof more, " %ld %s", rest / units[unit + 1].seconds,
                 units[unit + 1].name);
    snprintf(out, DISTANCE_LEN, left < 0 ? "%ld %s%s ago" : "in %ld %s%s", count, units[unit].name,
             more);
}

static void print_invitation(const json_t *guest)
{
    const char *expires = wire_json_string(guest, "expires", "never");
    char distance[DISTANCE_LEN];
    print_distance(distance, expires);
    printf("%-20s %-9s %-28s %-21s %-14s %-28s %s\n", wire_json_string(guest, "name", ""),
           wire_json_string(guest, "role", ""), wire_json_string(guest, "invited", ""), expires,
           distance, wire_json_string(guest, "last_seen", "never"),
           json_is_true(json_object_get(guest, "expired"))              ? "expired"
           : json_integer_value(json_object_get(guest, "attached")) > 0 ? "here"
                                                                        : "");
}

static int list(struct cli *cli)
{
    int code;
    size_t index;
    json_t *guest, *reply = job_ask(cli, "session", "invitations_request", json_object(), &code);
    if (!reply)
        return code;
    json_t *guests = json_object_get(reply, "invitations");
    if (cli->options.json) {
        cli_print_json(cli, json_incref(guests));
    } else {
        if (json_array_size(guests) > 0)
            printf("%-20s %-9s %-28s %-36s %-28s\n", "name", "role", "invited", "expires",
                   "last seen");
        json_array_foreach(guests, index, guest)
        {
            print_invitation(guest);
        }
    }
    json_decref(reply);
    return CLI_OK;
}

static int withdraw(struct cli *cli)
{
    int code;
    json_t *content = json_pack("{s:s}", "name", cli->options.revoke);
    if (!content)
        return cli_complain(cli, CLI_USAGE, "'%s' is not UTF-8", cli->options.revoke);
    json_t *reply = job_ask(cli, "session", "revoke_request", content, &code);
    if (reply && cli->options.json)
        cli_print_json(cli, json_pack("{s:s}", "revoked", cli->options.revoke));
    json_decref(reply);
    return code;
}

int verb_invite(struct cli *cli)
{
    int ways = (cli->argc > 0) + cli->options.list + (cli->options.revoke != NULL);
    if (ways != 1)
        return cli_complain(cli, CLI_USAGE, "invite wants one of NAME, --list and --revoke NAME");
    return cli->options.list ? list(cli) : cli->options.revoke ? withdraw(cli) : invite(cli);
}
