/* Owns: reading PgBouncer's configuration the way PgBouncer does, with the place of each thing. See ini.h. */
#include "cutover/poolers/ini.h"

#include <ctype.h>
#include <string.h>

#define MARK "crossfade-before "

void ini_reader_init(struct ini_reader *r, const char *text, size_t len)
{
    *r = (struct ini_reader){.text = text, .len = len};
}

static bool is_space(char c)
{
    return isspace((unsigned char)c) != 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char peek(const struct ini_reader *r)
{
    return r->at < r->len ? r->text[r->at] : '\0';
}

static void skip_blanks(struct ini_reader *r)
{
    while (r->at < r->len && is_blank(r->text[r->at]))
        r->at++;
}

/* To the end of the line; the span does without blanks at its end. */
static struct ini_span rest_of_line(struct ini_reader *r)
{
    struct ini_span span = {.start = r->at};
    const char *end = memchr(r->text + r->at, '\n', r->len - r->at);
    r->at = end != NULL ? (size_t)(end - r->text) : r->len;
    span.len = r->at - span.start;
    while (span.len > 0 && is_space(r->text[span.start + span.len - 1]))
        span.len--;
    return span;
}

static bool starts_with(const struct ini_reader *r, size_t at, const char *word)
{
    size_t len = strlen(word);
    return r->len - at >= len && memcmp(r->text + at, word, len) == 0;
}

/* Ours are remembered: "crossfade-before <id> <entry>". */
static void take_comment(struct ini_reader *r)
{
    struct ini_span all = rest_of_line(r);
    if (all.len == 0 || r->text[all.start] != ';' || !starts_with(r, all.start + 1, MARK))
        return;
    size_t at = all.start + 1 + strlen(MARK), end = all.start + all.len;
    while (at < end && r->text[at] != ' ')
        at++;
    if (at + 1 >= end)
        return;
    r->mark = all;
    r->before = (struct ini_span){.start = at + 1, .len = end - at - 1};
}

static bool syntax_error(const struct ini_reader *r, const char *what, struct err *err)
{
    int line = 1;
    for (size_t i = 0; i < r->at && i < r->len; i++)
        line += r->text[i] == '\n';
    return err_set(err, ERR_CONFIG, "line %d: %s", line, what);
}

static bool take_section(struct ini_reader *r, struct ini_item *ret, struct err *err)
{
    size_t start = ++r->at;
    while (r->at < r->len && r->text[r->at] != ']' && r->text[r->at] != '\n')
        r->at++;
    if (peek(r) != ']')
        return syntax_error(r, "a section without ']'", err);
    *ret = (struct ini_item){.kind = INI_SECTION, .name = {start, r->at - start}};
    r->at++;
    return true;
}

/* "name" with "" for a quote, or letters, digits and _ . - * */
static bool take_name(struct ini_reader *r, struct ini_span *ret)
{
    size_t start = r->at;
    if (peek(r) != '"') {
        while (r->at < r->len && (isalnum((unsigned char)r->text[r->at]) ||
                                  (r->text[r->at] != '\0' && strchr("_.-*", r->text[r->at]) != NULL)))
            r->at++;
        *ret = (struct ini_span){start, r->at - start};
        return true;
    }
    for (r->at++; r->at < r->len && r->text[r->at] != '\n'; r->at++) {
        if (r->text[r->at] != '"')
            continue;
        if (r->at + 1 == r->len || r->text[r->at + 1] != '"') {
            r->at++;
            *ret = (struct ini_span){start, r->at - start};
            return true;
        }
        r->at++;
    }
    return false;
}

static bool take_entry(struct ini_reader *r, struct ini_item *ret, struct err *err)
{
    struct ini_span name;
    size_t start = r->at;
    if (!take_name(r, &name))
        return syntax_error(r, "a name whose quotes do not end", err);
    skip_blanks(r);
    if (peek(r) != '=')
        return syntax_error(r, "'=' was expected", err);
    size_t behind = ++r->at;
    skip_blanks(r);
    struct ini_span value = rest_of_line(r);
    if (value.len == 0)
        value.start = behind; /* blanks at the end of a line belong to nothing */
    *ret = (struct ini_item){.kind = INI_ENTRY, .name = name, .value = value};
    ret->all = (struct ini_span){start, value.start + value.len - start};
    return true;
}

/* A comment of ours belongs to the entry right behind it. */
static void add_mark(const struct ini_reader *r, struct ini_item *item)
{
    for (size_t i = r->mark.start + r->mark.len; i < item->all.start; i++) {
        if (!is_space(r->text[i]))
            return;
    }
    item->mark = r->mark;
    item->before = r->before;
}

bool ini_next(struct ini_reader *r, struct ini_item *ret, struct err *err)
{
    for (;;) {
        while (r->at < r->len && is_space(r->text[r->at]))
            r->at++;
        char c = peek(r);
        if (r->at == r->len) {
            *ret = (struct ini_item){.kind = INI_END};
            return true;
        }
        if (c == '#' || c == ';') {
            take_comment(r);
            continue;
        }
        if (c == '[')
            return take_section(r, ret, err);
        if (starts_with(r, r->at, "%include") && r->len - r->at > 8 && is_blank(r->text[r->at + 8])) {
            r->at += 8;
            skip_blanks(r);
            *ret = (struct ini_item){.kind = INI_INCLUDE, .value = rest_of_line(r)};
            return true;
        }
        if (!take_entry(r, ret, err))
            return false;
        if (r->mark.len > 0)
            add_mark(r, ret);
        return true;
    }
}

bool ini_is_named(const char *text, const struct ini_item *item, const char *name)
{
    const char *p = text + item->name.start, *end = p + item->name.len;
    if (p == end || *p != '"' || item->kind != INI_ENTRY)
        return strlen(name) == item->name.len && memcmp(p, name, item->name.len) == 0;
    for (p++, end--; p < end; p++, name++) {
        if (*name != *p)
            return false;
        p += *p == '"'; /* doubled */
    }
    return *name == '\0';
}

/* Whether the line of this offset has only blanks before it. */
static bool begins_line(const char *text, size_t at)
{
    while (at > 0 && is_blank(text[at - 1]))
        at--;
    return at == 0 || text[at - 1] == '\n';
}

void ini_put(const char *text, size_t len, const struct ini_item *item, const char *id, const char *value,
             struct strbuf *out)
{
    size_t start = item->mark.len > 0 ? item->mark.start : item->all.start;
    size_t end = item->all.start + item->all.len;
    strbuf_add(out, text, start);
    if (!begins_line(text, start))
        strbuf_addc(out, '\n');
    strbuf_addf(out, ";" MARK "%s ", id);
    strbuf_add(out, text + item->all.start, item->all.len);
    strbuf_addc(out, '\n');
    strbuf_add(out, text + item->all.start, item->value.start - item->all.start);
    strbuf_adds(out, value);
    strbuf_add(out, text + end, len - end);
}

void ini_put_back(const char *text, size_t len, const struct ini_item *item, struct strbuf *out)
{
    size_t end = item->all.start + item->all.len;
    strbuf_add(out, text, item->mark.start);
    strbuf_add(out, text + item->before.start, item->before.len);
    strbuf_add(out, text + end, len - end);
}
