/* SPDX-License-Identifier: BSD-3-Clause
 * What the codec asks of signatures; nettle computes them. */
#ifndef IPP_WIRE_SIGN_H
#define IPP_WIRE_SIGN_H

#include "wire/wire.h"

#define SIGN_DIGEST_BYTES 32
#define SIGN_HEX_LEN 64

/* False for the empty key: no signature is written or verified. */
bool sign_enabled(const wire_signer_t *signer);

/* The HMAC over the four JSON frames one after the other. Only reads the signer. */
void sign_digest(const wire_signer_t *signer, ipp_frame_t *const json[4],
                 unsigned char digest[SIGN_DIGEST_BYTES]);
void sign_hex(const unsigned char digest[SIGN_DIGEST_BYTES], char hex[SIGN_HEX_LEN + 1]);
/* True when `signature` is the digest in lower-case hex; takes the same time wherever they differ.
 */
bool sign_matches(const unsigned char digest[SIGN_DIGEST_BYTES], ipp_frame_t *signature);

bool sign_seen(const wire_signer_t *signer, const unsigned char digest[SIGN_DIGEST_BYTES]);
/* Remembers a digest that was not seen, forgetting the oldest when the memory is full. Cannot fail.
 */
void sign_remember(wire_signer_t *signer, const unsigned char digest[SIGN_DIGEST_BYTES]);

#endif
