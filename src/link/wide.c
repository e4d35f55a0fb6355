/* SPDX-License-Identifier: BSD-3-Clause
 * A request to one engine, or to several that run it together. */
#include <errno.h>
#include <stdlib.h>

#include "ippmpi.h"
#include "link/link.h"

static int send_wide(link_t *link, const int32_t *engines, size_t count,
                     struct link_envelope *envelope, const ipp_frames_t *frames)
{
    ipp_frames_t whole = { 0 };
    int *ranks = malloc(count * sizeof *ranks), result = -1;
    for (size_t i = 0; ranks && i < count; i++)
        ranks[i] = engines[i] + IPP_SERVICE_RANKS;
    envelope->flags |= LINK_WIDE;
    errno = ENOMEM;
    if (ranks && ipp_frames_push_copy(&whole, engines, count * sizeof *engines) == 0 &&
        ipp_frames_share(&whole, frames, 0) == 0)
        result = link_multicast(link, ranks, count, LINK_DATA, envelope, &whole);
    ipp_frames_clear(&whole);
    free(ranks);
    return result;
}

int link_send_request(link_t *link, const int32_t *engines, size_t count,
                      const struct link_envelope *envelope, ipp_frames_t *frames)
{
    struct link_envelope to = *envelope;
    to.engine = engines[0];
    if (count == 1)
        return link_send(link, engines[0] + IPP_SERVICE_RANKS, LINK_DATA, &to, frames);
    int result = send_wide(link, engines, count, &to, frames);
    ipp_frames_clear(frames);
    return result;
}
