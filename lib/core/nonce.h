/* Names that occur once: of markers, cutovers, temporary things. @thread any */
#ifndef CORE_NONCE_H
#define CORE_NONCE_H

#define NONCE_MAX 40

/* 128 random bits of the system as 32 hexadecimal digits. */
void nonce_make(char out[NONCE_MAX]);

#endif
