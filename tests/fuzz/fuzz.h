/*
 * What the fuzz targets share. A target is one file fuzz_<name>.c with LLVMFuzzerTestOneInput(); it is linked with libFuzzer
 * (preset fuzz) or with replay.c (every other preset), which runs it once over files. A target fails by a sanitizer's
 * complaint or by FUZZ_REQUIRE: what a reader accepted must make sense, not only not crash.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define FUZZ_REQUIRE(cond, ...)                                                                              \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            (void)fprintf(stderr, "%s:%d: does not hold: %s: ", __FILE__, __LINE__, #cond);                  \
            (void)fprintf(stderr, __VA_ARGS__);                                                              \
            (void)fputc('\n', stderr);                                                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* Reads every byte, so that a pointer that leaves its bounds is seen; the sum keeps the compiler from leaving it out. */
static inline uint64_t fuzz_touch(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
