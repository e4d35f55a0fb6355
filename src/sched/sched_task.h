/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: the record of a task, and the three things tasks are kept in: lists in order of
 * submission, a hash table by id, and a heap of deadlines. */
#ifndef IPP_SCHED_TASK_H
#define IPP_SCHED_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lane;

/* ---- hash table of nodes that live in their owners ---- */

struct hash_node {
    struct hash_node *next;
    uint64_t key;
};

struct hash_table {
    struct hash_node **slots; /* 1 << bits */
    unsigned bits;
    size_t count;
};

int hash_table_init(struct hash_table *table); /* -1 with errno ENOMEM */
void hash_table_free(struct hash_table *table, void (*free_node)(struct hash_node *node));
/* Never fails: a table that cannot grow gets slower. Equal keys may live side by side. */
void hash_table_insert(struct hash_table *table, struct hash_node *node);
void hash_table_remove(struct hash_table *table, struct hash_node *node);
struct hash_node *hash_table_find(const struct hash_table *table, uint64_t key);
struct hash_node *hash_node_same(const struct hash_node *node); /* the next one with its key */

/* ---- tasks ---- */

#define TASK_QUEUED (-1)         /* for `engine` */
#define TASK_NO_TIMER UINT32_MAX /* for `timer` */
#define TASK_NO_DEADLINE INT64_MAX

struct task {
    struct hash_node node;    /* key: its id; must be the first member */
    uint64_t order;           /* of submission; kept when it is put back */
    int64_t deadline_ms;      /* it must have left the queue by then */
    struct task *next, *prev; /* in the list of its lane, or of its engine */
    struct lane *lane;        /* where it may run; one reference */
    int engine;               /* that holds it */
    int retries;              /* left */
    uint32_t timer;           /* its place in the heap of deadlines, while it waits */
    bool blocked;             /* runs, and does not count for its engine's load */
};

_Static_assert(sizeof(void *) > 8 || sizeof(struct task) <= 72, "a million tasks fit 100 MB");

struct task_list {
    struct task *head, *tail;
};

void task_list_append(struct task_list *list, struct task *task);
/* By order. Walks from both ends at once: what is put in belongs near one of them. */
void task_list_insert(struct task_list *list, struct task *task);
void task_list_remove(struct task_list *list, struct task *task);
/* Both sorted by order; `from` is empty afterwards. */
void task_list_merge(struct task_list *into, struct task_list *from);
void task_list_sort(struct task_list *list);

/* ---- deadlines of the tasks that wait ---- */

struct deadline {
    int64_t at_ms;
    struct task *task;
};

struct deadlines {
    struct deadline *heap;
    uint32_t count, capacity;
    uint32_t reserved; /* live tasks that have a deadline, waiting or not */
};

/* Room for one more live task with a deadline, so that putting one back cannot fail; -1, ENOMEM. */
int deadlines_reserve(struct deadlines *deadlines);
void deadlines_release(struct deadlines *deadlines);
void deadlines_add(struct deadlines *deadlines, struct task *task);
void deadlines_remove(struct deadlines *deadlines, struct task *task);

#endif
