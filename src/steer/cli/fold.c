/* SPDX-License-Identifier: BSD-3-Clause
 * Folding: what several engines say alike is shown once, with their ids as ranges. */
#include "steer/cli/fold.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct fold_group *find_group(struct fold *fold, const char *said)
{
    for (size_t i = 0; i < fold->count; i++)
        if (strcmp(fold->groups[i].said, said) == 0)
            return &fold->groups[i];
    fold->groups = cli_realloc(fold->groups, fold->count + 1, sizeof *fold->groups);
    fold->groups[fold->count] = (struct fold_group){ .said = cli_strdup(said) };
    return &fold->groups[fold->count++];
}

void fold_add(struct fold *fold, int64_t id, const char *said)
{
    struct fold_group *group = find_group(fold, said);
    if (group->count == group->capacity) {
        group->capacity = group->capacity * 2 + 4;
        group->ids = cli_realloc(group->ids, group->capacity, sizeof *group->ids);
    }
    group->ids[group->count++] = id;
}

static int compare_ids(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static int compare_groups(const void *left, const void *right)
{
    const struct fold_group *a = left, *b = right;
    return compare_ids(a->ids, b->ids);
}

void fold_finish(struct fold *fold)
{
    for (size_t i = 0; i < fold->count; i++) {
        struct fold_group *group = &fold->groups[i];
        size_t kept = 0;
        qsort(group->ids, group->count, sizeof *group->ids, compare_ids);
        for (size_t j = 0; j < group->count; j++)
            if (kept == 0 || group->ids[kept - 1] != group->ids[j])
                group->ids[kept++] = group->ids[j];
        group->count = kept;
    }
    if (fold->count > 0)
        qsort(fold->groups, fold->count, sizeof *fold->groups, compare_groups);
}

void fold_clear(struct fold *fold)
{
    for (size_t i = 0; i < fold->count; i++) {
        free(fold->groups[i].said);
        free(fold->groups[i].ids);
    }
    free(fold->groups);
    *fold = (struct fold){ 0 };
}

/* How many ids from `first` follow each other without a gap. */
static size_t run_length(const int64_t *ids, size_t count, size_t first)
{
    size_t next = first + 1;
    while (next < count && ids[next] == ids[next - 1] + 1)
        next++;
    return next - first;
}

void fold_ids(struct text *out, const int64_t *ids, size_t count, size_t limit)
{
    const size_t begin = out->size;
    for (size_t i = 0; i < count;) {
        size_t length = run_length(ids, count, i);
        const char *comma = i > 0 ? "," : "";
        if (limit > 0 && i > 0 && out->size - begin > limit) {
            text_print(out, ",... (%zu)", count);
            return;
        }
        if (ids[i] < 0) {
            text_print(out, "%sbridge", comma);
            length = 1;
        } else if (length > 2) {
            text_print(out, "%s%" PRId64 "-%" PRId64, comma, ids[i], ids[i + length - 1]);
        } else {
            text_print(out, "%s%" PRId64, comma, ids[i]);
            length = 1;
        }
        i += length;
    }
}
