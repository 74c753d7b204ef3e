/* Owns: the SQL texts of the PostgreSQL target. Staging columns are named o0, o1, … (old key) and c0, c1, …
 * (column n of the table); identifiers of the target's own are always quoted. */
#include "postgres.h"

void sql_stage_name(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                    const struct column_set *set)
{
    static const char letter[STAGE_MAX_] = {[STAGE_DELETE] = 'd', [STAGE_UPSERT] = 'u', [STAGE_UPDATE] = 'p'};
    strbuf_addf(sb, "pg_temp.crossfade_%c%u", letter[kind], tab->id);
    if (kind == STAGE_UPDATE)
        strbuf_addf(sb, "_%zu", (size_t)(set - tab->sets));
}

static void add_column(struct strbuf *sb, const struct pg_column *col)
{
    pg_quote_ident(sb, col->field->name);
}

static void add_columns(struct strbuf *sb, const struct pg_table *tab)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_column(sb, &tab->columns[i]);
    }
}

static void add_key_columns(struct strbuf *sb, const struct pg_table *tab)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_column(sb, &tab->columns[tab->key[i]]);
    }
}

/* Is column i written by this set's UPDATE? */
static bool is_set(const struct pg_table *tab, const struct column_set *set, size_t i)
{
    if (tab->columns[i].identity_always && !tab->columns[i].key)
        return false; /* cannot be updated, and never changes at the source */
    return set->present[i] && (set->moves || !tab->columns[i].key);
}

bool set_changes_anything(const struct pg_table *tab, const struct column_set *set)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        if (is_set(tab, set, i))
            return true;
    }
    return false;
}

bool stage_has_column(const struct pg_table *tab, enum stage_kind kind, const struct column_set *set,
                      size_t i)
{
    return kind == STAGE_UPSERT || kind == STAGE_DIRECT || (kind == STAGE_UPDATE && is_set(tab, set, i));
}

/* What rows are read from, as s: the staging table, or arrays. */
static void add_stage(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                      const struct column_set *set)
{
    struct strbuf names = STRBUF_INIT(STRBUF_SQL_MAX);
    size_t number = 0;
    if (!tab->arrays) {
        sql_stage_name(sb, tab, kind, set);
        strbuf_adds(sb, " s");
        return;
    }
    strbuf_adds(sb, "unnest(");
    for (size_t i = 0; kind != STAGE_UPSERT && i < tab->key_count; i++) {
        strbuf_addf(sb, "%s$%zu::", number > 0 ? ", " : "", number + 1);
        pg_writer_staging_type(&tab->columns[tab->key[i]].writer, sb);
        strbuf_adds(sb, "[]");
        strbuf_addf(&names, "%so%zu", number++ > 0 ? ", " : "", i);
    }
    for (size_t i = 0; i < tab->column_count; i++) {
        if (!stage_has_column(tab, kind, set, i))
            continue;
        strbuf_addf(sb, "%s$%zu::", number > 0 ? ", " : "", number + 1);
        pg_writer_staging_type(&tab->columns[i].writer, sb);
        strbuf_adds(sb, "[]");
        strbuf_addf(&names, "%sc%zu", number++ > 0 ? ", " : "", i);
    }
    strbuf_addf(sb, ") s (%s)", names.data);
    strbuf_release(&names);
}

void sql_create_stage(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                      const struct column_set *set)
{
    const char *comma = "";
    strbuf_adds(sb, "CREATE TEMPORARY TABLE IF NOT EXISTS ");
    sql_stage_name(sb, tab, kind, set);
    strbuf_adds(sb, " (");
    for (size_t i = 0; kind != STAGE_UPSERT && i < tab->key_count; i++, comma = ", ") {
        strbuf_addf(sb, "%so%zu ", comma, i);
        pg_writer_staging_type(&tab->columns[tab->key[i]].writer, sb);
    }
    for (size_t i = 0; i < tab->column_count; i++) {
        if (!stage_has_column(tab, kind, set, i))
            continue;
        strbuf_addf(sb, "%sc%zu ", comma, i);
        pg_writer_staging_type(&tab->columns[i].writer, sb);
        comma = ", ";
    }
    strbuf_adds(sb, ") ON COMMIT DELETE ROWS");
}

void sql_copy(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
              const struct column_set *set)
{
    strbuf_adds(sb, "COPY ");
    if (kind == STAGE_DIRECT) {
        strbuf_addf(sb, "%s (", tab->name);
        add_columns(sb, tab);
        strbuf_adds(sb, ")");
    } else {
        sql_stage_name(sb, tab, kind, set);
    }
    strbuf_adds(sb, " FROM STDIN (FORMAT binary)");
}

void sql_cast(struct strbuf *sb, const struct pg_column_writer *w)
{
    if (w->mode == PG_WRITE_TEXT) {
        strbuf_adds(sb, "::");
        pg_writer_cast(w, sb);
    }
}

static void add_staged(struct strbuf *sb, const struct pg_table *tab, size_t i)
{
    strbuf_addf(sb, "s.c%zu", i);
    sql_cast(sb, &tab->columns[i].writer);
}

/* t."id" = s.o0 AND …; by_row: the key's columns of whole rows instead of o0, o1, … */
static void add_key_match(struct strbuf *sb, const struct pg_table *tab, bool by_row)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        strbuf_adds(sb, i > 0 ? " AND t." : "t.");
        add_column(sb, col);
        strbuf_addf(sb, by_row ? " = s.c%zu" : " = s.o%zu", by_row ? tab->key[i] : i);
        sql_cast(sb, &col->writer);
    }
}

/* Keys in order: neighbours in the index are touched together (a random 100,000 of 2 million rows: 40 % less
 * work). */
static void add_key_order(struct strbuf *sb, const struct pg_table *tab, bool by_row)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        strbuf_addf(sb, by_row ? "%ss.c%zu" : "%ss.o%zu", i > 0 ? ", " : " ORDER BY ",
                    by_row ? tab->key[i] : i);
        sql_cast(sb, &tab->columns[tab->key[i]].writer);
    }
}

/* The staged rows in order of their keys; OFFSET 0 keeps the planner from taking the order away. */
static void add_ordered_stage(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                              const struct column_set *set)
{
    strbuf_adds(sb, "(SELECT * FROM ");
    add_stage(sb, tab, kind, set);
    add_key_order(sb, tab, kind == STAGE_UPSERT);
    strbuf_adds(sb, " OFFSET 0) s");
}

void sql_merge_delete(struct strbuf *sb, const struct pg_table *tab, enum stage_kind kind,
                      const struct column_set *set)
{
    strbuf_addf(sb, "DELETE FROM %s t USING ", tab->rows_of);
    add_ordered_stage(sb, tab, kind, set);
    strbuf_adds(sb, " WHERE ");
    add_key_match(sb, tab, kind == STAGE_UPSERT);
}

static bool has_more_than_key(const struct pg_table *tab)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        if (!tab->columns[i].key && !tab->columns[i].identity_always)
            return true;
    }
    return false;
}

/* SET list of an upsert's second half; false when there is nothing but the key. */
static bool add_conflict_set(struct strbuf *sb, const struct pg_table *tab)
{
    bool any = false;
    for (size_t i = 0; i < tab->column_count; i++) {
        const struct pg_column *col = &tab->columns[i];
        if (col->key || col->identity_always)
            continue;
        strbuf_adds(sb, any ? ", " : " DO UPDATE SET ");
        add_column(sb, col);
        strbuf_adds(sb, " = EXCLUDED.");
        add_column(sb, col);
        any = true;
    }
    return any;
}

static void add_on_conflict(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_adds(sb, " ON CONFLICT (");
    add_key_columns(sb, tab);
    strbuf_adds(sb, ")");
    if (!add_conflict_set(sb, tab))
        strbuf_adds(sb, " DO NOTHING");
}

void sql_insert_head(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_addf(sb, "INSERT INTO %s (", tab->name);
    add_columns(sb, tab);
    strbuf_adds(sb, tab->identity_always ? ") OVERRIDING SYSTEM VALUE " : ") ");
}

void sql_merge_upsert(struct strbuf *sb, const struct pg_table *tab, bool plain)
{
    sql_insert_head(sb, tab);
    strbuf_adds(sb, "SELECT ");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_staged(sb, tab, i);
    }
    strbuf_adds(sb, " FROM ");
    add_stage(sb, tab, STAGE_UPSERT, NULL);
    if (!plain && tab->arbiter && !tab->delete_first) {
        add_key_order(sb, tab, true);
        add_on_conflict(sb, tab);
    } else if (!plain && !tab->delete_first) {
        strbuf_addf(sb, " WHERE NOT EXISTS (SELECT 1 FROM %s t WHERE ", tab->rows_of);
        add_key_match(sb, tab, true);
        strbuf_adds(sb, ")");
    }
}

static void add_assignment(struct strbuf *sb, const struct pg_table *tab, size_t column, const char **comma)
{
    strbuf_adds(sb, *comma);
    add_column(sb, &tab->columns[column]);
    strbuf_adds(sb, " = ");
    add_staged(sb, tab, column);
    *comma = ", ";
}

/* First half of an upsert without ON CONFLICT; nothing is added when there is nothing but the key. */
void sql_merge_update_existing(struct strbuf *sb, const struct pg_table *tab)
{
    const char *comma = "";
    if (!has_more_than_key(tab))
        return;
    strbuf_addf(sb, "UPDATE %s t SET ", tab->rows_of);
    for (size_t i = 0; i < tab->column_count; i++) {
        if (!tab->columns[i].identity_always && !tab->columns[i].key)
            add_assignment(sb, tab, i, &comma);
    }
    strbuf_adds(sb, " FROM ");
    add_ordered_stage(sb, tab, STAGE_UPSERT, NULL);
    strbuf_adds(sb, " WHERE ");
    add_key_match(sb, tab, true);
}

void sql_merge_update(struct strbuf *sb, const struct pg_table *tab, const struct column_set *set)
{
    const char *comma = "";
    strbuf_addf(sb, "UPDATE %s t SET ", tab->rows_of);
    for (size_t i = 0; i < tab->column_count; i++) {
        if (is_set(tab, set, i))
            add_assignment(sb, tab, i, &comma);
    }
    strbuf_adds(sb, " FROM ");
    add_ordered_stage(sb, tab, STAGE_UPDATE, set);
    strbuf_adds(sb, " WHERE ");
    add_key_match(sb, tab, false);
}

void sql_create_hold(struct strbuf *sb, const struct pg_table *tab)
{
    strbuf_addf(sb, "CREATE TEMPORARY TABLE IF NOT EXISTS crossfade_h%u ON COMMIT DELETE ROWS AS SELECT ",
                tab->id);
    add_columns(sb, tab);
    strbuf_addf(sb, " FROM %s WITH NO DATA", tab->name);
}

/* Takes copies of the rows that a set of columns changes, with the changes already made. */
void sql_hold(struct strbuf *sb, const struct pg_table *tab, const struct column_set *set)
{
    strbuf_addf(sb, "INSERT INTO pg_temp.crossfade_h%u SELECT ", tab->id);
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        if (is_set(tab, set, i)) {
            add_staged(sb, tab, i);
        } else {
            strbuf_adds(sb, "t.");
            add_column(sb, &tab->columns[i]);
        }
    }
    strbuf_addf(sb, " FROM %s t JOIN ", tab->rows_of);
    sql_stage_name(sb, tab, STAGE_UPDATE, set);
    strbuf_adds(sb, " s ON ");
    add_key_match(sb, tab, false);
}

void sql_unhold(struct strbuf *sb, const struct pg_table *tab)
{
    sql_insert_head(sb, tab);
    strbuf_addf(sb, "SELECT * FROM pg_temp.crossfade_h%u", tab->id);
}

static void add_param(struct strbuf *sb, const struct pg_column *col, size_t *number)
{
    strbuf_addf(sb, "$%zu::", ++*number);
    pg_writer_staging_type(&col->writer, sb);
    sql_cast(sb, &col->writer);
}

void sql_row_insert(struct strbuf *sb, const struct pg_table *tab, enum row_insert how)
{
    size_t number = 0;
    sql_insert_head(sb, tab);
    strbuf_adds(sb, how == ROW_IF_ABSENT ? "SELECT " : "VALUES (");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        add_param(sb, &tab->columns[i], &number);
    }
    strbuf_adds(sb, how == ROW_IF_ABSENT ? "" : ")");
    if (how == ROW_UPSERT) {
        add_on_conflict(sb, tab);
    } else if (how == ROW_IF_ABSENT) {
        strbuf_addf(sb, " WHERE NOT EXISTS (SELECT 1 FROM %s t WHERE ", tab->rows_of);
        for (size_t i = 0; i < tab->key_count; i++) {
            number = tab->key[i];
            strbuf_adds(sb, i > 0 ? " AND t." : "t.");
            add_column(sb, &tab->columns[tab->key[i]]);
            strbuf_adds(sb, " = ");
            add_param(sb, &tab->columns[tab->key[i]], &number);
        }
        strbuf_adds(sb, ")");
    }
}

/* Does IS NOT DISTINCT FROM tell exactly these values apart? Others are compared as text: types without
 * equality (json, xml, point), and those whose equal values may look different (numeric, float, citext,
 * char(n)). */
static bool is_exact(const struct pg_column *col)
{
    switch (col->writer.target->oid) {
    case PG_OID_BOOL:
    case PG_OID_BYTEA:
    case PG_OID_INT8:
    case PG_OID_INT2:
    case PG_OID_INT4:
    case PG_OID_TEXT:
    case PG_OID_VARCHAR:
    case PG_OID_DATE:
    case PG_OID_TIMESTAMP:
    case PG_OID_TIMESTAMPTZ:
    case PG_OID_UUID:
        return true;
    }
    return false;
}

static void add_row_match(struct strbuf *sb, const struct pg_table *tab, size_t *number)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        const struct pg_column *col = &tab->columns[i];
        const char *as = is_exact(col) ? "" : "::pg_catalog.text";
        strbuf_adds(sb, i > 0 ? " AND t." : "t.");
        add_column(sb, col);
        strbuf_addf(sb, "%s IS NOT DISTINCT FROM ", as);
        add_param(sb, col, number);
        strbuf_adds(sb, as);
    }
}

/* WHERE of a row statement: the key, or one of the rows that are alike. */
static void add_row_where(struct strbuf *sb, const struct pg_table *tab, size_t *number)
{
    strbuf_adds(sb, " WHERE ");
    for (size_t i = 0; i < tab->key_count; i++) {
        const struct pg_column *col = &tab->columns[tab->key[i]];
        strbuf_adds(sb, i > 0 ? " AND t." : "t.");
        add_column(sb, col);
        strbuf_adds(sb, " = ");
        add_param(sb, col, number);
    }
    if (tab->key_count > 0)
        return;
    strbuf_addf(sb, "(tableoid, ctid) = (SELECT t.tableoid, t.ctid FROM %s t WHERE ", tab->rows_of);
    add_row_match(sb, tab, number);
    strbuf_adds(sb, " LIMIT 1)");
}

void sql_row_update(struct strbuf *sb, const struct pg_table *tab, const struct column_set *set)
{
    size_t number = 0;
    strbuf_addf(sb, "UPDATE %s t SET ", tab->rows_of);
    const char *comma = "";
    for (size_t i = 0; i < tab->column_count; i++) {
        if (!is_set(tab, set, i))
            continue;
        strbuf_adds(sb, comma);
        add_column(sb, &tab->columns[i]);
        strbuf_adds(sb, " = ");
        add_param(sb, &tab->columns[i], &number);
        comma = ", ";
    }
    add_row_where(sb, tab, &number);
}

void sql_row_delete(struct strbuf *sb, const struct pg_table *tab)
{
    size_t number = 0;
    strbuf_addf(sb, "DELETE FROM %s t", tab->rows_of);
    add_row_where(sb, tab, &number);
}
