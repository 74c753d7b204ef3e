/* See nonce.h. */
#include "core/nonce.h"

#include <stdio.h>
#include <sys/random.h>

#include "core/err.h"

void nonce_make(char out[NONCE_MAX])
{
    unsigned char bytes[16]; /* up to 256 are never cut short: getrandom(2) */
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        BUG("no random bytes from the system");
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}
