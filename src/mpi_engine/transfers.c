/* SPDX-License-Identifier: BSD-3-Clause
 * The store of transfers: a handful at a time, in a list. */
#include "mpi_engine/transfers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct transfer {
    struct transfer *next;
    uint64_t number, total, come;
    ipp_frame_t *region; /* NULL: there was no memory */
    bool broken;         /* chunks did not follow each other */
};

struct transfers {
    struct transfer *first;
};

transfers_t *transfers_create(void)
{
    return calloc(1, sizeof(transfers_t));
}

void transfers_destroy(transfers_t *transfers)
{
    if (!transfers)
        return;
    while (transfers->first)
        transfers_drop(transfers, transfers->first->number);
    free(transfers);
}

static struct transfer *find(const transfers_t *transfers, uint64_t number)
{
    struct transfer *transfer = transfers->first;
    while (transfer && transfer->number != number)
        transfer = transfer->next;
    return transfer;
}

static void transfer_free(struct transfer *transfer)
{
    if (transfer)
        ipp_frame_unref(transfer->region);
    free(transfer);
}

static struct transfer *begin(transfers_t *transfers, uint64_t number, uint64_t total)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return NULL; /* later chunks begin it again, with a gap */
    transfer->number = number;
    transfer->total = total;
    transfer->region = total <= SIZE_MAX ? ipp_frame_alloc((size_t)total) : NULL;
    transfer->next = transfers->first;
    transfers->first = transfer;
    return transfer;
}

void transfers_chunk(transfers_t *transfers, uint64_t number, const struct link_chunk *chunk,
                     const void *bytes, size_t size)
{
    struct transfer *transfer = find(transfers, number);
    if (!transfer)
        transfer = begin(transfers, number, chunk->total);
    if (!transfer || !transfer->region || transfer->broken)
        return;
    if (chunk->total != transfer->total || chunk->offset != transfer->come ||
        size > transfer->total - transfer->come) {
        transfer->broken = true;
        return;
    }
    if (size > 0)
        memcpy((char *)ipp_frame_data(transfer->region) + transfer->come, bytes, size);
    transfer->come += size;
}

void transfers_drop(transfers_t *transfers, uint64_t number)
{
    for (struct transfer **at = &transfers->first, *transfer; (transfer = *at) != NULL;
         at = &transfer->next)
        if (transfer->number == number) {
            *at = transfer->next;
            transfer_free(transfer);
            return;
        }
}

/* ---- the request asks ---- */

static int check(const struct transfer *transfer, const struct link_transfer *said, ipp_err_t *err)
{
    if (!transfer)
        return ipp_err(err, EINVAL, "the request's transfer is not known here");
    if (!transfer->region)
        return ipp_err(err, ENOMEM, "the engine has no memory for a transfer of %" PRIu64 " bytes",
                       transfer->total);
    if (transfer->broken || transfer->come != transfer->total)
        return ipp_err(err, EINVAL,
                       "the request's transfer is incomplete: %" PRIu64 " of %" PRIu64
                       " bytes have come in order",
                       transfer->come, transfer->total);
    uint64_t left = transfer->total;
    for (uint64_t i = 0; i < said->count; left -= said->sizes[i++])
        if (said->sizes[i] > left)
            return ipp_err(err, EINVAL,
                           "the sizes of the request's buffers are more than the %" PRIu64
                           " bytes of its transfer",
                           transfer->total);
    return left == 0 ? 0
                     : ipp_err(err, EINVAL,
                               "the sizes of the request's buffers leave %" PRIu64
                               " bytes of its transfer",
                               left);
}

static void unref_region(void *data, void *region)
{
    (void)data;
    ipp_frame_unref(region);
}

static ipp_frame_t *part(ipp_frame_t *region, uint64_t offset, uint64_t size)
{
    ipp_frame_t *frame = ipp_frame_adopt((char *)ipp_frame_data(region) + offset, (size_t)size,
                                         unref_region, region);
    if (frame)
        ipp_frame_ref(region);
    return frame;
}

static int cut(ipp_frame_t *region, const struct link_transfer *said, ipp_frames_t *parts)
{
    uint64_t offset = 0;
    for (uint64_t i = 0; i < said->count; offset += said->sizes[i++])
        if (ipp_frames_push(parts, part(region, offset, said->sizes[i])) < 0)
            return -1;
    return 0;
}

int transfers_take(transfers_t *transfers, const struct link_transfer *said, ipp_frames_t *frames,
                   ipp_err_t *err)
{
    struct transfer *transfer = find(transfers, said->number);
    ipp_frames_t parts = { 0 };
    size_t before = frames->count;
    int result = check(transfer, said, err);
    if (result == 0 &&
        (cut(transfer->region, said, &parts) < 0 || ipp_frames_share(frames, &parts, 0) < 0)) {
        while (frames->count > before)
            ipp_frame_unref(frames->at[--frames->count]);
        result = ipp_err(err, ENOMEM, "the engine has no memory for the buffers of a transfer");
    }
    ipp_frames_clear(&parts);
    transfers_drop(transfers, said->number);
    return result;
}
