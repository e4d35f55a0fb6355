/* SPDX-License-Identifier: BSD-3-Clause
 * The hash table: chains of nodes that live in their owners. It owns the slots only. */
#include "sched/sched_task.h"

#include <stdlib.h>

#define FIRST_BITS 6u

/* Keys in a row get slots in a row, for the cache; each run of 1 << bits starts somewhere else. */
static size_t slot_of(uint64_t key, unsigned bits)
{
    uint64_t start = ((key >> bits) * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - bits);
    return (size_t)((key + start) & ((UINT64_C(1) << bits) - 1));
}

int hash_table_init(struct hash_table *table)
{
    table->bits = FIRST_BITS;
    table->count = 0;
    table->slots = calloc((size_t)1 << FIRST_BITS, sizeof *table->slots);
    return table->slots ? 0 : -1;
}

void hash_table_free(struct hash_table *table, void (*free_node)(struct hash_node *node))
{
    for (size_t i = 0; table->slots && i < (size_t)1 << table->bits; i++) {
        struct hash_node *next;
        for (struct hash_node *node = table->slots[i]; node; node = next) {
            next = node->next;
            free_node(node);
        }
    }
    free(table->slots);
    table->slots = NULL;
}

static void grow(struct hash_table *table)
{
    unsigned bits = table->bits + 1;
    struct hash_node **slots = calloc((size_t)1 << bits, sizeof *slots);
    if (!slots)
        return;
    for (size_t i = 0; i < (size_t)1 << table->bits; i++) {
        struct hash_node *next;
        for (struct hash_node *node = table->slots[i]; node; node = next) {
            struct hash_node **slot = &slots[slot_of(node->key, bits)];
            next = node->next;
            node->next = *slot;
            *slot = node;
        }
    }
    free(table->slots);
    table->slots = slots;
    table->bits = bits;
}

void hash_table_insert(struct hash_table *table, struct hash_node *node)
{
    if (table->count >= (size_t)1 << table->bits)
        grow(table);
    struct hash_node **slot = &table->slots[slot_of(node->key, table->bits)];
    node->next = *slot;
    *slot = node;
    table->count++;
}

void hash_table_remove(struct hash_table *table, struct hash_node *node)
{
    struct hash_node **link = &table->slots[slot_of(node->key, table->bits)];
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    table->count--;
}

struct hash_node *hash_table_find(const struct hash_table *table, uint64_t key)
{
    struct hash_node *node = table->slots[slot_of(key, table->bits)];
    while (node && node->key != key)
        node = node->next;
    return node;
}

struct hash_node *hash_node_same(const struct hash_node *node)
{
    struct hash_node *same = node->next;
    while (same && same->key != node->key)
        same = same->next;
    return same;
}
