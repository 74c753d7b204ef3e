#include "core/utf8.h"

#include <stdint.h>
#include <string.h>

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t utf8_char_len(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return s[0] != 0 ? 1 : 0;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return len >= 2 && is_tail(s[1]) ? 2 : 0;
    if ((s[0] & 0xf0) == 0xe0) {
        if (len < 3 || !is_tail(s[1]) || !is_tail(s[2]))
            return 0;
        bool overlong = s[0] == 0xe0 && s[1] < 0xa0;
        bool surrogate = s[0] == 0xed && s[1] > 0x9f;
        return overlong || surrogate ? 0 : 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if (len < 4 || !is_tail(s[1]) || !is_tail(s[2]) || !is_tail(s[3]))
            return 0;
        bool overlong = s[0] == 0xf0 && s[1] < 0x90;
        bool beyond = s[0] == 0xf4 && s[1] > 0x8f;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

/* Eight bytes at once are plain when none has its high bit set and none is zero. */
static bool eight_plain(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    const uint64_t high = UINT64_C(0x8080808080808080), ones = UINT64_C(0x0101010101010101);
    return ((word | (word - ones)) & high) == 0;
}

bool utf8_valid(const char *text, size_t len)
{
    const char *p = text, *end = text + len;
    while (p < end) {
        if (end - p >= 8 && eight_plain(p)) {
            p += 8;
            continue;
        }
        if ((signed char)*p > 0) {
            p++;
            continue;
        }
        size_t n = utf8_char_len(p, (size_t)(end - p));
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

size_t utf8_count(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += !is_tail((unsigned char)*text);
    return count;
}

void utf8_make_valid(char *text)
{
    for (char *p = text, *end = text + strlen(text); p < end;) {
        size_t n = utf8_char_len(p, (size_t)(end - p));
        if (n == 0)
            *p = '?';
        p += n == 0 ? 1 : n;
    }
}

unsigned long utf8_code_point(const char *text, size_t n)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned long c = (unsigned char)text[0] & first[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)text[i] & 0x3fU);
    return c;
}

bool utf8_is_sly(unsigned long c)
{
    return (c >= 0x80 && c < 0xa0) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

void utf8_make_plain(char *text)
{
    utf8_make_valid(text);
    for (char *p = text; *p != '\0';) {
        size_t n = utf8_char_len(p, strnlen(p, 4));
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
        else if (n > 1 && utf8_is_sly(utf8_code_point(p, n)))
            memset(p, '?', n);
        p += n > 0 ? n : 1;
    }
}
