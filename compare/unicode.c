/* Owns: normal forms. See unicode.h. */
#include "unicode.h"

#include <stdbool.h>
#include <stddef.h>
#include <utf8proc.h>

#include "core/alloc.h"

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x80)
            return false;
    }
    return true;
}

char *unicode_nfc(const char *text)
{
    return is_ascii(text) ? xstrdup(text) : (char *)utf8proc_NFC((const utf8proc_uint8_t *)text);
}
