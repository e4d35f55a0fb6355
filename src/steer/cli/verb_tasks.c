/* SPDX-License-Identifier: BSD-3-Clause
 * The verb `tasks`: what waits and runs where, and why one task does. */
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/show.h"
#include "steer/cli/target.h"
#include "wire/wire.h"

/* Ids of what is done are many: a number, unless they were asked for. */
static json_t *queue_of(const struct cli *cli, const json_t *queues, int id)
{
    json_t *queue = json_copy((json_t *)show_by_id(queues, id));
    if (queue && !cli->options.all)
        json_object_set_new(queue, "completed", json_integer(show_number(queue, "completed")));
    return queue;
}

static void print_ids(const char *title, const json_t *ids)
{
    size_t index;
    json_t *id;
    json_array_foreach((json_t *)ids, index, id)
    {
        printf("         %-8s %s\n", title, json_string_value(id));
    }
}

static void print_queue(int id, const json_t *queue, bool all)
{
    printf("%5d    %lld requests, %lld tasks, %lld done lately\n", id, show_number(queue, "queue"),
           show_number(queue, "tasks"), show_number(queue, "completed"));
    print_ids("request", json_object_get(queue, "queue"));
    print_ids("task", json_object_get(queue, "tasks"));
    if (all)
        print_ids("done", json_object_get(queue, "completed"));
}

static void print_queues(const json_t *queues, const int *ids, size_t count, bool all)
{
    for (size_t i = 0; i < count; i++)
        print_queue(ids[i], show_by_id(queues, ids[i]), all);
    printf("waiting  %lld tasks\n", show_number(queues, "unassigned"));
    print_ids("task", json_object_get(queues, "unassigned"));
}

static void print_queues_json(struct cli *cli, const json_t *queues, const int *ids, size_t count)
{
    json_t *object = json_object(), *engines = json_object();
    for (size_t i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", ids[i]);
        json_object_set_new(engines, key, queue_of(cli, queues, ids[i]));
    }
    json_object_set_new(object, "engines", engines);
    json_object_set(object, "unassigned", json_object_get(queues, "unassigned"));
    cli_print_json(cli, object);
}

/* ---- why one waits ---- */

static const char *plural(long long count)
{
    return count == 1 ? "" : "s";
}

static void print_held(const json_t *why)
{
    long long others = show_number(why, "unfinished");
    printf("held until %s %lld unfinished task%s %s ended (%s)\n",
           json_is_true(json_object_get(why, "needs_all")) ? "each of" : "one of", others,
           plural(others), others == 1 ? "has" : "have", wire_json_string(why, "dependency", ""));
    if (json_is_string(json_object_get(why, "depends_on")))
        printf("      the first of them: %s\n", wire_json_string(why, "depends_on", ""));
}

static void print_waiting(const json_t *why)
{
    long long engines = show_number(why, "engines"), targets = show_number(why, "targets");
    printf("waiting for an engine: %lld may run it", engines);
    if (targets > 0)
        printf(" (of %lld targets)", targets);
    printf(", %lld busy", show_number(why, "busy"));
    if (show_number(why, "paused") > 0)
        printf(", %lld not serving", show_number(why, "paused"));
    if (show_number(why, "failed_on") > 0)
        printf("; it has failed on %lld", show_number(why, "failed_on"));
    if (show_number(why, "kept") > 0)
        printf(", %lld kept for a task of several engines", show_number(why, "kept"));
    printf("\n      before it: %lld older like it, %lld more urgent; %lld of its priority wait\n",
           show_number(why, "older"), show_number(why, "more_urgent"), show_number(why, "equal"));
    if (json_is_string(json_object_get(why, "gathering")))
        printf("      engines are gathered for %s%s\n", wire_json_string(why, "gathering", ""),
               show_number(why, "width") > 1 ? ", which goes before" : "");
}

static void print_why(const json_t *why)
{
    const char *state = wire_json_string(why, "state", "?");
    if (strcmp(state, "held") == 0)
        print_held(why);
    else if (strcmp(state, "waiting") == 0)
        print_waiting(why);
    else if (strcmp(state, "gathering") == 0)
        printf("gathering engines: %lld of %lld are idle for it\n", show_number(why, "gathered"),
               show_number(why, "width"));
    else if (strcmp(state, "assigned") == 0)
        printf("on engine %lld, behind %lld other task%s\n", show_number(why, "engine"),
               show_number(why, "ahead"), plural(show_number(why, "ahead")));
    else if (strcmp(state, "direct") == 0)
        printf("no task: a request that %lld engine%s not answered yet\n",
               show_number(why, "engines"), show_number(why, "engines") == 1 ? " has" : "s have");
    else
        printf("%s\n", state);
    if (show_number(why, "priority") != 0)
        printf("      priority %lld\n", show_number(why, "priority"));
    if (json_is_number(json_object_get(why, "time_left_s")))
        printf("      it is given up in %.1f s\n",
               json_number_value(json_object_get(why, "time_left_s")));
}

static int explain(struct cli *cli)
{
    int code;
    json_t *why = job_ask(cli, "registration", "explain_request",
                          json_pack("{s:s}", "msg_id", cli->options.explain), &code);
    if (!why)
        return code;
    if (cli->options.json)
        cli_print_json(cli, json_incref(why));
    else
        print_why(why);
    json_decref(why);
    return CLI_OK;
}

int verb_tasks(struct cli *cli)
{
    if (cli->options.explain)
        return explain(cli);
    int code, *ids;
    size_t count;
    json_t *queues = show_queues(cli, true, &code);
    if (!queues)
        return code;
    json_t *about = cli_about(cli);
    ids = show_engines(cli, &count, &code);
    if (code == CLI_OK && cli->options.json)
        print_queues_json(cli, queues, ids, count);
    else if (code == CLI_OK)
        print_queues(queues, ids, count, cli->options.all);
    free(ids);
    json_decref(about);
    json_decref(queues);
    return code;
}
