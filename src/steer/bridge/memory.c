/* SPDX-License-Identifier: BSD-3-Clause
 * The bridge's heap. Large messages come and go in bursts, and fresh memory costs more than
 * copying: what they used is kept for a while after the last one, then given back. */
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "steer/bridge/bridge_private.h"

#define KEEP_MEMORY_MS 5000
#define KEEP_BYTES ((size_t)16 << 20)
#define CHANGE_BYTES ((size_t)1 << 20)
/* What a push holds of the bridge's memory (docs/performance.md), and some more. */
#define RESERVED_BYTES ((size_t)128 << 20)
#define HUGE_PAGE_BYTES ((uintptr_t)2 << 20)

/* Has the heap's next bytes come in huge pages, where the kernel has them: ranks on this host read
 * them out of this process page by page. Takes address space and no memory. */
static void reserve(void)
{
    char *next = malloc(RESERVED_BYTES);
    if (!next)
        return;
    uintptr_t from = ((uintptr_t)next + HUGE_PAGE_BYTES - 1) & ~(HUGE_PAGE_BYTES - 1);
    uintptr_t to = ((uintptr_t)next + RESERVED_BYTES) & ~(HUGE_PAGE_BYTES - 1);
    madvise(next + (from - (uintptr_t)next), to - from, MADV_HUGEPAGE);
    free(next);
}

static size_t resident_bytes(void)
{
    size_t all = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm)
        return 0;
    if (fscanf(statm, "%zu %zu", &all, &resident) != 2)
        resident = 0;
    fclose(statm);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Resident, and no part of the heap that is in use: also libraries and the like. */
static size_t unused_bytes(void)
{
    size_t resident = resident_bytes(), used = mallinfo2().uordblks;
    return resident > used ? resident - used : 0;
}

void memory_start(struct bridge *b)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    ipp_frame_use_heap();
    reserve();
    b->unused_at_first = unused_bytes();
}

/* What could not be given back the last time is in pieces smaller than pages, until something
 * else is freed. */
static bool worth_trimming(const struct bridge *b, size_t unused)
{
    size_t change = unused > b->unused_left ? unused - b->unused_left : b->unused_left - unused;
    return unused >= b->unused_at_first + KEEP_BYTES && change >= CHANGE_BYTES;
}

/* What a message that broke off half-way has left, too. */
int memory_tick(struct bridge *b)
{
    int64_t now = ipp_now_ms();
    if (now < b->memory_look_ms)
        return (int)(b->memory_look_ms - now);
    b->memory_look_ms = now + KEEP_MEMORY_MS;
    if (now - b->last_bulk_ms >= KEEP_MEMORY_MS && worth_trimming(b, unused_bytes())) {
        malloc_trim(0);
        reserve();
        b->unused_left = unused_bytes();
    }
    return KEEP_MEMORY_MS;
}
