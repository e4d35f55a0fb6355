/* SPDX-License-Identifier: BSD-3-Clause
 * Private to sched: the record of a task, and the three things tasks are kept in: lists in order of
 * submission, a hash table by id, and a heap of deadlines. */
#ifndef IPP_SCHED_TASK_H
#define IPP_SCHED_TASK_H

#include "sched/sched.h"

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

/* For `engine`, where it is not one. */
#define TASK_QUEUED (-1)    /* in its lane */
#define TASK_HELD (-2)      /* depends on others that have not ended */
#define TASK_SETTLED (-3)   /* does so no more: on its way to its lane, or to its end */
#define TASK_GATHERING (-4) /* waits for its engines to get idle */
#define TASK_WIDE (-5)      /* on the engines of its parts */

#define TASK_NO_TIMER UINT32_MAX /* for `timer` */
#define TASK_NO_DEADLINE INT64_MAX
#define TASK_RETRIES_MOST INT32_MAX

struct task {
    struct hash_node node;    /* key: its id; must be the first member */
    uint64_t order;           /* of submission; kept when it is put back */
    struct task *next, *prev; /* in the list of its lane, of its engine, or of what it waits in */
    struct lane *lane;        /* where it may run; one reference */
    struct task_more *more;   /* NULL: there is nothing more to it */
    void *item;               /* the caller's */
    int engine;               /* that holds it, or where it is else */
    unsigned retries : 31;    /* left */
    unsigned blocked : 1;     /* runs, and does not count for its engine's load */
};

_Static_assert(sizeof(void *) > 8 || sizeof(struct task) <= 72, "a million tasks fit 100 MB");

/* A task that another one depends on. */
struct edge {
    union {
        struct task *awaited; /* while it lives */
        uint64_t id;          /* when it has ended, or was never known */
    };
    struct task *waiter;
    struct edge *next, *prev; /* of those that wait for the same task */
    int engine;               /* where it ended, -1: nowhere */
    bool lives;
    bool good;    /* it ended, and so that it counts */
    bool follows; /* belongs to `follow` */
};

static inline uint64_t edge_id(const struct edge *edge)
{
    return edge->lives ? edge->awaited->node.key : edge->id;
}

struct need {
    struct edge *edges; /* NULL: no dependency, or settled */
    uint32_t count, pending, good;
    bool all, success, failure;
};

/* One engine's share of a wide task. */
struct part {
    struct part *next, *prev; /* of its engine */
    struct task *task;        /* NULL: it has ended without this one */
    uint64_t id;              /* the task's */
    int engine;
    bool blocked;
};

/* A wide task's engines. */
struct wide {
    int part_count, running;
    enum sched_outcome worst, of_first; /* the first engine's, which answers */
    struct part *parts[];               /* room for as many as it is wide */
};

#define EDGES_INSIDE 2

struct task_more {
    struct task *task;   /* whose it is */
    int64_t deadline_ms; /* it must have left the queue by then */
    const struct sched_policy *policy;
    struct need after, follow;
    struct edge *waiters;  /* of those that depend on this one */
    struct task *released; /* the next one of those that are */
    int *preferred;        /* engines */
    struct wide *wide;     /* NULL: it is not */
    uint64_t other;        /* of one that is doomed: sched_end's */
    uint32_t timer;        /* its place in the heap of deadlines, while it waits */
    int preferred_count;
    enum sched_drop why;
    bool doomed;                      /* what it depends on can not come true */
    struct edge inside[EDGES_INSIDE]; /* those of its needs, where they are no more */
};

struct task_list {
    struct task *head, *tail;
};

/* Memory for records of one size; it goes back to the system when there is none left. Free ones
 * begin with the address of the next. */
struct pool {
    size_t bytes; /* of a record */
    void *free;
    struct pool_chunk *chunks;
    size_t used; /* records */
};

void *pool_get(struct pool *pool); /* NULL: ENOMEM */
void pool_put(struct pool *pool, void *record);
void pool_free(struct pool *pool);

static inline int64_t task_deadline_ms(const struct task *task)
{
    return task->more ? task->more->deadline_ms : TASK_NO_DEADLINE;
}

static inline struct sched_live task_live(const struct task *task)
{
    return (struct sched_live){ task->node.key, task->item, (int)task->retries };
}

static inline void task_list_append(struct task_list *list, struct task *task)
{
    task->prev = list->tail;
    task->next = NULL;
    if (list->tail)
        list->tail->next = task;
    else
        list->head = task;
    list->tail = task;
}

static inline void task_list_remove(struct task_list *list, struct task *task)
{
    if (task->prev)
        task->prev->next = task->next;
    else
        list->head = task->next;
    if (task->next)
        task->next->prev = task->prev;
    else
        list->tail = task->prev;
}

/* By order. Walks from both ends at once: what is put in belongs near one of them. */
void task_list_insert(struct task_list *list, struct task *task);
struct task *task_list_shift(struct task_list *list); /* the first one; there must be one */
/* Both sorted by order; `from` is empty afterwards. */
void task_list_merge(struct task_list *into, struct task_list *from);
void task_list_sort(struct task_list *list);

/* ---- deadlines of the tasks that wait ---- */

struct deadline {
    int64_t at_ms;
    struct task_more *more; /* the task's */
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
