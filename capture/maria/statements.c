/*
 * Owns: what statements in the binlog mean: TRUNCATE of a table that is captured, and what alters one (capture.on_ddl). The binlog has
 * them as they were written, so their beginnings are read here; what is none of these changes no rows.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "capture/maria/maria_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

/* --- reading a statement: words and names, comments between them --- */

struct reading {
    const char *p, *end;
};

static void skip_blanks(struct reading *r)
{
    while (r->p < r->end) {
        size_t left = (size_t)(r->end - r->p);
        const char *behind = NULL;
        if (strchr(" \t\r\n\f\v", *r->p) != NULL && *r->p != '\0') {
            r->p++;
            continue;
        }
        if (left >= 2 && memcmp(r->p, "/*", 2) == 0) {
            /* "/ *! … * /" and "/ *M! … * /" are executed: their text counts, up to the closing sign */
            size_t open = left > 2 && r->p[2] == '!' ? 3 : left > 3 && memcmp(r->p + 2, "M!", 2) == 0 ? 4 : 0;
            const char *close = memmem(r->p + 2, left - 2, "*/", 2);
            behind = open > 0 ? r->p + open : close != NULL ? close + 2 : NULL;
            while (open > 0 && behind < r->end && *behind >= '0' && *behind <= '9')
                behind++;
        } else if (left >= 2 && memcmp(r->p, "*/", 2) == 0) {
            behind = r->p + 2;
        } else if (*r->p == '#' || (left >= 3 && memcmp(r->p, "-- ", 3) == 0)) {
            const char *line = memchr(r->p, '\n', left);
            behind = line != NULL ? line + 1 : r->end;
        }
        if (behind == NULL)
            return;
        r->p = behind;
    }
}

static bool is_word_char(char c)
{
    return c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
}

/* The next word is this one: behind it. */
static bool take_word(struct reading *r, const char *word)
{
    size_t len = strlen(word);
    skip_blanks(r);
    if ((size_t)(r->end - r->p) < len || strncasecmp(r->p, word, len) != 0 ||
        ((size_t)(r->end - r->p) > len && is_word_char(r->p[len])))
        return false;
    r->p += len;
    return true;
}

/* A name, quoted or not; malloc'd, NULL = there is none. */
static char *take_name(struct reading *r)
{
    struct strbuf sb = STRBUF_INIT(4096);
    skip_blanks(r);
    if (r->p < r->end && (*r->p == '`' || *r->p == '"')) {
        char quote = *r->p++;
        while (r->p < r->end && (*r->p != quote || (r->p + 1 < r->end && r->p[1] == quote))) {
            r->p += *r->p == quote;
            strbuf_addc(&sb, *r->p++);
        }
        r->p += r->p < r->end;
    } else {
        while (r->p < r->end && is_word_char(*r->p))
            strbuf_addc(&sb, *r->p++);
    }
    if (sb.len > 0 && !sb.failed)
        return strbuf_detach(&sb);
    strbuf_release(&sb);
    return NULL;
}

struct table_name {
    char *database, *table; /* malloc'd; table NULL = none was there */
};

static void name_release(struct table_name *name)
{
    free(name->database);
    free(name->table);
    *name = (struct table_name){0};
}

/* "a.b", or "b" of the session's database. */
static struct table_name take_table(struct reading *r, struct binlog_span database)
{
    struct table_name name = {.table = take_name(r)};
    skip_blanks(r);
    if (name.table != NULL && r->p < r->end && *r->p == '.') {
        r->p++;
        name.database = name.table;
        name.table = take_name(r);
    } else if (name.table != NULL) {
        name.database = xstrndup(database.p, database.len);
    }
    return name;
}

static bool take_char(struct reading *r, char c)
{
    skip_blanks(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static void skip_words(struct reading *r, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)take_word(r, words[i]);
}

static bool is_captured(struct cap_maria *m, const struct table_name *name)
{
    return name->table != NULL && maria_wanted(m, name->database, name->table) &&
           maria_table_named(m, name->database, name->table)->role == MARIA_DATA;
}

/* --- what they mean --- */

static bool truncate_table(struct cap_maria *m, const struct binlog_item *item, const struct table_name *name,
                           struct err *err)
{
    char gtid[GTID_TEXT_MAX];
    struct maria_table *t = maria_table_named(m, name->database, name->table);
    if (t->writer == NULL && !maria_shape_by_catalog(m, t, name->database, name->table, err))
        return err_wrap(err, "TRUNCATE at gtid=%s", gtid_text(item->gtid, gtid));
    return maria_put_truncate(m, t, item, name->database, err);
}

/* Rows go without a word in the binlog. */
static bool drops_partitions(struct reading r)
{
    static const char *const verbs[] = {"DROP", "TRUNCATE", "EXCHANGE"};
    while (r.p < r.end) {
        struct reading at = r;
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
            at = r;
            if (take_word(&at, verbs[i]) && take_word(&at, "PARTITION"))
                return true;
        }
        char *name = take_name(&r);
        free(name);
        if (name == NULL && r.p < r.end)
            r.p++;
    }
    return false;
}

static bool altered(struct cap_maria *m, const struct binlog_item *item, const struct table_name *name,
                    const char *what, struct reading rest, struct err *err)
{
    char gtid[GTID_TEXT_MAX];
    (void)gtid_text(item->gtid, gtid);
    if (!is_captured(m, name))
        return true;
    if (strcmp(what, "ALTER") == 0 && drops_partitions(rest))
        return err_set(
            err, ERR_UNSUPPORTED,
            "table=%s.%s gtid=%s: a partition was dropped, truncated or exchanged: which rows that took, the "
            "binlog does not tell. Start a new pipeline with an empty journal, or leave the table out",
            name->database, name->table, gtid);
    if (m->session->settings->stop_on_ddl)
        return err_set(err, ERR_SCHEMA,
                       "table=%s.%s gtid=%s: %s TABLE on the source, and capture.on_ddl is stop. When the "
                       "target is ready for "
                       "it, go on with capture.on_ddl: propagate",
                       name->database, name->table, gtid, what);
    log_event(LOG_LEVEL_WARN, "schema_statement", "table=%s.%s gtid=%s text=\"%s TABLE on the source\"",
              name->database, name->table, gtid, what);
    return true;
}

/* All tables of a list "a, b" or "a TO c, b TO d". */
static bool altered_list(struct cap_maria *m, const struct binlog_item *item, struct reading *r,
                         const char *what, struct err *err)
{
    bool ok = true, more = true;
    while (ok && more) {
        struct table_name name = take_table(r, item->database), to = {0};
        more = name.table != NULL;
        ok = !more || altered(m, item, &name, what, *r, err);
        if (more && take_word(r, "TO"))
            to = take_table(r, item->database);
        more = more && take_char(r, ',');
        name_release(&name);
        name_release(&to);
    }
    return ok;
}

static bool alter(struct cap_maria *m, const struct binlog_item *item, struct reading *r, struct err *err)
{
    static const char *const before[] = {"ONLINE", "IGNORE"}, *const exists[] = {"IF", "EXISTS"};
    skip_words(r, before, ARRAY_LEN(before));
    if (!take_word(r, "TABLE"))
        return true;
    skip_words(r, exists, ARRAY_LEN(exists));
    struct table_name name = take_table(r, item->database);
    bool ok = altered(m, item, &name, "ALTER", *r, err);
    name_release(&name);
    return ok;
}

/* Of a table that is there: it is another one, and empty. */
static bool replace(struct cap_maria *m, const struct binlog_item *item, struct reading *r, struct err *err)
{
    if (!take_word(r, "OR") || !take_word(r, "REPLACE") || !take_word(r, "TABLE"))
        return true;
    struct table_name name = take_table(r, item->database);
    bool ok = altered(m, item, &name, "CREATE OR REPLACE", *r, err);
    if (ok && is_captured(m, &name) && maria_table_named(m, name.database, name.table)->writer != NULL)
        ok = truncate_table(m, item, &name, err);
    name_release(&name);
    return ok;
}

static bool truncate(struct cap_maria *m, const struct binlog_item *item, struct reading *r, struct err *err)
{
    (void)take_word(r, "TABLE");
    struct table_name name = take_table(r, item->database);
    bool ok = !is_captured(m, &name) || truncate_table(m, item, &name, err);
    name_release(&name);
    return ok;
}

bool maria_take_statement(struct cap_maria *m, const struct binlog_item *item, struct err *err)
{
    static const char *const exists[] = {"IF", "EXISTS"};
    struct reading r = {item->text.p, item->text.p + item->text.len};
    if (take_word(&r, "TRUNCATE"))
        return truncate(m, item, &r, err);
    if (take_word(&r, "ALTER"))
        return alter(m, item, &r, err);
    if (take_word(&r, "CREATE"))
        return replace(m, item, &r, err);
    bool renames = take_word(&r, "RENAME");
    if (!renames && !take_word(&r, "DROP"))
        return true;
    if (!take_word(&r, "TABLE"))
        return true;
    skip_words(&r, exists, ARRAY_LEN(exists));
    return altered_list(m, item, &r, renames ? "RENAME" : "DROP", err);
}
