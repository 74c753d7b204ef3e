/* See html.h. */
#include "core/html.h"

#include <string.h>

#include "core/utf8.h"

/* A character of several bytes; returns how many were taken. What is not UTF-8 or no character shows as U+FFFD. */
static size_t add_wide(struct strbuf *out, const char *s)
{
    size_t n = utf8_char_len(s, strnlen(s, 4));
    unsigned long c = n > 1 ? utf8_code_point(s, n) : 0xfffd;
    if (n == 0 || c < 0xa0 || (c & 0xfffe) == 0xfffe)
        strbuf_adds(out, "&#xfffd;");
    else if (utf8_is_sly(c))
        strbuf_addf(out, "[U+%04lX]", c);
    else
        strbuf_add(out, s, n);
    return n == 0 ? 1 : n;
}

/* Control characters are not allowed: their pictures are. */
static void add_byte(struct strbuf *out, char c)
{
    if ((unsigned char)c < 0x20 && c != '\n' && c != '\t')
        strbuf_addf(out, "&#x%x;", 0x2400 + (unsigned)c);
    else if (c == 0x7f)
        strbuf_adds(out, "&#x2421;");
    else
        strbuf_addc(out, c);
}

void html_add_text(struct strbuf *out, const char *s)
{
    static const char *const named[128] = {
        ['<'] = "&lt;", ['>'] = "&gt;", ['&'] = "&amp;", ['"'] = "&quot;", ['\''] = "&#39;"};
    while (*s != '\0') {
        if ((unsigned char)*s >= 0x80) {
            s += add_wide(out, s);
            continue;
        }
        if (named[(unsigned char)*s] != NULL)
            strbuf_adds(out, named[(unsigned char)*s]);
        else
            add_byte(out, *s);
        s++;
    }
}

const char *html_add_until_mark(struct strbuf *out, const char *template)
{
    const char *mark = strstr(template, "{{");
    const char *end = mark != NULL ? strstr(mark, "}}") : NULL;
    if (end == NULL) {
        strbuf_adds(out, template);
        return "";
    }
    strbuf_add(out, template, (size_t)(mark - template));
    return end + 2;
}
