/* SPDX-License-Identifier: BSD-3-Clause
 * Unbalanced Tree Search as an application whose ranks are engines: how many nodes a tree has of
 * which nobody knows where it is deep. Each node's children follow from a SHA-1 digest, so that the
 * same tree comes out wherever it is searched.
 *
 *     mpirun -n 4 examples/uts [TREE]
 *
 * TREE: T1 (default), T3 or T5, the sample trees of the benchmark's authors with 4.1 million nodes
 * each, or small. Source of the trees, their parameters and node counts: S. Olivier, J. Huan,
 * J. Liu, J. Prins, J. Dinan, P. Sadayappan, C.-W. Tseng, "UTS: An Unbalanced Tree Search
 * Benchmark", Languages and Compilers for Parallel Computing (LCPC) 2006, and the sample_trees of
 * its distribution. Exit code 0: the count is the known one. */
#include <math.h>
#include <nettle/sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ippmpi.h"

/* ---- trees ---- */

enum shape { BINOMIAL, FIXED, LINEAR };

struct tree {
    const char *name;
    enum shape shape;
    uint32_t seed;
    double root_branching; /* b0 */
    int depth_limit;       /* geometric trees: d */
    int children;          /* binomial trees: m, with probability q */
    double probability;
    long nodes;
};

static const struct tree trees[] = {
    { "T1", FIXED, 19, 4, 10, 0, 0, 4130071 },
    { "T3", BINOMIAL, 42, 2000, 0, 8, 0.124875, 4112897 },
    { "T5", LINEAR, 34, 4, 20, 0, 0, 4147582 },
    { "small", FIXED, 19, 4, 5, 0, 0, 0 },
};

struct node {
    uint8_t digest[SHA1_DIGEST_SIZE];
    int32_t depth;
};

static void put_number(uint8_t bytes[4], uint32_t number)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(number >> (24 - 8 * i));
}

static struct node root_of(const struct tree *tree)
{
    struct node root = { .depth = 0 };
    struct sha1_ctx sha1;
    uint8_t seed[20] = { 0 };
    put_number(seed + 16, tree->seed);
    sha1_init(&sha1);
    sha1_update(&sha1, sizeof seed, seed);
    sha1_digest(&sha1, sizeof root.digest, root.digest);
    return root;
}

static struct node child_of(const struct node *parent, uint32_t which)
{
    struct node child = { .depth = parent->depth + 1 };
    struct sha1_ctx sha1;
    uint8_t number[4];
    put_number(number, which);
    sha1_init(&sha1);
    sha1_update(&sha1, sizeof parent->digest, parent->digest);
    sha1_update(&sha1, sizeof number, number);
    sha1_digest(&sha1, sizeof child.digest, child.digest);
    return child;
}

/* Uniform in [0, 1). */
static double chance_of(const struct node *node)
{
    const uint8_t *end = node->digest + 16;
    uint32_t bits =
        (uint32_t)end[0] << 24 | (uint32_t)end[1] << 16 | (uint32_t)end[2] << 8 | end[3];
    return (bits & 0x7fffffff) / 2147483648.0;
}

static uint32_t children_of(const struct tree *tree, const struct node *node)
{
    double mean = tree->root_branching;
    if (tree->shape == BINOMIAL) {
        if (node->depth == 0)
            return (uint32_t)tree->root_branching;
        return chance_of(node) < tree->probability ? (uint32_t)tree->children : 0;
    }
    if (node->depth > 0 && tree->shape == FIXED)
        mean = node->depth < tree->depth_limit ? tree->root_branching : 0;
    else if (node->depth > 0)
        mean = tree->root_branching * (1 - (double)node->depth / tree->depth_limit);
    double stop = 1 / (1 + mean); /* a geometric distribution with that mean */
    double children = floor(log(1 - chance_of(node)) / log(1 - stop));
    return mean <= 0 ? 0 : children > 100 ? 100 : (uint32_t)children;
}

/* ---- searching ---- */

/* Nodes that a task looks at before it leaves the rest to others. */
#define NODES_EACH 20000

struct search {
    const struct tree *tree;
    ipp_task_type_t *subtree;
    struct node *stack; /* a search in depth: those that are not looked at yet */
    size_t count, room;
    long nodes, tasks; /* here */
};

static int push(struct search *search, struct node node)
{
    if (search->count == search->room) {
        size_t room = search->room ? 2 * search->room : 1024;
        struct node *stack = realloc(search->stack, room * sizeof *stack);
        if (!stack)
            return -1;
        search->stack = stack;
        search->room = room;
    }
    search->stack[search->count++] = node;
    return 0;
}

/* The payload is a node; what is left of its subtree in the end becomes tasks of their own. */
static int search_subtree(ipp_t *ipp, const void *payload, size_t size, ipp_task_output_t *output,
                          void *arg)
{
    struct search *search = arg;
    struct node node;
    (void)output;
    if (size != sizeof node)
        return 1;
    memcpy(&node, payload, sizeof node);
    search->tasks++;
    search->count = 0;
    if (push(search, node) < 0)
        return 1;
    for (int looked = 0; search->count > 0 && looked < NODES_EACH; looked++) {
        node = search->stack[--search->count];
        search->nodes++;
        uint32_t children = children_of(search->tree, &node);
        for (uint32_t i = 0; i < children; i++)
            if (push(search, child_of(&node, i)) < 0)
                return 1;
    }
    for (size_t i = 0; i < search->count; i++)
        if (ipp_task_submit(ipp, search->subtree, &search->stack[i], sizeof node, NULL, NULL) < 0)
            return 1;
    return 0;
}

static long sequentially(const struct tree *tree)
{
    struct search search = { .tree = tree };
    if (push(&search, root_of(tree)) < 0)
        return -1;
    while (search.count > 0) {
        struct node node = search.stack[--search.count];
        search.nodes++;
        uint32_t children = children_of(tree, &node);
        for (uint32_t i = 0; i < children; i++)
            if (push(&search, child_of(&node, i)) < 0)
                return -1;
    }
    free(search.stack);
    return search.nodes;
}

/* ---- the application ---- */

static int run(ipp_t *ipp, const struct tree *tree)
{
    int rank;
    long mine[2], least[2], most[2], sum[2];
    MPI_Comm comm = ipp_comm(ipp);
    MPI_Comm_rank(comm, &rank);
    struct search search = { .tree = tree };
    struct node root = root_of(tree);
    search.subtree = ipp_task_register(ipp, "subtree", search_subtree, &search);
    if (!search.subtree)
        return 1;
    double begin = MPI_Wtime();
    if (rank == 0 && ipp_task_submit(ipp, search.subtree, &root, sizeof root, NULL, NULL) < 0)
        return 1;
    long failed = ipp_task_serve(ipp);
    double seconds = MPI_Wtime() - begin;
    free(search.stack);
    mine[0] = search.nodes;
    mine[1] = search.tasks;
    MPI_Allreduce(mine, sum, 2, MPI_LONG, MPI_SUM, comm);
    MPI_Allreduce(mine, least, 2, MPI_LONG, MPI_MIN, comm);
    MPI_Allreduce(mine, most, 2, MPI_LONG, MPI_MAX, comm);
    long known = tree->nodes > 0 ? tree->nodes : sequentially(tree);
    if (rank == 0)
        printf("uts: %s has %ld nodes (%s), in %ld tasks, %ld to %ld nodes a rank, %.2f s\n",
               tree->name, sum[0], sum[0] == known ? "as known" : "WRONG", sum[1], least[0],
               most[0], seconds);
    return failed == 0 && sum[0] == known ? 0 : 1;
}

int main(int argc, char **argv)
{
    ipp_t *ipp;
    ipp_options_t options = { .log_level = "error" };
    if (ipp_init(&ipp, &argc, &argv, &options) < 0)
        return 2;
    const char *name = argc > 1 ? argv[1] : "T1";
    const struct tree *tree = NULL;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        if (strcmp(trees[i].name, name) == 0)
            tree = &trees[i];
    if (!tree)
        fprintf(stderr, "uts: %s: not T1, T3, T5 or small\n", name);
    int code = tree ? 0 : 2;
    if (tree && !ipp_is_service(ipp))
        code = run(ipp, tree);
    return ipp_finalize(ipp) < 0 ? 1 : code;
}
