/* Owns: what the publication's comment remembers, and what is made of it. See filters.h. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/filters/filters.h"
#include "capture/filters/mask.h"
#include "core/alloc.h"

#define COMMENT_BYTES_MAX ((size_t)64 << 20)

/* Rows (oid, name, rule, qual, attrs, columns) of the publication $1. source_publication_faults() reads the same. */
#define REMEMBERED                                                                                           \
    " pg_catalog.jsonb_to_recordset((SELECT CASE WHEN d LIKE 'crossfade [%' THEN pg_catalog.substr(d, 11) "  \
    "ELSE '[]' END"                                                                                          \
    " FROM (SELECT pg_catalog.obj_description(p.oid, 'pg_publication') AS d FROM pg_catalog.pg_publication " \
    "p"                                                                                                      \
    " WHERE p.pubname = $1) x)::jsonb) AS e(oid bigint, name text, rule text, qual text, attrs text, "       \
    "columns jsonb, hidden jsonb) "

/* --- remembering --- */

static json_t *protected_columns(struct cap_session *s, const struct source_table *t)
{
    json_t *names = json_array();
    for (size_t i = 0; i < t->column_count; i++) {
        if (table_rules_mask(s->settings->rules, t->schema, t->name, t->columns[i].name) != NULL)
            json_array_append_new(names, json_string(t->columns[i].name));
    }
    return names;
}

/* NULL: nothing is left out. */
static json_t *kept_columns(const struct source_table *t)
{
    json_t *names = t->narrowed ? json_array() : json_null();
    for (size_t i = 0; t->narrowed && i < t->column_count; i++)
        json_array_append_new(names, json_string(t->columns[i].name));
    return names;
}

static char *rules_text(struct cap_session *s)
{
    json_t *tables = json_array();
    for (size_t i = 0; i < s->tables.count; i++) {
        const struct source_table *t = &s->tables.items[i];
        char digest[CAP_RULE_DIGEST];
        if (!table_rules_any(s->settings->rules, t->schema, t->name))
            continue;
        cap_mask_rule_digest(s->settings->rules, t->schema, t->name, digest);
        char *name CLEANUP(free_ptr) = xasprintf("%s.%s", t->schema, t->name);
        json_t *table =
            json_pack("{s:I, s:s, s:s, s:o, s:o}", "oid", (json_int_t)t->oid, "name", name, "rule", digest,
                      "columns", protected_columns(s, t), "kept", kept_columns(t));
        json_array_append_new(tables, table);
    }
    char *text = json_dumps(tables, JSON_COMPACT);
    json_decref(tables);
    return text;
}

/* An array. */
static char *oids_text(const struct cap_session *s)
{
    json_t *oids = json_array();
    for (size_t i = 0; i < s->tables.count; i++)
        json_array_append_new(oids, json_integer((json_int_t)s->tables.items[i].oid));
    char *text = json_dumps(oids, JSON_COMPACT);
    json_decref(oids);
    return text;
}

/* Columns that are left out by us, not by the server (there is no column list), count as well. Tables that are not ours by the name
 * they have now ($3 has those that are) stay remembered: rows of theirs may be on the way. */
static bool make_comment(struct cap_session *s, struct pg_conn *conn, const char *rules, char **ret,
                         struct err *err)
{
    char *ours CLEANUP(free_ptr) = oids_text(s);
    return pg_query_text(
        conn,
        "SELECT 'crossfade ' || pg_catalog.jsonb_agg(x.entry)::text FROM (SELECT "
        "pg_catalog.jsonb_build_object('oid', e.oid, 'name', e.name, 'rule', e.rule,"
        "  'qual', pg_catalog.md5(pg_catalog.to_jsonb(r)->>'prqual'), 'attrs', "
        "pg_catalog.to_jsonb(r)->>'prattrs',"
        "  'columns', coalesce((SELECT pg_catalog.jsonb_object_agg(a.attnum, a.attname) FROM "
        "pg_catalog.pg_attribute a"
        "    WHERE a.attrelid = e.oid::oid AND a.attnum > 0 AND NOT a.attisdropped"
        "    AND (a.attname = ANY (e.columns) OR (pg_catalog.to_jsonb(r)->>'prattrs' IS NULL AND "
        "a.attgenerated = ''"
        "         AND a.attname <> ALL (e.kept)))), '{}'),"
        "  'hidden', coalesce((SELECT pg_catalog.jsonb_object_agg(a.attnum, a.attname) FROM "
        "pg_catalog.pg_attribute a"
        "    WHERE a.attrelid = e.oid::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
        "    AND pg_catalog.to_jsonb(r)->>'prattrs' IS NOT NULL AND a.attname <> ALL (e.kept)), '{}')) AS "
        "entry"
        "  FROM pg_catalog.jsonb_to_recordset($2::jsonb) AS e(oid bigint, name text, rule text, columns "
        "text[], kept "
        "text[])"
        "  JOIN pg_catalog.pg_publication p ON p.pubname = $1"
        "  LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = e.oid::oid"
        " UNION ALL SELECT pg_catalog.to_jsonb(e) FROM" REMEMBERED
        "WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = e.oid::oid) AND NOT EXISTS (SELECT "
        "FROM"
        " pg_catalog.jsonb_array_elements_text($3::jsonb) o WHERE o::bigint = e.oid)) x",
        3, (const char *[]){s->settings->publication, rules, ours}, ret, err);
}

bool cap_filters_remember(struct cap_session *s, struct pg_conn *conn, struct err *err)
{
    char *rules CLEANUP(free_ptr) = rules_text(s);
    char *comment CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(COMMENT_BYTES_MAX);
    if (!make_comment(s, conn, rules, &comment, err))
        return false;
    strbuf_adds(&sql, "COMMENT ON PUBLICATION ");
    pg_quote_ident(&sql, s->settings->publication);
    strbuf_adds(&sql, " IS ");
    if (comment != NULL)
        pg_quote_literal(&sql, comment);
    else
        strbuf_adds(&sql, "NULL");
    bool ok = strbuf_ok(&sql, "comment", err) && pg_exec(conn, sql.data, err);
    strbuf_release(&sql);
    return ok;
}

/* --- comparing --- */

static const struct source_table *table_of(const struct cap_session *s, uint32_t oid)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        if (s->tables.items[i].oid == oid)
            return &s->tables.items[i];
    }
    return NULL;
}

/* Columns of which nobody may see the values, and their names now (null: dropped). Of one table, or of all (oid 0). hidden: also those
 * that the publication's list keeps on the server: it does so by number, whatever they are called, and a new list would go by names. */
static bool load_protected(struct pg_conn *conn, const char *publication, uint32_t oid, bool hidden,
                           struct pg_result **ret, struct err *err)
{
    char text[16];
    const char *params[] = {publication, text, hidden ? "true" : "false"};
    (void)snprintf(text, sizeof text, "%u", oid);
    return pg_query(
        conn,
        "SELECT e.oid, c.value, a.attname, e.name FROM" REMEMBERED
        "CROSS JOIN LATERAL pg_catalog.jsonb_each_text(CASE WHEN $3::bool AND e.hidden IS NOT NULL"
        "   THEN e.columns || e.hidden ELSE e.columns END) AS c(key, value)"
        " LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = e.oid::oid AND a.attnum = c.key::int2"
        "   AND NOT a.attisdropped"
        " WHERE $2::bigint IN (0, e.oid) ORDER BY e.oid, c.key::int2",
        3, params, ret, err);
}

static bool refuse_renamed(const char *schema, const char *table, const char *was, const char *now,
                           struct err *err)
{
    return err_set(
        err, ERR_SCHEMA,
        "table=%s.%s: column %s is masked or left out by source.filters, and has another name on the "
        "source%s%s: its values would be seen. Write the rule for the new name beside the old one, and set "
        "source.filters_changed: accept",
        schema, table, was, now != NULL ? ": " : "", now != NULL ? now : "");
}

static bool refuse_moved(const char *schema, const char *table, const char *was, const char *column,
                         struct err *err)
{
    return err_set(
        err, ERR_SCHEMA,
        "table=%s.%s was %s when it was published, and source.filters has other rules for this name%s%s: "
        "masked and left-out values would be seen. Give it its old name back, or write its rules for the "
        "new name beside those for the old one (rows from before still come under that; source.tables must "
        "choose the new name), and set source.filters_changed: accept",
        schema, table, was, column != NULL ? " which let values be seen of column " : "",
        column != NULL ? column : "");
}

/* was: "schema.table" as remembered. */
static bool has_moved(const struct source_table *t, const char *was)
{
    char *name CLEANUP(free_ptr) = xasprintf("%s.%s", t->schema, t->name);
    return strcmp(name, was) != 0;
}

bool cap_filters_check_renamed(struct cap_session *s, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!load_protected(s->sql, s->settings->publication, 0, true, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        const struct source_table *t = table_of(s, (uint32_t)pg_cell_int64(res, i, 0));
        const char *was = pg_cell(res, i, 1), *now = pg_cell(res, i, 2);
        if (t == NULL || pg_is_null(res, i, 2) ||
            table_rules_protects(s->settings->rules, t->schema, t->name, now))
            continue;
        if (!pg_is_null(res, i, 3) && has_moved(t, pg_cell(res, i, 3)))
            return refuse_moved(t->schema, t->name, pg_cell(res, i, 3), now, err);
        if (strcmp(was, now) == 0)
            continue;
        return refuse_renamed(t->schema, t->name, was, now, err);
    }
    return true;
}

/* Columns that the publication's list lacks, which was made before they were. */
static bool load_lacking(struct pg_conn *conn, const char *publication, uint32_t oid, struct pg_result **ret,
                         struct err *err)
{
    char text[16];
    const char *params[] = {publication, text};
    (void)snprintf(text, sizeof text, "%u", oid);
    return pg_query(
        conn,
        "SELECT r.prrelid::bigint, a.attname, e.name FROM pg_catalog.pg_publication_rel r"
        " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid AND p.pubname = $1"
        " LEFT JOIN" REMEMBERED "ON e.oid = r.prrelid::bigint"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum > 0 AND NOT a.attisdropped"
        "   AND a.attgenerated = '' AND a.attnum <> ALL (r.prattrs::int2[])"
        " WHERE r.prattrs IS NOT NULL AND $2::bigint IN (0, r.prrelid::bigint) ORDER BY 1, a.attnum",
        2, params, ret, err);
}

static bool find_lacking(struct cap_session *s, char **ret_what, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (pg_server_version(s->sql) < 150000)
        return true;
    if (!load_lacking(s->sql, s->settings->publication, 0, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        const struct source_table *t = table_of(s, (uint32_t)pg_cell_int64(res, i, 0));
        if (t == NULL || !table_rules_keeps(s->settings->rules, t->schema, t->name, pg_cell(res, i, 1)))
            continue;
        if (!pg_is_null(res, i, 2) && has_moved(t, pg_cell(res, i, 2)))
            return refuse_moved(t->schema, t->name, pg_cell(res, i, 2), pg_cell(res, i, 1), err);
        if (*ret_what == NULL)
            *ret_what =
                xasprintf("table=%s.%s: column %s was added, and the publication's column list lacks it",
                          t->schema, t->name, pg_cell(res, i, 1));
    }
    return true;
}

/* published: the tables of the publication, and what rule each was published with (null = none). */
static void find_changed(struct cap_session *s, const struct pg_result *published, char **ret_what)
{
    for (int i = 0; *ret_what == NULL && i < pg_rows(published); i++) {
        const struct source_table *t = table_of(s, (uint32_t)pg_cell_int64(published, i, 0));
        char digest[CAP_RULE_DIGEST] = "";
        if (t == NULL)
            continue;
        if (table_rules_any(s->settings->rules, t->schema, t->name))
            cap_mask_rule_digest(s->settings->rules, t->schema, t->name, digest);
        if (strcmp(digest, pg_cell(published, i, 1)) != 0)
            *ret_what = xasprintf("table=%s.%s: source.filters has other rules for it, or another salt",
                                  t->schema, t->name);
    }
}

bool cap_filters_differ(struct cap_session *s, char **ret_what, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    *ret_what = NULL;
    if (!cap_filters_check_renamed(s, err) ||
        !pg_query(s->sql,
                  "SELECT r.prrelid::bigint, coalesce(e.rule, '') FROM pg_catalog.pg_publication_rel r"
                  " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid AND p.pubname = $1"
                  " LEFT JOIN" REMEMBERED "ON e.oid = r.prrelid::bigint ORDER BY 1",
                  1, (const char *[]){s->settings->publication}, &res, err))
        return false;
    find_changed(s, res, ret_what);
    return find_lacking(s, ret_what, err);
}

/* --- while streaming --- */

static bool is_announced(const struct cap_relation *rel, const char *name)
{
    for (size_t i = 0; i < rel->announced_count; i++) {
        if (strcmp(rel->announced[i], name) == 0)
            return true;
    }
    return false;
}

/* One row at most: rule, name. */
static bool load_rule(const struct cap_session *s, struct pg_conn *conn, uint32_t oid, struct pg_result **ret,
                      struct err *err)
{
    char text[16];
    const char *params[] = {s->settings->publication, text};
    (void)snprintf(text, sizeof text, "%u", oid);
    return pg_query(conn, "SELECT e.rule, e.name FROM" REMEMBERED "WHERE e.oid = $2::bigint", 2, params, ret,
                    err);
}

static bool is_remembered(const struct cap_session *s, const struct pg_result *remembered, const char *schema,
                          const char *table)
{
    char digest[CAP_RULE_DIGEST] = "";
    if (table_rules_any(s->settings->rules, schema, table))
        cap_mask_rule_digest(s->settings->rules, schema, table, digest);
    return strcmp(digest, pg_rows(remembered) > 0 ? pg_cell(remembered, 0, 0) : "") == 0;
}

static bool refuse_other_rules(const char *schema, const char *table, struct err *err)
{
    return err_set(
        err, ERR_CONFIG,
        "table=%s.%s was added with other rules of source.filters than this capture has: start it with those",
        schema, table);
}

bool cap_filters_same(const struct cap_session *s, struct pg_conn *conn, uint32_t oid, const char *schema,
                      const char *table, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    return load_rule(s, conn, oid, &res, err) &&
           (is_remembered(s, res, schema, table) || refuse_other_rules(schema, table, err));
}

/* Rules go by name, and the table may have had another when it was published. Once the new name's rules are accepted, rows from before
 * still come under the old one: with the rules for that, as long as these let nothing through (which is looked at next). */
static bool check_rules(const struct cap_session *s, struct pg_conn *conn, const struct cap_relation *rel,
                        const struct source_table *now, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    if (!load_rule(s, conn, rel->oid, &res, err))
        return false;
    if (is_remembered(s, res, rel->schema, rel->table))
        return true;
    if (rel->announced != NULL && now->column_count > 0 &&
        (strcmp(now->schema, rel->schema) != 0 || strcmp(now->name, rel->table) != 0) &&
        is_remembered(s, res, now->schema, now->name))
        return true;
    const struct source_table *t = table_of(s, rel->oid);
    if (pg_rows(res) > 0 && !pg_is_null(res, 0, 1))
        return has_moved(&(struct source_table){.schema = rel->schema, .name = rel->table},
                         pg_cell(res, 0, 1))
                   ? refuse_moved(rel->schema, rel->table, pg_cell(res, 0, 1), NULL, err)
                   : refuse_other_rules(rel->schema, rel->table, err);
    return t != NULL && t->from_start
               ? refuse_moved(rel->schema, rel->table, "under a name without rules", NULL, err)
               : refuse_other_rules(rel->schema, rel->table, err);
}

bool cap_filters_guard(const struct cap_session *s, struct pg_conn *conn, const struct cap_relation *rel,
                       const struct source_table *now, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    PG_RESULT_AUTO lacking = NULL;
    const struct table_rules *rules = s->settings->rules;
    if (!check_rules(s, conn, rel, now, err))
        return false;
    if (rel->announced == NULL) /* no rule, and there was none */
        return true;
    if (!load_protected(conn, s->settings->publication, rel->oid, false, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) {
        const char *was = pg_cell(res, i, 1), *is = pg_cell(res, i, 2);
        const char *name = is_announced(rel, was) ? was : is;
        if (name == is && pg_is_null(res, i, 2))
            continue;
        if (!is_announced(rel, name) || !table_rules_protects(rules, rel->schema, rel->table, name))
            return refuse_renamed(rel->schema, rel->table, was, strcmp(was, is) != 0 ? is : NULL, err);
    }
    if (pg_server_version(conn) < 150000)
        return true;
    if (!load_lacking(conn, s->settings->publication, rel->oid, &lacking, err))
        return false;
    for (int i = 0; i < pg_rows(lacking); i++) {
        if (table_rules_keeps(rules, rel->schema, rel->table, pg_cell(lacking, i, 1)))
            return err_set(
                err, ERR_SCHEMA,
                "table=%s.%s: column %s was added, and the publication's column list lacks it: set "
                "source.filters_changed: accept (rows changed until then come without it), or leave it out "
                "by "
                "source.filters",
                rel->schema, rel->table, pg_cell(lacking, i, 1));
    }
    return true;
}

bool cap_filters_renamed(const struct cap_session *s, struct pg_conn *conn, uint32_t oid, bool *ret_renamed,
                         struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    *ret_renamed = false;
    if (!load_protected(conn, s->settings->publication, oid, false, &res, err))
        return false;
    for (int i = 0; i < pg_rows(res); i++) /* null: dropped */
        *ret_renamed =
            *ret_renamed || (!pg_is_null(res, i, 2) && strcmp(pg_cell(res, i, 1), pg_cell(res, i, 2)) != 0);
    return true;
}
