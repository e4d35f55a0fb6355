/* SPDX-License-Identifier: BSD-3-Clause
 * The verbs that only look: status, engines. */
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/fold.h"
#include "steer/cli/show.h"
#include "steer/cli/target.h"
#include "wire/wire.h"

/* ---- what others need too (top.c) ---- */

long long show_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_array(value) ? (long long)json_array_size(value) : json_integer_value(value);
}

int *show_engines(struct cli *cli, size_t *count, int *code)
{
    int *ids;
    bool found = cli_targets(cli, cli->options.on, &ids, count) == 0;
    *code = found ? CLI_OK : CLI_FAILED;
    return found ? ids : NULL;
}

const json_t *show_by_id(const json_t *object, int id)
{
    char key[16];
    snprintf(key, sizeof key, "%d", id);
    return json_object_get(object, key);
}

json_t *show_queues(struct cli *cli, bool verbose, int *code)
{
    return job_ask(cli, "registration", "queue_request",
                   json_pack("{s:n,s:b}", "targets", "verbose", verbose), code);
}

/* ---- status ---- */

/* {"ocean": [ids], "": [ids]}: engines by group, as text. */
static json_t *groups_of(const json_t *engines)
{
    const char *id;
    json_t *engine, *groups = json_object();
    struct fold fold = { 0 };
    json_object_foreach((json_t *)engines, id, engine)
    {
        fold_add(&fold, (int)strtol(id, NULL, 10), wire_json_string(engine, "group", ""));
    }
    fold_finish(&fold);
    for (size_t i = 0; i < fold.count; i++) {
        struct text ids = { 0 };
        fold_ids(&ids, fold.groups[i].ids, fold.groups[i].count, 0);
        json_object_set_new(groups, fold.groups[i].said, json_string(text_string(&ids)));
        text_clear(&ids);
    }
    fold_clear(&fold);
    return groups;
}

static long long sum(const json_t *queues, const char *key)
{
    const char *id;
    json_t *queue;
    long long total = 0;
    json_object_foreach((json_t *)queues, id, queue)
    {
        if (json_is_object(queue))
            total += show_number(queue, key);
    }
    return total;
}

static json_t *status_of(const json_t *about, const json_t *queues)
{
    static const char *const kept[] = { "cluster_id", "version", "protocol", "python",
                                        "role",       "name",    "expires" };
    json_t *status = json_object(), *engines = json_object_get(about, "engines");
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (json_object_get(about, kept[i]))
            json_object_set(status, kept[i], json_object_get(about, kept[i]));
    json_object_set_new(status, "engines", json_integer((json_int_t)json_object_size(engines)));
    json_object_set_new(status, "groups", groups_of(engines));
    json_object_set_new(status, "queued", json_integer(sum(queues, "queue")));
    json_object_set_new(status, "tasks", json_integer(sum(queues, "tasks")));
    json_object_set_new(status, "unassigned", json_integer(show_number(queues, "unassigned")));
    json_object_set_new(status, "completed", json_integer(sum(queues, "completed")));
    return status;
}

static void print_status(const json_t *status)
{
    const char *id = wire_json_string(status, "cluster_id", ""), *group;
    const json_t *expires = json_object_get(status, "expires");
    json_t *ids;
    printf("cluster    %s, ippmpi %s\n", id[0] ? id : "default",
           wire_json_string(status, "version", "?"));
    const char *python = wire_json_string(status, "python", "");
    printf("engines    %lld, %s%s\n", show_number(status, "engines"),
           python[0] ? "Python " : "of an application, which run C tasks", python);
    json_object_foreach(json_object_get(status, "groups"), group, ids)
    {
        if (group[0])
            printf("  %-8s %s\n", group, json_string_value(ids));
    }
    printf("requests   %lld on engines, %lld tasks on engines, %lld tasks waiting, %lld done\n",
           show_number(status, "queued"), show_number(status, "tasks"),
           show_number(status, "unassigned"), show_number(status, "completed"));
    printf("you        %s", wire_json_string(status, "role", "?"));
    if (json_is_string(json_object_get(status, "name")))
        printf(" (%s)", wire_json_string(status, "name", ""));
    if (json_is_number(expires))
        printf(", for another %.0f s", json_number_value(expires));
    putchar('\n');
}

int verb_status(struct cli *cli)
{
    int code;
    json_t *queues = show_queues(cli, false, &code);
    if (!queues)
        return code;
    json_t *about = cli_about(cli), *status = status_of(about, queues);
    if (cli->options.json)
        cli_print_json(cli, json_incref(status));
    else
        print_status(status);
    json_decref(status);
    json_decref(about);
    json_decref(queues);
    return CLI_OK;
}

/* ---- engines ---- */

static json_t *engine_of(const json_t *about, const json_t *loads, int id)
{
    json_t *engine = json_deep_copy(show_by_id(json_object_get(about, "engines"), id));
    json_object_set_new(engine, "id", json_integer(id));
    json_object_set(engine, "load", (json_t *)show_by_id(loads, id));
    return engine;
}

/* A part of the topology, "-" when it is not known. Where an engine that is not bound happened to
 * run when it was asked says nothing. */
static const char *place(char out[32], const json_t *topology, const char *key)
{
    const json_t *value = json_object_get(topology, key);
    bool bound = json_is_true(json_object_get(topology, "bound"));
    if (bound && json_is_integer(value) && json_integer_value(value) >= 0)
        snprintf(out, 32, "%lld", json_integer_value(value));
    else
        snprintf(out, 32, "%s", bound && json_is_string(value) ? json_string_value(value) : "-");
    return out;
}

static void print_engine(const json_t *engine)
{
    char package[32], core[32], numa[32], cpus[32];
    const json_t *topology = json_object_get(engine, "topology");
    const char *group = wire_json_string(engine, "group", "");
    printf("%5lld  %-16s %8lld  %7s %5s %5s %5s %6s  %-10s %6lld  %s\n", show_number(engine, "id"),
           wire_json_string(engine, "host", "?"), show_number(engine, "pid"),
           place(package, topology, "package"), place(core, topology, "core"),
           place(numa, topology, "numa"), place(cpus, topology, "cpus"),
           json_is_true(json_object_get(topology, "bound")) ? "yes" : "no", group[0] ? group : "-",
           show_number(engine, "load"), wire_json_string(engine, "python", "?"));
}

int verb_engines(struct cli *cli)
{
    int code, *ids;
    size_t count;
    json_t *loads =
        job_ask(cli, "registration", "load_request", json_pack("{s:n}", "targets"), &code);
    if (!loads)
        return code;
    json_t *about = cli_about(cli), *list = json_array(), *engine;
    ids = show_engines(cli, &count, &code);
    for (size_t i = 0; code == CLI_OK && i < count; i++)
        json_array_append_new(list, engine_of(about, loads, ids[i]));
    if (code == CLI_OK && cli->options.json) {
        cli_print_json(cli, json_incref(list));
    } else if (code == CLI_OK) {
        size_t index;
        printf("%5s  %-16s %8s  %7s %5s %5s %5s %6s  %-10s %6s  %s\n", "id", "host", "pid",
               "package", "core", "numa", "cpus", "bound", "group", "load", "python");
        json_array_foreach(list, index, engine)
        {
            print_engine(engine);
        }
    }
    free(ids);
    json_decref(list);
    json_decref(about);
    json_decref(loads);
    return code;
}
