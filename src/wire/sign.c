/* SPDX-License-Identifier: BSD-3-Clause
 * Signatures: HMAC-SHA256 over the JSON frames, and the bounded memory that refuses a replay. */
#include "wire/sign.h"

#include <errno.h>
#include <nettle/base16.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX

_Static_assert(SIGN_DIGEST_BYTES == SHA256_DIGEST_SIZE, "HMAC-SHA256 has 32 bytes");

struct seen {
    unsigned char digest[SIGN_DIGEST_BYTES];
    uint32_t next; /* in the same bucket */
};

/* The memory is a ring in order of arrival, threaded by a hash table: both of them of fixed size.
 */
struct wire_signer {
    struct hmac_sha256_ctx keyed; /* the key taken in; copied for each message */
    bool enabled;
    struct seen *ring;
    uint32_t capacity, count, oldest;
    uint32_t *buckets;
    uint32_t bucket_mask;
};

static int memory_create(wire_signer_t *signer, size_t remember)
{
    if (remember == 0)
        return 0;
    if (remember > UINT32_MAX / 4) {
        errno = ENOMEM;
        return -1;
    }
    uint32_t buckets = 1;
    while (buckets < remember)
        buckets *= 2;
    signer->ring = calloc(remember, sizeof *signer->ring);
    signer->buckets = malloc(buckets * sizeof *signer->buckets);
    if (!signer->ring || !signer->buckets)
        return -1;
    memset(signer->buckets, 0xff, buckets * sizeof *signer->buckets); /* NOBODY everywhere */
    signer->capacity = (uint32_t)remember;
    signer->bucket_mask = buckets - 1;
    return 0;
}

wire_signer_t *wire_signer_create(const char *key, size_t remember)
{
    wire_signer_t *signer = calloc(1, sizeof *signer);
    if (!signer)
        return NULL;
    signer->enabled = key[0] != '\0';
    hmac_sha256_set_key(&signer->keyed, strlen(key), (const uint8_t *)key);
    if (signer->enabled && memory_create(signer, remember) < 0) {
        wire_signer_destroy(signer);
        return NULL;
    }
    return signer;
}

void wire_signer_destroy(wire_signer_t *signer)
{
    if (!signer)
        return;
    int saved_errno = errno;
    free(signer->ring);
    free(signer->buckets);
    explicit_bzero(signer, sizeof *signer);
    free(signer);
    errno = saved_errno;
}

bool sign_enabled(const wire_signer_t *signer)
{
    return signer->enabled;
}

void sign_digest(const wire_signer_t *signer, ipp_frame_t *const json[4],
                 unsigned char digest[SIGN_DIGEST_BYTES])
{
    struct hmac_sha256_ctx state = signer->keyed;
    for (int i = 0; i < 4; i++)
        hmac_sha256_update(&state, ipp_frame_size(json[i]), ipp_frame_data(json[i]));
    hmac_sha256_digest(&state, SIGN_DIGEST_BYTES, digest);
}

void sign_hex(const unsigned char digest[SIGN_DIGEST_BYTES], char hex[SIGN_HEX_LEN + 1])
{
    base16_encode_update(hex, SIGN_DIGEST_BYTES, digest);
    hex[SIGN_HEX_LEN] = '\0';
}

bool sign_matches(const unsigned char digest[SIGN_DIGEST_BYTES], ipp_frame_t *signature)
{
    char hex[SIGN_HEX_LEN + 1];
    sign_hex(digest, hex);
    return ipp_frame_size(signature) == SIGN_HEX_LEN &&
           memeql_sec(hex, ipp_frame_data(signature), SIGN_HEX_LEN);
}

/* A digest is as good as random: its first bytes are the hash. */
static uint32_t *bucket_of(const wire_signer_t *signer, const unsigned char *digest)
{
    uint32_t hash;
    memcpy(&hash, digest, sizeof hash);
    return &signer->buckets[hash & signer->bucket_mask];
}

bool sign_seen(const wire_signer_t *signer, const unsigned char digest[SIGN_DIGEST_BYTES])
{
    if (signer->capacity == 0)
        return false;
    for (uint32_t i = *bucket_of(signer, digest); i != NOBODY; i = signer->ring[i].next)
        if (memcmp(signer->ring[i].digest, digest, SIGN_DIGEST_BYTES) == 0)
            return true;
    return false;
}

/* Takes the oldest out of its bucket and returns its free place in the ring. */
static uint32_t forget_oldest(wire_signer_t *signer)
{
    uint32_t place = signer->oldest;
    uint32_t *link = bucket_of(signer, signer->ring[place].digest);
    while (*link != place)
        link = &signer->ring[*link].next;
    *link = signer->ring[place].next;
    signer->oldest = (place + 1) % signer->capacity;
    return place;
}

void sign_remember(wire_signer_t *signer, const unsigned char digest[SIGN_DIGEST_BYTES])
{
    if (signer->capacity == 0)
        return;
    uint32_t place = signer->count < signer->capacity ? signer->count++ : forget_oldest(signer);
    uint32_t *bucket = bucket_of(signer, digest);
    memcpy(signer->ring[place].digest, digest, SIGN_DIGEST_BYTES);
    signer->ring[place].next = *bucket;
    *bucket = place;
}
