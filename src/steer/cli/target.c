/* SPDX-License-Identifier: BSD-3-Clause
 * Target specs, "0-3,7,ocean". */
#include "steer/cli/target.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/cli/text.h"
#include "wire/wire.h"

struct part {
    char name[256];
    int first, last; /* -1: a name */
};

/* Reads digits from `at`, below `end`. -1: no digits there, or too many. */
static int read_id(const char **at, const char *end)
{
    long value = 0;
    const char *begin = *at;
    while (*at < end && isdigit((unsigned char)**at) && value < INT_MAX / 10)
        value = value * 10 + (*(*at)++ - '0');
    return *at == begin || (*at < end && isdigit((unsigned char)**at)) ? -1 : (int)value;
}

static const char *read_name(struct part *part, const char *at, const char *end)
{
    size_t length = (size_t)(end - at);
    if (length >= sizeof part->name)
        return "a name in it is too long";
    for (const char *c = at; c < end; c++)
        if (iscntrl((unsigned char)*c) || isspace((unsigned char)*c))
            return "it has a space or control character in it";
    memcpy(part->name, at, length);
    part->name[length] = '\0';
    part->first = part->last = -1;
    return NULL;
}

/* One part between commas, spaces around it allowed; NULL, or what is wrong with it. */
static const char *read_part(struct part *part, const char *at, const char *end)
{
    while (at < end && isspace((unsigned char)*at))
        at++;
    while (end > at && isspace((unsigned char)end[-1]))
        end--;
    const char *begin = at;
    if (at == end)
        return "it has an empty part";
    if (!isdigit((unsigned char)*at))
        return *at == '-' ? "an id cannot be negative" : read_name(part, at, end);
    part->first = part->last = read_id(&at, end);
    if (part->first < 0)
        return "a number in it is too large";
    if (at < end && *at == '-') {
        at++;
        part->last = read_id(&at, end);
        if (part->last < 0 && at == end)
            return "a range in it has no end";
    }
    if (at < end)
        return read_name(part, begin, end); /* a group may be called 2d */
    return part->last < part->first ? "a range in it runs backwards" : NULL;
}

static const char *part_end(const char *at)
{
    return at + strcspn(at, ",");
}

const char *target_complaint(const char *spec)
{
    struct part part;
    const char *end;
    for (const char *at = spec;; at = end + 1) {
        end = part_end(at);
        const char *complaint = read_part(&part, at, end);
        if (complaint || !*end)
            return complaint;
    }
}

int target_single(const char *spec)
{
    struct part part;
    if (!spec || strchr(spec, ',') || read_part(&part, spec, spec + strlen(spec)))
        return -1;
    return part.first == part.last ? part.first : -1;
}

/* ---- resolving ---- */

struct wanted {
    const json_t *engines;
    int *ids;
    size_t count, capacity;
};

static void want(struct wanted *wanted, int id)
{
    if (wanted->count == wanted->capacity) {
        wanted->capacity = wanted->capacity * 2 + 16;
        wanted->ids = cli_realloc(wanted->ids, wanted->capacity, sizeof *wanted->ids);
    }
    wanted->ids[wanted->count++] = id;
}

static bool alive(const json_t *engines, int id)
{
    char key[16];
    snprintf(key, sizeof key, "%d", id);
    return json_object_get(engines, key) != NULL;
}

static int want_range(struct wanted *wanted, const struct part *part, ipp_err_t *err)
{
    /* A range may be far larger than the cluster: stop at the first id that is not there. */
    for (int id = part->first; id <= part->last; id++) {
        if (!alive(wanted->engines, id))
            return ipp_err(err, ENOENT, "there is no engine %d", id);
        want(wanted, id);
    }
    return 0;
}

/* The engines that have `name` as their `key`; NULL: all. */
static bool want_those(struct wanted *wanted, const char *key, const char *name)
{
    const char *id;
    json_t *engine;
    size_t before = wanted->count;
    json_object_foreach((json_t *)wanted->engines, id, engine)
    {
        if (!key || strcmp(wire_json_string(engine, key, ""), name) == 0)
            want(wanted, (int)strtol(id, NULL, 10));
    }
    return wanted->count > before;
}

static int want_name(struct wanted *wanted, const char *name, ipp_err_t *err)
{
    if (strcmp(name, "all") == 0)
        return want_those(wanted, NULL, name) ? 0 : ipp_err(err, ENOENT, "there are no engines");
    return want_those(wanted, "group", name) || want_those(wanted, "host", name)
               ? 0
               : ipp_err(err, ENOENT, "there is no group '%s' of engines, and no host", name);
}

static int compare_ids(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;
    return (a > b) - (a < b);
}

static void sort_once(struct wanted *wanted)
{
    size_t kept = 0;
    if (wanted->count == 0)
        return;
    qsort(wanted->ids, wanted->count, sizeof *wanted->ids, compare_ids);
    for (size_t i = 0; i < wanted->count; i++)
        if (kept == 0 || wanted->ids[kept - 1] != wanted->ids[i])
            wanted->ids[kept++] = wanted->ids[i];
    wanted->count = kept;
}

static int want_part(struct wanted *wanted, const char *at, const char *end, ipp_err_t *err)
{
    struct part part;
    const char *complaint = read_part(&part, at, end);
    if (complaint)
        return ipp_err(err, EINVAL, "not a list of engines: %s", complaint);
    return part.first < 0 ? want_name(wanted, part.name, err) : want_range(wanted, &part, err);
}

int target_resolve(const char *spec, const json_t *engines, int **ids, size_t *count,
                   ipp_err_t *err)
{
    struct wanted wanted = { .engines = engines };
    const char *end;
    *count = 0;
    for (const char *at = spec ? spec : "all";; at = end + 1) {
        end = part_end(at);
        if (want_part(&wanted, at, end, err) < 0) {
            int saved_errno = errno;
            free(wanted.ids);
            errno = saved_errno;
            return -1;
        }
        if (!*end)
            break;
    }
    sort_once(&wanted);
    *ids = wanted.ids;
    *count = wanted.count;
    return 0;
}

int target_missing(const char *spec, const json_t *engines)
{
    struct part part;
    const char *end;
    for (const char *at = spec ? spec : "all";; at = end + 1) {
        end = part_end(at);
        if (read_part(&part, at, end) == NULL && part.first >= 0)
            for (int id = part.first; id <= part.last; id++)
                if (!alive(engines, id))
                    return id;
        if (!*end)
            return -1;
    }
}
