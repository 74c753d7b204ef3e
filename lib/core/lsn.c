#include "core/lsn.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

char *lsn_format(lsn_t lsn, char out[LSN_TEXT_MAX])
{
    (void)snprintf(out, LSN_TEXT_MAX, LSN_FMT, LSN_ARGS(lsn));
    return out;
}

static bool parse_half(const char **p, char end, uint32_t *ret)
{
    uint32_t v = 0;
    int digits = 0;
    for (; isxdigit((unsigned char)**p); (*p)++, digits++) {
        if (digits == 8)
            return false;
        char c = (char)tolower((unsigned char)**p);
        v = (v << 4) | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (digits == 0 || **p != end)
        return false;
    *ret = v;
    return true;
}

bool lsn_parse(const char *text, lsn_t *ret_lsn)
{
    uint32_t high, low;
    if (!parse_half(&text, '/', &high))
        return false;
    text++;
    if (!parse_half(&text, '\0', &low))
        return false;
    *ret_lsn = (uint64_t)high << 32 | low;
    return true;
}
