/*
 * Owns: comparing definitions of PostgreSQL's objects line by line, so that it can be said what of a table is another. A line: a
 * mark ('!': has to be the same, '?': has to be the same where the target has it), what is meant, a tab, its value. See side.h.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"
#include "side.h"

#define WHY_BYTES_MAX   2000
#define VALUE_BYTES_MAX 400

struct line {
    char mark;
    const char *facet, *value;
    size_t facet_len, value_len;
};

/* The next line from *at on; false at the end. */
static bool next_line(const char **at, struct line *ret)
{
    const char *from = *at;
    size_t len = strcspn(from, "\n");
    if (len == 0)
        return false;
    const char *tab = memchr(from, '\t', len);
    size_t facet = tab != NULL ? (size_t)(tab - from) : len;
    *ret = (struct line){.mark = from[0],
                         .facet = from + 1,
                         .facet_len = facet - 1,
                         .value = tab != NULL ? tab + 1 : from + len,
                         .value_len = tab != NULL ? len - facet - 1 : 0};
    *at = from + len + (from[len] == '\n');
    return true;
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool find_line(const char *lines, const struct line *like, struct line *ret)
{
    while (next_line(&lines, ret)) {
        if (same(ret->facet, ret->facet_len, like->facet, like->facet_len))
            return true;
    }
    return false;
}

static int shown(size_t len)
{
    return (int)MIN_OF(len, VALUE_BYTES_MAX);
}

static void tell(struct strbuf *out, const struct line *l, const struct line *source,
                 const struct line *target)
{
    strbuf_addf(out, "%s%.*s: ", out->len > 0 ? "; " : "", shown(l->facet_len), l->facet);
    if (target != NULL)
        strbuf_addf(out, "%.*s", shown(target->value_len), target->value);
    else
        strbuf_adds(out, "none");
    if (source != NULL)
        strbuf_addf(out, ", the source has %.*s", shown(source->value_len), source->value);
    else
        strbuf_adds(out, ", the source has none");
}

char *definition_difference(const char *source, const char *target)
{
    struct strbuf why = STRBUF_INIT(WHY_BYTES_MAX + 4 * VALUE_BYTES_MAX);
    struct line l, other;
    for (const char *at = source; why.len < WHY_BYTES_MAX && next_line(&at, &l);) {
        bool there = find_line(target, &l, &other);
        if (there && !same(l.value, l.value_len, other.value, other.value_len))
            tell(&why, &l, &l, &other);
        else if (!there && l.mark == '!')
            tell(&why, &l, &l, NULL);
    }
    for (const char *at = target; why.len < WHY_BYTES_MAX && next_line(&at, &l);) {
        if (!find_line(source, &l, &other))
            tell(&why, &l, NULL, &l);
    }
    char *text = why.len > 0 ? xstrdup(why.data) : NULL;
    strbuf_release(&why);
    return text;
}
