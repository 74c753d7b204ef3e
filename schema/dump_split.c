/*
 * Owns: cutting the text of `pg_dump --verbose` into its entries. Each begins with a comment of a fixed form
 * (pg_backup_archiver.c, _printTocEntry); it counts only where a statement could begin, so the same words in a function's body or a
 * literal are no header.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/sql_lex.h"
#include "dump.h"

#define DUMP_BYTES_MAX ((size_t)1 << 30)
#define HEADER         "--\n-- TOC entry "

/* --- lexical: where does a piece end --- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* A '$' that begins no $tag$ … $tag$ is one character. */
static const char *skip_dollar(const char *p)
{
    const char *end = sql_behind_dollar(p);
    return end > p ? end : p + 1;
}

/* Behind the token at p; words are taken whole, so that a '$' or 'E' inside one is none of its own. */
static const char *skip_token(const char *p)
{
    if (*p == '\'')
        return sql_behind_quoted(p, false);
    if ((*p == 'E' || *p == 'e') && p[1] == '\'')
        return sql_behind_quoted(p + 1, true);
    if (*p == '"')
        return sql_behind_quoted(p, false);
    if (*p == '$')
        return skip_dollar(p);
    if (p[0] == '-' && p[1] == '-')
        return p + strcspn(p, "\n");
    if (p[0] == '/' && p[1] == '*')
        return sql_behind_comment(p, true);
    if (!is_word(*p))
        return p + 1;
    while (is_word(*p) || *p == '$')
        p++;
    return p;
}

/* Blanks, comments, and lines for psql (\restrict). */
static const char *skip_space(const char *p)
{
    for (;;) {
        if (isspace((unsigned char)*p))
            p++;
        else if (p[0] == '-' && p[1] == '-')
            p += strcspn(p, "\n");
        else if (p[0] == '/' && p[1] == '*')
            p = sql_behind_comment(p, true);
        else if (*p == '\\')
            p += strcspn(p, "\n");
        else
            return p;
    }
}

bool dump_next_statement(const char **at, const char **ret_from, size_t *ret_len)
{
    const char *from = skip_space(*at), *p = from;
    if (*from == '\0')
        return false;
    while (*p != '\0' && *p != ';')
        p = skip_token(p);
    p += *p == ';';
    *ret_from = from;
    *ret_len = (size_t)(p - from);
    *at = p;
    return true;
}

/* The next header at or behind p where a statement could begin; NULL = none. */
static const char *find_header(const char *p)
{
    while (*p != '\0') {
        const char *next = skip_space(p);
        for (const char *at = strstr(p, HEADER); at != NULL && at < next; at = strstr(at + 1, HEADER)) {
            if (at[-1] == '\n')
                return at;
        }
        for (p = next; *p != '\0' && *p != ';';)
            p = skip_token(p);
        p += *p == ';';
    }
    return NULL;
}

/* --- a header's lines --- */

struct splitter {
    struct dump *dump;
    struct strbuf sets; /* what pg_dump has set so far that a single entry may need */
    bool failed;
};

static const char *keep(struct splitter *s, const char *from, size_t len)
{
    char *copy = arena_copy(&s->dump->mem, from, len);
    s->failed = s->failed || copy == NULL;
    return copy != NULL ? copy : "";
}

/* "-- Dependencies: 8 215" */
static void take_needs(struct splitter *s, const char *line, struct dump_entry *e)
{
    int ids[4096];
    size_t n = 0;
    char *rest = NULL;
    for (const char *p = line; n < ARRAY_LEN(ids); p = rest) {
        long id = strtol(p, &rest, 10);
        if (rest == p || memchr(p, '\n', (size_t)(rest - p)) != NULL)
            break;
        ids[n++] = (int)id;
    }
    e->needs = (const int *)(const void *)keep(s, (const char *)ids, n * sizeof *ids);
    e->need_count = n;
}

/* "-- Name: N; Type: T; Schema: S; Owner: O". The name may hold anything, so the others are looked for from the end. */
static bool take_name(struct splitter *s, const char *line, struct dump_entry *e)
{
    size_t len = strcspn(line, "\n");
    char *text CLEANUP(free_ptr) = xstrndup(line, len);
    const char *marks[] = {"; Owner: ", "; Schema: ", "; Type: "},
               **fields[] = {&e->owner, &e->schema, &e->kind};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        char *at = NULL;
        for (char *p = strstr(text, marks[i]); p != NULL; p = strstr(p + 1, marks[i]))
            at = p;
        if (at == NULL)
            return false;
        *fields[i] = keep(s, at + strlen(marks[i]), strlen(at + strlen(marks[i])));
        *at = '\0';
    }
    e->name = keep(s, text, strlen(text));
    return true;
}

static bool begins(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

/* What is set from here on (default_table_access_method …) is kept apart: an entry must be able to stand alone. */
static void take_statements(struct splitter *s, const char *from, const char *end, struct dump_entry *e)
{
    char *text CLEANUP(free_ptr) = xstrndup(from, (size_t)(end - from));
    struct strbuf sql = STRBUF_INIT(DUMP_BYTES_MAX);
    const char *at = text, *statement = NULL;
    size_t len = 0;
    if (begins(e->kind, "TABLE") || begins(e->kind, "MATERIALIZED VIEW"))
        strbuf_add(&sql, s->sets.data, s->sets.len);
    while (dump_next_statement(&at, &statement, &len)) {
        struct strbuf *into = begins(statement, "SET default_") ? &s->sets : &sql;
        if (into == &s->sets && s->sets.len > 4000)
            strbuf_clear(&s->sets); /* the last ones count */
        strbuf_add(into, statement, len);
        strbuf_addc(into, '\n');
    }
    e->sql = keep(s, sql.data, sql.len);
    s->failed = s->failed || sql.failed;
    strbuf_release(&sql);
}

static bool take_entry(struct splitter *s, const char *from, const char *end, struct err *err)
{
    struct dump_entry e = {0};
    const char *line = from + strlen(HEADER);
    bool named = false;
    char ids[100]; /* sscanf() measures all of what it is given, which is the rest of the text */
    (void)snprintf(ids, sizeof ids, "%.*s", (int)strcspn(line, "\n"), line);
    if (sscanf(ids, "%d (class %u OID %u)", &e.id, &e.class_oid, &e.object_oid) != 3)
        return err_set(err, ERR_PROTOCOL, "pg_dump's output does not read at: %.60s", line);
    for (line = strchr(line, '\n'); line != NULL && begins(line + 1, "-- "); line = strchr(line + 1, '\n')) {
        if (begins(line + 1, "-- Dependencies: "))
            take_needs(s, line + 18, &e);
        if (begins(line + 1, "-- Name: "))
            named = take_name(s, line + 10, &e);
    }
    if (!named || line == NULL)
        return err_set(err, ERR_PROTOCOL, "pg_dump's output does not read: entry %d has no name", e.id);
    take_statements(s, line, end, &e);
    if ((s->dump->count & (s->dump->count - 1)) == 0)
        s->dump->entries =
            xrealloc(s->dump->entries, (s->dump->count == 0 ? 1 : s->dump->count * 2) * sizeof e);
    s->dump->entries[s->dump->count++] = e;
    return true;
}

bool dump_split(const char *text, struct dump *ret, struct err *err)
{
    struct splitter s = {.dump = ret};
    *ret = (struct dump){0};
    arena_init(&ret->mem, 64 << 10, DUMP_BYTES_MAX);
    strbuf_init(&s.sets, 65536);
    bool ok = begins(text, "--\n-- PostgreSQL database dump\n") ||
              err_set(err, ERR_PROTOCOL, "pg_dump's output does not begin as its plain format does");
    for (const char *at = ok ? find_header(text) : NULL; ok && at != NULL;) {
        const char *next = find_header(at + strlen(HEADER));
        ok = take_entry(&s, at, next != NULL ? next : at + strlen(at), err);
        at = next;
    }
    if (ok && (s.failed || s.sets.failed))
        ok = err_set(err, ERR_NO_MEMORY, "pg_dump's output is too large");
    strbuf_release(&s.sets);
    if (!ok)
        dump_release(ret);
    return ok;
}

void dump_release(struct dump *dump)
{
    free(dump->entries);
    arena_release(&dump->mem);
    *dump = (struct dump){0};
}
