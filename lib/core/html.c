/* See html.h. */
#include "core/html.h"

#include <string.h>

void html_add_text(struct strbuf *out, const char *s)
{
    for (; *s != '\0'; s++) {
        switch (*s) {
        case '<':
            strbuf_adds(out, "&lt;");
            break;
        case '>':
            strbuf_adds(out, "&gt;");
            break;
        case '&':
            strbuf_adds(out, "&amp;");
            break;
        case '"':
            strbuf_adds(out, "&quot;");
            break;
        default: /* control characters are not allowed in HTML: their pictures are */
            if ((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t')
                strbuf_addf(out, "&#x%x;", 0x2400 + (unsigned)*s);
            else
                strbuf_addc(out, *s);
        }
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
