/* SPDX-License-Identifier: BSD-3-Clause
 * Random digits for keys, tokens and ids, from the kernel. */
#include "wire/wire.h"

#include <assert.h>
#include <errno.h>
#include <nettle/base16.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BYTES_MAX 64

static void random_bytes(unsigned char *out, size_t size)
{
    ssize_t got;
    do
        got = getrandom(out, size, 0); /* up to 256 bytes come whole once the kernel has any */
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)size)
        abort(); /* no source of randomness: keys and ids would be guessed */
}

void wire_random_hex(char *out, size_t digits)
{
    unsigned char random[BYTES_MAX];
    assert(digits % 2 == 0 && digits / 2 <= BYTES_MAX);
    random_bytes(random, digits / 2);
    base16_encode_update(out, digits / 2, random);
    out[digits] = '\0';
    explicit_bzero(random, sizeof random);
}

void wire_uuid(char out[37])
{
    unsigned char b[16];
    char hex[2 * sizeof b + 1] = "";
    random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
    base16_encode_update(hex, sizeof b, b);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void wire_key_generate(char out[49])
{
    wire_random_hex(out, 48);
}
