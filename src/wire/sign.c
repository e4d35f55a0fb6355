/* SPDX-License-Identifier: BSD-3-Clause
 * Signatures: HMAC-SHA256 over the JSON frames, and the bounded memory that refuses a replay. */
#include "wire/sign.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX

_Static_assert(SIGN_DIGEST_BYTES == crypto_auth_hmacsha256_BYTES, "HMAC-SHA256 has 32 bytes");

struct seen {
    unsigned char digest[SIGN_DIGEST_BYTES];
    uint32_t next; /* in the same bucket */
};

/* The memory is a ring in order of arrival, threaded by a hash table: both of them of fixed size.
 */
struct wire_signer {
    crypto_auth_hmacsha256_state keyed; /* the key taken in; copied for each message */
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
    if (sodium_init() < 0) {
        errno = EIO;
        goto error;
    }
    signer->enabled = key[0] != '\0';
    crypto_auth_hmacsha256_init(&signer->keyed, (const unsigned char *)key, strlen(key));
    if (signer->enabled && memory_create(signer, remember) < 0)
        goto error;
    return signer;
error:
    wire_signer_destroy(signer);
    return NULL;
}

void wire_signer_destroy(wire_signer_t *signer)
{
    if (!signer)
        return;
    int saved_errno = errno;
    free(signer->ring);
    free(signer->buckets);
    sodium_memzero(signer, sizeof *signer);
    free(signer);
    errno = saved_errno;
}

void sign_random(void *out, size_t size)
{
    if (sodium_init() < 0)
        abort(); /* no source of randomness: keys and ids would be guessed */
    randombytes_buf(out, size);
}

void wire_key_generate(char out[49])
{
    unsigned char random[24];
    sign_random(random, sizeof random);
    sodium_bin2hex(out, 49, random, sizeof random);
    sodium_memzero(random, sizeof random);
}

bool sign_enabled(const wire_signer_t *signer)
{
    return signer->enabled;
}

void sign_digest(const wire_signer_t *signer, ipp_frame_t *const json[4],
                 unsigned char digest[SIGN_DIGEST_BYTES])
{
    crypto_auth_hmacsha256_state state = signer->keyed;
    for (int i = 0; i < 4; i++)
        crypto_auth_hmacsha256_update(&state, ipp_frame_data(json[i]), ipp_frame_size(json[i]));
    crypto_auth_hmacsha256_final(&state, digest);
}

void sign_hex(const unsigned char digest[SIGN_DIGEST_BYTES], char hex[SIGN_HEX_LEN + 1])
{
    sodium_bin2hex(hex, SIGN_HEX_LEN + 1, digest, SIGN_DIGEST_BYTES);
}

bool sign_matches(const unsigned char digest[SIGN_DIGEST_BYTES], ipp_frame_t *signature)
{
    char hex[SIGN_HEX_LEN + 1];
    sign_hex(digest, hex);
    return ipp_frame_size(signature) == SIGN_HEX_LEN &&
           sodium_memcmp(hex, ipp_frame_data(signature), SIGN_HEX_LEN) == 0;
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
