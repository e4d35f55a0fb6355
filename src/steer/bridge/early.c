/* SPDX-License-Identifier: BSD-3-Clause
 * Aborts that came before what they abort: a set of msg_ids by engine that forgets the oldest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

struct entry {
    UT_hash_handle hh; /* in the order in which they came */
    char *key;         /* "ENGINE MSG_ID" */
};

struct early {
    struct entry *entries;
    size_t kept;
};

struct early *early_create(size_t kept)
{
    struct early *early = calloc(1, sizeof *early);
    if (early)
        early->kept = kept;
    return early;
}

static void forget(struct early *early, struct entry *entry)
{
    HASH_DEL(early->entries, entry); /* NOLINT(clang-analyzer-unix.Malloc): uthash's links */
    free(entry->key);
    free(entry);
}

void early_destroy(struct early *early)
{
    while (early && early->entries)
        forget(early, early->entries);
    free(early);
}

static struct entry *find(const struct early *early, const char *key)
{
    struct entry *entry;
    HASH_FIND_STR(early->entries, key, entry);
    return entry;
}

static void add(struct early *early, const char *msg_id, int engine)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry || asprintf(&entry->key, "%d %s", engine, msg_id) < 0) {
        free(entry);
        return;
    }
    if (find(early, entry->key)) {
        free(entry->key);
        free(entry);
        return;
    }
    if (HASH_COUNT(early->entries) >= early->kept)
        forget(early, early->entries);
    HASH_ADD_KEYPTR(hh, early->entries, entry->key, strlen(entry->key), entry);
}

void early_add(struct early *early, const char *msg_id, int engine)
{
    add(early, msg_id, ANY_ENGINE);
    add(early, msg_id, engine);
}

bool early_take(struct early *early, const char *msg_id, int engine)
{
    char *key;
    if (!early->entries || asprintf(&key, "%d %s", engine, msg_id) < 0)
        return false;
    struct entry *entry = find(early, key);
    free(key);
    if (!entry)
        return false;
    forget(early, entry);
    return true;
}

bool early_take_copy(struct early *early, const char *msg_id, const char *uuid, int engine)
{
    if (!early->entries)
        return false;
    char *copy = wire_copy_id(msg_id, uuid);
    bool by_copy = copy && early_take(early, copy, engine);
    free(copy);
    return early_take(early, msg_id, engine) || by_copy;
}
