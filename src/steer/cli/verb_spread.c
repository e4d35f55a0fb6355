/* SPDX-License-Identifier: BSD-3-Clause
 * One array over many engines, along its first axis: scatter, gather, reduce. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/cli.h"
#include "steer/cli/mapped.h"
#include "steer/cli/pulled.h"
#include "steer/cli/target.h"
#include "steer/cli/value.h"

/* ---- scatter ---- */

struct scatter {
    struct cli *cli;
    const char *name;
    size_t name_length;
    struct mapped *mapped;
    int *ids;
    size_t count;
    struct job *jobs; /* one for each engine */
    char (*targets)[16];
};

/* Rows [first, last) of part `index`: as numpy.array_split, the first ones have one more. */
static void rows_of(const struct scatter *scatter, size_t index, int64_t *first, int64_t *last)
{
    int64_t rows = mapped_array(scatter->mapped)->shape[0], parts = (int64_t)scatter->count;
    int64_t each = rows / parts, more = rows % parts, at = (int64_t)index;
    *first = at * each + (at < more ? at : more);
    *last = *first + each + (at < more ? 1 : 0);
}

static int send_part(struct scatter *scatter, size_t index)
{
    struct job *job = &scatter->jobs[index];
    const struct npy_array *array = mapped_array(scatter->mapped);
    int64_t first, last;
    rows_of(scatter, index, &first, &last);
    size_t row = array->shape[0] > 0 ? array->size / (size_t)array->shape[0] : 0;
    ipp_buffer_t buffer =
        mapped_buffer(scatter->mapped, row * (size_t)first, row * (size_t)(last - first));
    snprintf(scatter->targets[index], sizeof *scatter->targets, "%d", scatter->ids[index]);
    *job = (struct job){ .cli = scatter->cli, .targets = scatter->targets[index] };
    json_t *content =
        json_pack("{s:[{s:s%,s:o}]}", "names", "name", scatter->name, scatter->name_length, "array",
                  mapped_describe(scatter->mapped, last - first));
    return job_send(job, "engines", "push_request", content, &buffer, 1);
}

static int scatter_wait(struct scatter *scatter)
{
    struct cli *cli = scatter->cli;
    struct progress bar;
    int code = CLI_OK;
    progress_start(&bar, "engines", cli->terminal_err, ipp_now_ms());
    for (size_t i = 0; i < scatter->count && code == CLI_OK; i++)
        code = send_part(scatter, i) < 0 ? CLI_NO_CONNECTION : CLI_OK;
    for (size_t i = 0; i < scatter->count && code == CLI_OK; i++) {
        code = job_wait(&scatter->jobs[i]);
        bar.total = (double)scatter->count;
        bar.done = (double)i + 1;
        progress_tick(&bar, ipp_now_ms());
    }
    progress_end(&bar);
    return code;
}

static int scatter_show(struct scatter *scatter)
{
    json_t *list = json_array();
    int code = CLI_OK;
    for (size_t i = 0; i < scatter->count; i++) {
        struct job *job = &scatter->jobs[i];
        int64_t first, last;
        rows_of(scatter, i, &first, &last);
        json_t *answers = answers_json(job);
        json_object_set_new(json_array_get(answers, 0), "rows",
                            json_pack("[I,I]", (json_int_t)first, (json_int_t)last));
        json_array_extend(list, answers);
        json_decref(answers);
        if (answers_code(job->future) != CLI_OK)
            code = CLI_FAILED;
        if (!scatter->cli->options.json)
            answers_show(job);
    }
    if (scatter->cli->options.json)
        cli_print_json(scatter->cli, json_incref(list));
    json_decref(list);
    return code;
}

static int scatter_run(struct scatter *scatter)
{
    const struct npy_array *array = mapped_array(scatter->mapped);
    if (array->ndims == 0)
        return cli_complain(scatter->cli, CLI_USAGE, "a single number has no rows to scatter");
    scatter->jobs = cli_realloc(NULL, scatter->count, sizeof *scatter->jobs);
    memset(scatter->jobs, 0, scatter->count * sizeof *scatter->jobs);
    scatter->targets = cli_realloc(NULL, scatter->count, sizeof *scatter->targets);
    int code = scatter_wait(scatter);
    if (code == CLI_OK)
        code = scatter_show(scatter);
    for (size_t i = 0; i < scatter->count; i++)
        job_clear(&scatter->jobs[i]);
    free(scatter->jobs);
    free(scatter->targets);
    return code;
}

int verb_scatter(struct cli *cli)
{
    ipp_err_t err;
    struct scatter scatter = { .cli = cli, .name = cli->argv[0] };
    if (!value_split(cli->argv[0], &scatter.name_length))
        return cli_complain(cli, CLI_USAGE, "'%s' is not NAME=FILE.npy", cli->argv[0]);
    scatter.mapped = mapped_open(scatter.name + scatter.name_length + 1, &err);
    if (!scatter.mapped)
        return cli_complain(cli, CLI_USAGE, "%s", err.text);
    int code = cli_targets(cli, cli->options.on, &scatter.ids, &scatter.count) < 0
                   ? CLI_FAILED
                   : scatter_run(&scatter);
    free(scatter.ids);
    mapped_close(scatter.mapped);
    return code;
}

/* ---- gather ---- */

/* A plain number as the item of an array. */
union number {
    int64_t integer;
    double real;
    bool truth;
};

struct gather {
    struct npy_array whole; /* of all rows; its dtype is the first engine's */
    struct npy_piece *pieces;
    struct pulled *parts;
    union number *numbers; /* by part */
    size_t count;
};

static int differs(const struct gather *gather, const struct job *job, size_t index, ipp_err_t *err)
{
    struct text first = { 0 }, other = { 0 };
    array_describe(&first, &gather->parts[0].array);
    array_describe(&other, &gather->parts[index].array);
    ipp_err(err, EINVAL, "engines %d and %d do not fit together: %s and %s",
            ipp_future_answer(job->future, 0)->engine,
            ipp_future_answer(job->future, index)->engine, first.at, other.at);
    text_clear(&first);
    text_clear(&other);
    return -1;
}

/* Numbers count as arrays of one item, as they do for ippmpi. */
static void make_row(struct pulled *part, union number *number)
{
    const json_t *value = part->kind == PULLED_JSON ? part->value : NULL;
    const char *dtype = NULL;
    size_t size = sizeof(int64_t);
    if (json_is_integer(value)) {
        dtype = "<i8";
        number->integer = json_integer_value(value);
    } else if (json_is_real(value)) {
        dtype = "<f8";
        number->real = json_real_value(value);
    } else if (json_is_boolean(value)) {
        dtype = "|b1";
        number->truth = json_is_true(value);
        size = sizeof(bool);
    }
    if (dtype) {
        part->kind = PULLED_ARRAY;
        part->array = (struct npy_array){ .data = number, .size = size };
        part->array.dtype = json_string(dtype);
        json_object_set_new(part->entry, "dtype", part->array.dtype); /* which keeps it */
    }
    if (part->kind == PULLED_ARRAY && part->array.ndims == 0) {
        part->array.ndims = 1;
        part->array.shape[0] = 1;
    }
}

/* Adds the rows of part `index`. */
static int join(struct gather *gather, const struct job *job, size_t index, ipp_err_t *err)
{
    const struct npy_array *part = &gather->parts[index].array, *first = &gather->parts[0].array;
    const int engine = ipp_future_answer(job->future, index)->engine;
    if (gather->parts[index].kind != PULLED_ARRAY)
        return ipp_err(err, EINVAL, "engine %d: %s is no array of plain numbers or text", engine,
                       job->cli->argv[0]);
    bool fits = part->ndims == first->ndims && json_equal(part->dtype, first->dtype);
    for (int i = 1; fits && i < part->ndims; i++)
        fits = part->shape[i] == first->shape[i];
    if (!fits)
        return differs(gather, job, index, err);
    if (index == 0)
        gather->whole = *first;
    else
        gather->whole.shape[0] += part->shape[0];
    gather->pieces[index] = (struct npy_piece){ part->data, part->size };
    return 0;
}

static int join_all(struct gather *gather, const struct job *job, ipp_err_t *err)
{
    gather->count = ipp_future_count(job->future);
    gather->parts = cli_realloc(NULL, gather->count, sizeof *gather->parts);
    gather->pieces = cli_realloc(NULL, gather->count, sizeof *gather->pieces);
    gather->numbers = cli_realloc(NULL, gather->count, sizeof *gather->numbers);
    for (size_t i = 0; i < gather->count; i++) {
        pulled_read(&gather->parts[i], ipp_future_answer(job->future, i));
        make_row(&gather->parts[i], &gather->numbers[i]);
    }
    for (size_t i = 0; i < gather->count; i++)
        if (join(gather, job, i, err) < 0)
            return -1;
    return npy_measure(&gather->whole, err);
}

/* Lists come as Python's objects do: what JSON makes of them is joined. NULL: something else is
 * among them. */
static json_t *join_lists(struct job *job)
{
    json_t *texts = json_object(), *whole = json_array();
    char *asked = pulled_wanting_python(job);
    size_t count = ipp_future_count(job->future);
    bool fit = asked[0] && !cli_is_observer(job->cli) &&
               pulled_ask(job->cli, asked, texts) == CLI_OK && json_object_size(texts) == count;
    for (size_t i = 0; fit && i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", ipp_future_answer(job->future, i)->engine);
        json_t *part = json_object_get(json_object_get(texts, key), "application/json");
        fit = json_is_array(part);
        json_array_extend(whole, part);
    }
    free(asked);
    json_decref(texts);
    if (!fit) {
        json_decref(whole);
        whole = NULL;
    }
    return whole;
}

static int show_list(struct cli *cli, json_t *whole)
{
    struct text text = { 0 };
    if (cli->options.output) {
        json_decref(whole);
        return cli_complain(cli, CLI_FAILED, "%s is a list: -o wants arrays", cli->argv[0]);
    }
    if (cli->options.json) {
        cli_print_json(cli, json_pack("{s:o}", "value", whole));
        return CLI_OK;
    }
    value_print(&text, whole);
    puts(text_string(&text));
    text_clear(&text);
    json_decref(whole);
    return CLI_OK;
}

/* On the screen the rows have to lie in one piece. */
static void show_gathered(struct cli *cli, struct gather *gather)
{
    char *rows = cli_realloc(NULL, gather->whole.size, 1), *at = rows;
    struct pulled pulled = { .kind = PULLED_ARRAY, .array = gather->whole };
    struct text text = { 0 };
    for (size_t i = 0; i < gather->count; i++) {
        memcpy(at, gather->pieces[i].data, gather->pieces[i].size);
        at += gather->pieces[i].size;
    }
    pulled.array.data = rows;
    if (cli->options.json) {
        json_t *object = json_object();
        pulled_json(object, &pulled);
        cli_print_json(cli, object);
    } else {
        pulled_print(&text, &pulled);
        puts(text_string(&text));
    }
    text_clear(&text);
    free(rows);
}

static void say_saved(struct cli *cli, const struct npy_array *array)
{
    json_t *shape = json_array();
    if (!cli->options.json) {
        json_decref(shape);
        return;
    }
    for (int i = 0; i < array->ndims; i++)
        json_array_append_new(shape, json_integer(array->shape[i]));
    cli_print_json(cli, json_pack("{s:s,s:O,s:o}", "file", cli->options.output, "dtype",
                                  array->dtype, "shape", shape));
}

static int gather_finish(struct job *job)
{
    ipp_err_t err;
    struct gather gather = { 0 };
    struct cli *cli = job->cli;
    json_t *list = join_lists(job);
    if (list)
        return show_list(cli, list);
    int result = join_all(&gather, job, &err);
    if (result == 0 && cli->options.output) {
        result = npy_write(cli->options.output, &gather.whole, gather.pieces, gather.count, &err);
        if (result == 0)
            say_saved(cli, &gather.whole);
    } else if (result == 0) {
        show_gathered(cli, &gather);
    }
    for (size_t i = 0; i < gather.count; i++)
        pulled_clear(&gather.parts[i]);
    free(gather.parts);
    free(gather.pieces);
    free(gather.numbers);
    return result < 0 ? cli_complain(cli, CLI_FAILED, "%s", err.text) : CLI_OK;
}

/* Asks the engines, and shows what `show` makes of their answers, or their errors. */
static int run_and_show(struct job *job, const char *type, json_t *content,
                        int (*show)(struct job *job))
{
    int code = job_run(job, "engines", type, content);
    if (code == CLI_OK && answers_code(job->future) != CLI_OK) {
        code = CLI_FAILED;
        if (job->cli->options.json)
            cli_print_json(job->cli, answers_json(job));
        else
            answers_show(job);
    } else if (code == CLI_OK) {
        code = show(job);
    }
    job_clear(job);
    return code;
}

int verb_gather(struct cli *cli)
{
    struct job job = { .cli = cli, .unit = "engines" };
    json_t *content = json_pack("{s:[s]}", "names", cli->argv[0]);
    if (!content)
        return cli_complain(cli, CLI_USAGE, "'%s' is not UTF-8", cli->argv[0]);
    return run_and_show(&job, "pull_request", content, gather_finish);
}

/* ---- reduce ---- */

static int save_reduced(struct cli *cli, const struct pulled *pulled)
{
    ipp_err_t err;
    struct npy_piece piece = { pulled->array.data, pulled->array.size };
    if (pulled->kind != PULLED_ARRAY)
        return cli_complain(cli, CLI_FAILED, "the result is no array of plain numbers");
    if (npy_write(cli->options.output, &pulled->array, &piece, 1, &err) < 0)
        return cli_complain(cli, CLI_FAILED, "%s", err.text);
    say_saved(cli, &pulled->array);
    return CLI_OK;
}

/* The one answer that has the result. */
static int show_reduced(struct job *job)
{
    struct cli *cli = job->cli;
    struct pulled pulled = { 0 };
    struct text text = { 0 };
    int code = CLI_OK;
    for (size_t i = 0; i < ipp_future_count(job->future) && pulled.kind == PULLED_NOTHING; i++) {
        pulled_clear(&pulled);
        pulled_read(&pulled, ipp_future_answer(job->future, i));
    }
    if (pulled.kind == PULLED_NOTHING) {
        code = cli_complain(cli, CLI_FAILED, "no engine has sent a result");
    } else if (cli->options.output) {
        code = save_reduced(cli, &pulled);
    } else if (cli->options.json) {
        json_t *object = json_object();
        pulled_json(object, &pulled);
        cli_print_json(cli, object);
    } else {
        pulled_print(&text, &pulled);
        puts(text_string(&text));
    }
    text_clear(&text);
    pulled_clear(&pulled);
    return code;
}

/* One of the operations' names, or a function for the engines to find, as of apply. NULL: not
 * UTF-8. */
static json_t *reduce_content(const char *name, const char *operation)
{
    static const char *const built_in[] = { "sum", "prod", "min", "max", "and", "or" };
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++)
        if (strcmp(built_in[i], operation) == 0)
            return json_pack("{s:s,s:s,s:b}", "name", name, "op", operation, "show", 1);
    return json_pack("{s:s,s:s,s:s,s:b}", "name", name, "op", "source", "source", operation, "show",
                     1);
}

int verb_reduce(struct cli *cli)
{
    struct job job = { .cli = cli, .unit = "engines" };
    json_t *content = reduce_content(cli->argv[0], cli->argv[1]);
    if (!content)
        return cli_complain(cli, CLI_USAGE, "'%s' or '%s' is not UTF-8", cli->argv[0],
                            cli->argv[1]);
    job.runs_code = json_object_get(content, "source") != NULL;
    return run_and_show(&job, "reduce_request", content, show_reduced);
}
