/* Owns: what rules make of a table, and what is refused before a copy begins. See filters.h; what is remembered: filters_guard.c. */
#include "capture/filters/filters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/filters/mask.h"
#include "capture/source/standby.h"
#include "change/table.h"
#include "core/alloc.h"
#include "core/log.h"
#include "journal/journal_settings.h"

/* Fewer digits of a hash in a key, and two rows may meet: 32 are 128 bits. */
#define KEY_HASH_CHARS 32

char *cap_filters_topic(const struct table_rules *rules, const struct topic_routing *routing,
                        const char *prefix, const char *schema, const char *table, bool *ret_shared)
{
    const char *topic = table_rules_topic(rules, schema, table);
    if (topic == NULL)
        return journal_topic(routing, prefix, schema, table, ret_shared);
    *ret_shared = false;
    return xasprintf("%s.%s", prefix, topic);
}

/* --- columns and key --- */

static int find_column(const struct source_table *t, const char *name)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (strcmp(t->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

/* By what the server tells rows apart in old images. */
static bool is_identity(const struct source_table *t, const struct source_column *c)
{
    return t->replica_identity == 'f' || c->identity;
}

static bool refuse_key_column(const struct source_table *t, const char *column, const char *why,
                              struct err *err)
{
    return err_set(err, ERR_CONFIG, "source.filters: table=%s.%s: key column %s %s", t->schema, t->name,
                   column, why);
}

static bool choose_key(const char *const *names, struct source_table *t, struct err *err)
{
    size_t count = 0;
    while (names[count] != NULL)
        count++;
    size_t *key = xcalloc(count + 1, sizeof *key);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        int at = find_column(t, names[i]);
        if (at < 0)
            ok = refuse_key_column(t, names[i], "is not there, or left out by columns", err);
        else if (!t->columns[at].not_null)
            ok = refuse_key_column(t, names[i], "may be null: ALTER TABLE … ALTER … SET NOT NULL", err);
        else if (!is_identity(t, &t->columns[at]))
            ok = refuse_key_column(
                t, names[i],
                "is not in the replica identity, so deletes would come without it: ALTER TABLE … "
                "REPLICA IDENTITY FULL, or USING INDEX with a unique index on the key",
                err);
        key[i] = (size_t)at;
    }
    if (!ok) {
        free(key);
        return false;
    }
    free(t->key);
    t->key = key;
    t->key_count = count;
    t->key_chosen = true;
    return true;
}

static bool is_key(const struct source_table *t, size_t column)
{
    for (size_t k = 0; k < t->key_count; k++) {
        if (t->key[k] == column)
            return true;
    }
    return false;
}

/* Which columns stay. */
static bool may_leave_out(const struct table_rules *rules, const struct source_table *t, bool *keep,
                          struct err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->column_count; i++) {
        const struct source_column *c = &t->columns[i];
        keep[i] = table_rules_keeps(rules, t->schema, t->name, c->name);
        kept += keep[i];
        if (!keep[i] && (is_key(t, i) || (t->replica_identity != 'f' && c->identity)))
            return refuse_key_column(
                t, c->name,
                "is left out: without it rows cannot be told apart. Take it in (columns), "
                "or name another key",
                err);
    }
    return kept > 0 || t->column_count == 0 ||
           err_set(err, ERR_CONFIG,
                   "source.filters: table=%s.%s: no column is left: exclude the table in source.tables",
                   t->schema, t->name);
}

static void leave_out(struct source_table *t, const bool *keep)
{
    size_t *now = xcalloc(t->column_count + 1, sizeof *now), n = 0;
    for (size_t i = 0; i < t->column_count; i++) {
        now[i] = n;
        if (keep[i])
            t->columns[n++] = t->columns[i];
        else
            free(t->columns[i].name);
    }
    for (size_t k = 0; k < t->key_count; k++)
        t->key[k] = now[t->key[k]];
    t->narrowed = n < t->column_count;
    t->column_count = n;
    free(now);
}

static bool check_names(const struct table_rules *rules, const struct source_table *t, struct err *err)
{
    for (size_t i = 0; i < t->column_count; i++) {
        const char *name = table_rules_rename(rules, t->schema, t->name, t->columns[i].name);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(name, table_rules_rename(rules, t->schema, t->name, t->columns[j].name)) == 0)
                return err_set(err, ERR_CONFIG,
                               "source.filters: table=%s.%s: columns %s and %s would both be named %s: "
                               "rename one of the "
                               "two to something else",
                               t->schema, t->name, t->columns[j].name, t->columns[i].name, name);
        }
    }
    return true;
}

static bool check_key_masks(const struct table_rules *rules, const struct source_table *t, struct err *err)
{
    for (size_t k = 0; k < t->key_count; k++) {
        const char *name = t->columns[t->key[k]].name;
        const struct mask_rule *mask = table_rules_mask(rules, t->schema, t->name, name);
        if (mask != NULL && mask->kind != MASK_HASH)
            return refuse_key_column(
                t, name, "is masked so that different rows would get one key: mask it by hash", err);
    }
    return true;
}

bool cap_filters_shape(const struct table_rules *rules, struct source_table *t, struct err *err)
{
    const char *const *key = table_rules_key(rules, t->schema, t->name);
    bool *keep CLEANUP(free_ptr) = xcalloc(t->column_count + 1, sizeof *keep);
    if (t->column_count == 0 || !table_rules_any(rules, t->schema, t->name))
        return true;
    if ((key != NULL && !choose_key(key, t, err)) || !may_leave_out(rules, t, keep, err))
        return false;
    leave_out(t, keep);
    return check_names(rules, t, err) && check_key_masks(rules, t, err);
}

/* --- before a copy --- */

struct search {
    const struct cap_session *session;
    struct pg_conn *conn;
};

static bool column_exists(struct pg_conn *conn, const struct source_table *t, const char *column, bool *ret,
                          struct err *err)
{
    char oid[16];
    int64_t n = 0;
    const char *params[] = {oid, column};
    (void)snprintf(oid, sizeof oid, "%u", t->oid);
    if (!pg_query_int64(
            conn,
            "SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attname = $2 AND "
            "attnum > 0 AND NOT attisdropped",
            2, params, &n, err))
        return false;
    *ret = n > 0;
    return true;
}

/* A rule that fits nothing is a slip of the pen, and a mask that masks nothing a leak. */
static bool must_exist(void *ctx, size_t rule, const char *pattern, const char *column, const char *what,
                       struct err *err)
{
    const struct search *search = ctx;
    const struct cap_tables *tables = &search->session->tables;
    bool found = false, table_found = false;
    for (size_t i = 0; !found && i < tables->count; i++) {
        const struct source_table *t = &tables->items[i];
        if (!table_rules_fits(search->session->settings->rules, rule, t->schema, t->name))
            continue;
        table_found = true;
        if (column == NULL)
            found = true;
        else if (!column_exists(search->conn, t, column, &found, err))
            return false;
    }
    if (found || (column != NULL && !table_found))
        return true;
    if (column == NULL)
        return err_set(err, ERR_CONFIG,
                       "source.filters: table %s: fits none of the pipeline's tables (source.tables)",
                       pattern);
    return err_set(err, ERR_CONFIG, "source.filters: table %s: %s: there is no column %s", pattern, what,
                   column);
}

static bool check_mask(struct cap_session *s, const struct source_table *t, size_t column,
                       struct pg_type_catalog *types, struct err *err)
{
    const struct source_column *c = &t->columns[column];
    const struct mask_rule *rule = table_rules_mask(s->settings->rules, t->schema, t->name, c->name);
    struct pg_column_reader reader;
    struct cap_mask mask = {0};
    if (rule == NULL)
        return true;
    if (rule->kind == MASK_NULL && c->not_null)
        return err_set(err, ERR_CONFIG, "mask null: the column is NOT NULL: mask it by \"fixed:VALUE\"");
    if (!pg_reader_plan_profile(&s->settings->profile, types, s->sql, c->type_oid, c->typmod, &reader, err) ||
        !cap_mask_plan(rule, table_rules_salt(s->settings->rules), c, &reader, types, s->sql, &mask, err))
        return false;
    bool short_key = is_key(t, column) && mask.length > 0 && mask.length < KEY_HASH_CHARS;
    cap_mask_release(&mask);
    return !short_key || err_set(err, ERR_CONFIG,
                                 "mask hash: the key's column holds fewer than %d characters, and hashes cut "
                                 "so short may meet: make it "
                                 "longer on the source, or choose another key",
                                 KEY_HASH_CHARS);
}

static bool check_masks(struct cap_session *s, const struct source_table *t, struct pg_type_catalog *types,
                        struct err *err)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (!check_mask(s, t, i, types, err))
            return err_wrap(err, "source.filters: table=%s.%s: column=%s", t->schema, t->name,
                            t->columns[i].name);
    }
    return true;
}

static bool count_partitions(struct cap_session *s, const struct source_table *t, const char *condition,
                             int64_t *ret, struct err *err)
{
    char oid[16];
    const char *params[] = {oid};
    struct strbuf sql = STRBUF_INIT(4096);
    (void)snprintf(oid, sizeof oid, "%u", t->oid);
    strbuf_addf(&sql,
                "SELECT count(*) FROM pg_catalog.pg_partition_tree($1::oid::regclass) p JOIN "
                "pg_catalog.pg_class c ON "
                "c.oid = p.relid WHERE p.isleaf AND p.level > 0 AND %s",
                condition);
    bool ok = strbuf_ok(&sql, "SELECT", err) && pg_query_int64(s->sql, sql.data, 1, params, ret, err);
    strbuf_release(&sql);
    return ok;
}

static bool refuse_where_column(const struct source_table *t, const char *column, struct err *err)
{
    return err_set(
        err, ERR_CONFIG,
        "where: column %s is not in the table's replica identity: PostgreSQL would refuse updates and "
        "deletes "
        "of the application. ALTER TABLE %s.%s REPLICA IDENTITY FULL, or use columns of the key only",
        column, t->schema, t->name);
}

static bool check_where_columns(struct cap_session *s, struct pg_conn *conn, const struct source_table *t,
                                const char *publication, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!pg_query(conn,
                  "SELECT a.attname FROM pg_catalog.pg_publication_rel r"
                  " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
                  " JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_publication_rel'::regclass AND "
                  "d.objid = "
                  "r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = r.prrelid"
                  " JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = d.refobjsubid"
                  " WHERE p.pubname = $1 AND d.refobjsubid > 0 ORDER BY a.attnum",
                  1, &publication, &res, err))
        return false;
    int64_t not_full = 0; /* partitions write old images by their own identity */
    if (t->partitioned && !count_partitions(s, t, "c.relreplident <> 'f'", &not_full, err))
        return false;
    if (t->replica_identity == 'f' && not_full > 0)
        return err_set(
            err, ERR_CONFIG,
            "where: the table has REPLICA IDENTITY FULL, and partitions have not: PostgreSQL would refuse "
            "updates and deletes of the application. ALTER TABLE … REPLICA IDENTITY FULL on each of them");
    for (int i = 0; t->replica_identity != 'f' && i < pg_rows(res); i++) {
        int at = find_column(t, pg_cell(res, i, 0));
        if (at < 0 || !t->columns[at].identity)
            return refuse_where_column(t, pg_cell(res, i, 0), err);
    }
    return true;
}

/* A row that an update moves into the condition comes as an insert, and without its unchanged values that are stored out of line, but
 * for those that the server has from the old image. */
static bool check_where_toast(struct pg_conn *conn, const struct source_table *t, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char oid[16];
    const char *params[] = {oid};
    (void)snprintf(oid, sizeof oid, "%u", t->oid);
    if (t->replica_identity == 'f') /* partitions as well: check_where_columns() */
        return true;
    if (!pg_query(conn,
                  "SELECT DISTINCT a.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON "
                  "a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstorage <> 'p'"
                  " WHERE c.reltoastrelid <> 0 AND (c.oid = $1::oid OR c.oid IN (SELECT p.relid FROM"
                  " pg_catalog.pg_partition_tree($1::oid::regclass) p)) ORDER BY 1",
                  1, params, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        int at = find_column(t, pg_cell(res, i, 0));
        if (at >= 0 && !t->columns[at].identity)
            return err_set(
                err, ERR_CONFIG,
                "where: values of column %s may be stored out of line (TOAST): an update that moves a row "
                "into the condition would come without them. ALTER TABLE %s.%s REPLICA IDENTITY FULL (each "
                "partition as well), or leave the column out (columns)",
                t->columns[at].name, t->schema, t->name);
    }
    return true;
}

/* The server judges the condition, in a publication that nobody ever sees; and the copy must understand it as well. */
static bool try_where(struct cap_session *s, const struct source_table *t, const char *where, struct err *err)
{
    struct pg_conn *conn = cap_writable(s);
    if (conn == NULL) /* who made the publication has tried it */
        return true;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    char *name CLEANUP(free_ptr) = xasprintf("%.50s_try", s->settings->publication);
    strbuf_adds(&sql, "BEGIN; CREATE PUBLICATION ");
    pg_quote_ident(&sql, name);
    strbuf_adds(&sql, t->partitioned ? " FOR TABLE " : " FOR TABLE ONLY ");
    pg_quote_table(&sql, t->schema, t->name);
    strbuf_addf(&sql, " WHERE (%s\n) WITH (publish_via_partition_root = true); EXPLAIN SELECT FROM ", where);
    pg_quote_table(&sql, t->schema, t->name);
    strbuf_addf(&sql, " AS p WHERE (%s\n)", where);
    bool ok = strbuf_ok(&sql, "where", err);
    if (ok && !pg_exec(conn, sql.data, err))
        ok = err_policy(err->code) != POLICY_HALT ||
             err_wrap(err, "where (columns stand without their table)");
    ok = ok && check_where_columns(s, conn, t, name, err) && check_where_toast(conn, t, err);
    strbuf_release(&sql);
    struct err ignored = ERR_INIT; /* what came before is what counts */
    (void)!pg_exec(conn, "ROLLBACK", &ignored);
    return ok;
}

static bool check_where(struct cap_session *s, const struct source_table *t, struct err *err)
{
    const char *where = table_rules_where(s->settings->rules, t->schema, t->name);
    if (where == NULL)
        return true;
    int version = pg_server_version(s->sql);
    if (version < 150000)
        return err_set(
            err, ERR_UNSUPPORTED,
            "source.filters: table=%s.%s: where: the source is PostgreSQL %d, and row filters need 15 or "
            "later: take the condition away, or move all rows",
            t->schema, t->name, version / 10000);
    return try_where(s, t, where, err) || err_wrap(err, "source.filters: table=%s.%s", t->schema, t->name);
}

/* Some unique index holds none but columns of the key. */
static bool is_unique(struct cap_session *s, const struct source_table *t, bool *ret, struct err *err)
{
    char oid[16];
    int64_t n = 0;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    const char *params[] = {oid};
    (void)snprintf(oid, sizeof oid, "%u", t->oid);
    strbuf_adds(
        &sql,
        "SELECT count(*) FROM pg_catalog.pg_index i WHERE i.indrelid = $1::oid AND i.indisunique AND "
        "i.indisvalid"
        " AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM"
        " pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) JOIN pg_catalog.pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts AND a.attname "
        "NOT IN (");
    for (size_t k = 0; k < t->key_count; k++) {
        strbuf_adds(&sql, k > 0 ? ", " : "");
        pg_quote_literal(&sql, t->columns[t->key[k]].name);
    }
    strbuf_adds(&sql, "))");
    bool ok = strbuf_ok(&sql, "SELECT", err) && pg_query_int64(s->sql, sql.data, 1, params, &n, err);
    strbuf_release(&sql);
    *ret = n > 0;
    return ok;
}

static bool check_key(struct cap_session *s, const struct source_table *t, struct err *err)
{
    bool unique = false;
    if (!t->key_chosen)
        return true;
    if (!is_unique(s, t, &unique, err))
        return false;
    if (!unique)
        log_event(LOG_LEVEL_WARN, "key_not_unique",
                  "table=%s.%s text=\"no unique index on the source keeps the key of source.filters unique: "
                  "of rows that "
                  "share it the target keeps one, and the copy reads the table once for each of its ranges\"",
                  t->schema, t->name);
    return true;
}

bool cap_filters_check_table(struct cap_session *s, const struct source_table *t, struct err *err)
{
    if (!table_rules_any(s->settings->rules, t->schema, t->name))
        return true;
    struct pg_type_catalog *types = pg_type_catalog_new();
    bool ok = check_masks(s, t, types, err) && check_where(s, t, err) && check_key(s, t, err);
    pg_type_catalog_free(types);
    return ok;
}

bool cap_filters_check(struct cap_session *s, bool begins, struct err *err)
{
    struct search search = {s, s->sql};
    bool ok = !begins || table_rules_walk(s->settings->rules, must_exist, &search, err);
    for (size_t i = 0; ok && i < s->tables.count; i++)
        ok = cap_filters_check_table(s, &s->tables.items[i], err);
    return ok;
}

/* --- the publication --- */

/* Old images of such a table (or partition of it) carry all columns: PostgreSQL refuses its updates under a column list. */
static bool sends_all(struct cap_session *s, const struct source_table *t, bool *ret, struct err *err)
{
    int64_t full = 0;
    if (t->partitioned && !count_partitions(s, t, "c.relreplident = 'f'", &full, err))
        return false;
    *ret = t->replica_identity == 'f' || full > 0;
    return true;
}

bool cap_filters_publish(struct cap_session *s, const struct source_table *t, struct strbuf *sql,
                         struct err *err)
{
    const char *where = table_rules_where(s->settings->rules, t->schema, t->name);
    bool all = !t->narrowed || pg_server_version(s->sql) < 150000;
    if (!all && !sends_all(s, t, &all, err))
        return false;
    for (size_t i = 0; !all && i < t->column_count; i++) {
        strbuf_adds(sql, i > 0 ? ", " : " (");
        pg_quote_ident(sql, t->columns[i].name);
    }
    strbuf_adds(sql, all ? "" : ")");
    if (where != NULL)
        strbuf_addf(sql, " WHERE (%s\n)", where);
    return true;
}
