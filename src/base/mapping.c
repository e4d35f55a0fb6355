/* SPDX-License-Identifier: BSD-3-Clause
 * Mappings of large frames. Large values follow each other, and the kernel clears each page that it
 * gives: what one has left is kept for the next for a while. */
#include "base/mapping.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"

#define KEPT_COUNT 32

/* The youngest last. Nobody waits for the mutex to get or free memory: a forked child may have it
 * locked for good. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *data;
    size_t size;
    int64_t since_ms;
} kept[KEPT_COUNT];
static int kept_count;
static size_t kept_bytes, limit_bytes;

void mapping_keep(size_t bytes)
{
    limit_bytes = bytes;
}

/* Under the mutex. */
static void forget(int index)
{
    kept_bytes -= kept[index].size;
    memmove(&kept[index], &kept[index + 1], (size_t)(--kept_count - index) * sizeof *kept);
}

static void give_back_oldest(void)
{
    munmap(kept[0].data, kept[0].size);
    forget(0);
}

static void *take_kept(size_t size)
{
    void *data = NULL;
    if (pthread_mutex_trylock(&mutex) != 0)
        return NULL;
    for (int i = kept_count - 1; i >= 0 && !data; i--)
        if (kept[i].size == size) {
            data = kept[i].data;
            forget(i);
        }
    pthread_mutex_unlock(&mutex);
    return data;
}

void *mapping_new(size_t size)
{
    void *data = take_kept(size);
    if (data)
        return data;
    data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return NULL;
    madvise(data, size, MADV_HUGEPAGE); /* a kernel without them says no, which is fine */
    return data;
}

void mapping_free(void *data, size_t size)
{
    if (size > limit_bytes || pthread_mutex_trylock(&mutex) != 0) {
        munmap(data, size);
        return;
    }
    while (kept_count == KEPT_COUNT || kept_bytes + size > limit_bytes)
        give_back_oldest();
    kept[kept_count].data = data;
    kept[kept_count].size = size;
    kept[kept_count++].since_ms = ipp_now_ms();
    kept_bytes += size;
    pthread_mutex_unlock(&mutex);
}

void mapping_trim(int64_t unused_ms)
{
    pthread_mutex_lock(&mutex);
    while (kept_count > 0 && ipp_now_ms() - kept[0].since_ms >= unused_ms)
        give_back_oldest();
    pthread_mutex_unlock(&mutex);
}
