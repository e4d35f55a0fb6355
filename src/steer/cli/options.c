/* SPDX-License-Identifier: BSD-3-Clause
 * The command line: one table of options for all verbs. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "steer/cli/cli.h"

enum { LONG_FIRST = 256, CLUSTER_ID, PROFILE, CONNECTION_FILE, SSH, TIMEOUT, VERSION };

static const struct option table[] = {
    { "cluster-id", required_argument, NULL, CLUSTER_ID },
    { "profile", required_argument, NULL, PROFILE },
    { "connection-file", required_argument, NULL, CONNECTION_FILE },
    { "ssh", required_argument, NULL, SSH },
    { "timeout", required_argument, NULL, TIMEOUT },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, VERSION },
    { "json", no_argument, NULL, LONG_FIRST + 100 },
    { "on", required_argument, NULL, LONG_FIRST + 101 },
    { "output", required_argument, NULL, 'o' },
    { "follow", no_argument, NULL, 'f' },
    { "signal", required_argument, NULL, LONG_FIRST + 104 },
    { "role", required_argument, NULL, LONG_FIRST + 105 },
    { "expires", required_argument, NULL, LONG_FIRST + 106 },
    { "list", no_argument, NULL, LONG_FIRST + 107 },
    { "revoke", required_argument, NULL, LONG_FIRST + 108 },
    { "chunk", required_argument, NULL, LONG_FIRST + 109 },
    { "all", no_argument, NULL, LONG_FIRST + 110 },
    { "explain", required_argument, NULL, LONG_FIRST + 111 },
    { 0 },
};

/* A whole number from 1; -1 when it has been complained about. */
static int read_count(const char *option, const char *text)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (!errno && end != text && !*end && value > 0 && value <= 1000000)
        return (int)value;
    fprintf(stderr, "ipp-steer: --%s %s: not a whole number from 1 to 1000000\n", option, text);
    return -1;
}

/* Those that every verb takes; true when `key` was one. *ok becomes false for a bad value. */
static bool take_common(struct cli_options *options, int key, const char *value, bool *ok)
{
    switch (key) {
    case CLUSTER_ID:
        options->cluster_id = value;
        return true;
    case PROFILE:
        options->profile = value;
        return true;
    case CONNECTION_FILE:
        options->connection_file = value;
        return true;
    case SSH:
        options->ssh = value;
        return true;
    case TIMEOUT:
        options->timeout_s = read_count("timeout", value);
        *ok = options->timeout_s > 0;
        return true;
    case 'h':
        options->help = true;
        return true;
    case VERSION:
        options->version = true;
        return true;
    default:
        return false;
    }
}

static enum cli_option option_of(int key)
{
    if (key == 'o')
        return CLI_OUTPUT;
    if (key == 'f')
        return CLI_FOLLOW;
    return key >= LONG_FIRST + 100 ? (enum cli_option)(1 << (key - LONG_FIRST - 100)) : 0;
}

static bool take(struct cli_options *options, int key, const char *value)
{
    bool ok = true;
    if (take_common(options, key, value, &ok))
        return ok;
    enum cli_option option = option_of(key);
    options->given |= option;
    switch (option) {
    case CLI_JSON:
        options->json = true;
        return true;
    case CLI_ON:
        options->on = value;
        return true;
    case CLI_OUTPUT:
        options->output = value;
        return true;
    case CLI_FOLLOW:
        options->follow = true;
        return true;
    case CLI_SIGNAL:
        options->signal = value;
        return true;
    case CLI_ROLE:
        options->role = value;
        return true;
    case CLI_EXPIRES:
        options->expires = value;
        return true;
    case CLI_LIST:
        options->list = true;
        return true;
    case CLI_REVOKE:
        options->revoke = value;
        return true;
    case CLI_ALL:
        options->all = true;
        return true;
    case CLI_EXPLAIN:
        options->explain = value;
        return true;
    case CLI_CHUNK:
        options->chunk = read_count("chunk", value);
        return options->chunk > 0;
    default:
        return false; /* getopt_long has complained */
    }
}

/* -4 and -.5 are arguments: no option of ours begins so. */
static bool is_number(const char *word)
{
    return word[0] == '-' && (isdigit((unsigned char)word[1]) || word[1] == '.');
}

int cli_options_parse(struct cli_options *options, int argc, char **argv, const char **arguments,
                      int *count)
{
    *count = 0;
    optind = 1;
    while (optind < argc) {
        if (is_number(argv[optind])) {
            arguments[(*count)++] = argv[optind++];
            continue;
        }
        int key = getopt_long(argc, argv, "-ho:f", table, NULL);
        if (key == -1)
            break;
        if (key == 1)
            arguments[(*count)++] = optarg;
        else if (!take(options, key, optarg))
            return -1;
    }
    while (optind < argc)
        arguments[(*count)++] = argv[optind++];
    return 0;
}
