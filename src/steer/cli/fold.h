/* SPDX-License-Identifier: BSD-3-Clause
 * Folding: what several engines say alike is shown once, with their ids as ranges. */
#ifndef IPP_CLI_FOLD_H
#define IPP_CLI_FOLD_H

#include <stddef.h>
#include <stdint.h>

#include "steer/cli/text.h"

/* Engines (or items of a map) that said the same. Ids in ascending order, each once. */
struct fold_group {
    char *said;
    int64_t *ids;
    size_t count, capacity;
};

/* Start it as {0}. */
struct fold {
    struct fold_group *groups;
    size_t count;
};

void fold_add(struct fold *fold, int64_t id, const char *said);
/* Groups in the order of their lowest ids, ids in order: call it once, before the groups are read.
 */
void fold_finish(struct fold *fold);
void fold_clear(struct fold *fold);

/* Adds ascending ids as "0-3,7"; -1 is the bridge. What would be longer than `limit` characters is
 * cut and the number of ids said: "0,2,4,... (500)". 0: no limit. */
void fold_ids(struct text *out, const int64_t *ids, size_t count, size_t limit);

#endif
