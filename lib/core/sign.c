/* Wraps OpenSSL's HMAC. See sign.h. */
#include "core/sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

bool sign_hmac_sha256(const char *secret, const void *bytes, size_t len, char out[SIGN_HEX_SIZE])
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int mac_len = 0;
    if (HMAC(EVP_sha256(), secret, (int)strlen(secret), bytes, len, mac, &mac_len) == NULL)
        return false;
    for (unsigned int i = 0; i < mac_len; i++)
        (void)snprintf(out + (size_t)2 * i, 3, "%02x", mac[i]);
    return true;
}
