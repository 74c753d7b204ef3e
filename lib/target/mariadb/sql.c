/* Owns: the texts of prepared statements. Identifiers are always quoted, values always parameters. */
#include "core/alloc.h"
#include "mariadb.h"

static void add_ref(struct md_stmt *st, struct md_column *col, bool old)
{
    st->refs = xrealloc(st->refs, (st->ref_count + 1) * sizeof *st->refs);
    st->refs[st->ref_count++] = (struct md_ref){.col = col, .old = old};
}

static void add_columns(struct strbuf *sb, const struct md_table *tab)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        maria_quote_ident(sb, tab->columns[i].field->name);
    }
}

void md_sql_insert(struct strbuf *sb, struct md_table *tab, struct md_stmt *st)
{
    strbuf_addf(sb, "INSERT INTO %s (", tab->name);
    add_columns(sb, tab);
    strbuf_adds(sb, ") VALUES (");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", ?" : "?");
        add_ref(st, &tab->columns[i], false);
    }
    strbuf_adds(sb, ")");
}

/* `a` = IF(the row that is there has the whole key, its value, an error): an index may have become unique since the table was looked
 * at, and would send the row to another one. (1242, a subquery with two rows, stands for a duplicate: conn.c. Of NULLs: IF() takes no
 * number beside a uuid or inet6.) */
static void add_key_guard(struct strbuf *sb, const struct md_table *tab)
{
    const struct md_column *first = &tab->columns[tab->key[0]];
    maria_quote_ident(sb, first->field->name);
    strbuf_adds(sb, " = IF(");
    for (size_t k = 0; k < tab->key_count; k++) {
        const char *name = tab->columns[tab->key[k]].field->name;
        strbuf_adds(sb, k > 0 ? " AND BINARY " : "BINARY ");
        maria_quote_ident(sb, name);
        strbuf_adds(sb, " <=> BINARY VALUES(");
        maria_quote_ident(sb, name);
        strbuf_adds(sb, ")");
    }
    strbuf_adds(sb, ", ");
    maria_quote_ident(sb, first->field->name);
    strbuf_adds(sb, ", (SELECT NULL UNION ALL SELECT NULL))");
}

/* A column of the key that is a time may have ON UPDATE CURRENT_TIMESTAMP (a TIMESTAMP even without a word of it): it changes by itself
 * when another column does, unless it is assigned to. */
static bool may_move_itself(const struct md_column *col)
{
    return col->key && (col->type == MD_TIMESTAMP || col->type == MD_DATETIME);
}

/* `a` = `a` */
static void add_itself(struct strbuf *sb, const struct md_column *col)
{
    maria_quote_ident(sb, col->field->name);
    strbuf_adds(sb, " = ");
    maria_quote_ident(sb, col->field->name);
}

/* Only for tables whose key is their one unique index: any other would send the row to another one. */
void md_sql_upsert(struct strbuf *sb, struct md_table *tab, struct md_stmt *st)
{
    md_sql_insert(sb, tab, st);
    strbuf_adds(sb, " ON DUPLICATE KEY UPDATE ");
    add_key_guard(sb, tab);
    for (size_t i = 0; i < tab->column_count; i++) {
        if (tab->columns[i].key) {
            if (i != tab->key[0] && may_move_itself(&tab->columns[i])) {
                strbuf_adds(sb, ", ");
                add_itself(sb, &tab->columns[i]);
            }
            continue;
        }
        strbuf_adds(sb, ", ");
        maria_quote_ident(sb, tab->columns[i].field->name);
        strbuf_adds(sb, " = VALUES(");
        maria_quote_ident(sb, tab->columns[i].field->name);
        strbuf_adds(sb, ")");
    }
}

static bool is_text(const struct md_column *col)
{
    return col->type == MD_CHAR || col->type == MD_VARCHAR || col->type == MD_TEXT || col->type == MD_ENUM;
}

/* WHERE: the key, or all columns of a row without one (texts byte by byte, whatever their collation). */
static void add_where(struct strbuf *sb, struct md_table *tab, struct md_stmt *st)
{
    size_t count = tab->key_count > 0 ? tab->key_count : tab->column_count;
    strbuf_adds(sb, " WHERE ");
    for (size_t i = 0; i < count; i++) {
        struct md_column *col = &tab->columns[tab->key_count > 0 ? tab->key[i] : i];
        bool bytes = tab->key_count == 0 && is_text(col);
        strbuf_adds(sb, i > 0 ? " AND " : "");
        strbuf_adds(sb, bytes ? "CAST(" : "");
        maria_quote_ident(sb, col->field->name);
        strbuf_adds(sb, bytes                 ? " AS BINARY) <=> CAST(? AS BINARY)"
                        : tab->key_count == 0 ? " <=> ?"
                                              : " = ?");
        add_ref(st, col, true);
    }
    strbuf_adds(sb, tab->key_count == 0 ? " LIMIT 1" : "");
}

void md_sql_delete(struct strbuf *sb, struct md_table *tab, struct md_stmt *st)
{
    strbuf_addf(sb, "DELETE FROM %s", tab->name);
    add_where(sb, tab, st);
}

/* Is column i written by this set's UPDATE? */
static bool is_set(const struct md_table *tab, const struct md_set *set, size_t i)
{
    return set->present[i] && (set->moves || !tab->columns[i].key);
}

bool md_set_changes(const struct md_table *tab, const struct md_set *set)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        if (is_set(tab, set, i))
            return true;
    }
    return false;
}

void md_sql_update(struct strbuf *sb, struct md_table *tab, const struct md_set *set, struct md_stmt *st)
{
    const char *comma = "";
    strbuf_addf(sb, "UPDATE %s SET ", tab->name);
    for (size_t i = 0; i < tab->column_count; i++) {
        bool itself = !is_set(tab, set, i) && may_move_itself(&tab->columns[i]);
        if (!itself && !is_set(tab, set, i))
            continue;
        strbuf_adds(sb, comma);
        comma = ", ";
        if (itself) {
            add_itself(sb, &tab->columns[i]);
            continue;
        }
        maria_quote_ident(sb, tab->columns[i].field->name);
        strbuf_adds(sb, " = ?");
        add_ref(st, &tab->columns[i], false);
    }
    add_where(sb, tab, st);
}

void md_sql_hold_name(struct strbuf *sb, const struct md_table *tab)
{
    maria_quote_ident(sb, tab->database);
    strbuf_addf(sb, ".crossfade_hold%u", tab->id);
}

/* A temporary table beside the table, so that rights on its database are enough; without indexes. */
void md_sql_create_hold(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_adds(sb, "CREATE OR REPLACE TEMPORARY TABLE ");
    md_sql_hold_name(sb, tab);
    strbuf_adds(sb, " ENGINE=InnoDB AS SELECT ");
    add_columns(sb, tab);
    strbuf_addf(sb, " FROM %s LIMIT 0", tab->name);
}

/* A copy of the row, with the changes already made. */
void md_sql_hold(struct strbuf *sb, struct md_table *tab, const struct md_set *set, struct md_stmt *st)
{
    strbuf_adds(sb, "INSERT INTO ");
    md_sql_hold_name(sb, tab);
    strbuf_adds(sb, " SELECT ");
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sb, i > 0 ? ", " : "");
        if (is_set(tab, set, i)) {
            strbuf_adds(sb, "?");
            add_ref(st, &tab->columns[i], false);
        } else {
            maria_quote_ident(sb, tab->columns[i].field->name);
        }
    }
    strbuf_addf(sb, " FROM %s", tab->name);
    add_where(sb, tab, st);
}

void md_sql_unhold(struct strbuf *sb, const struct md_table *tab)
{
    strbuf_addf(sb, "INSERT INTO %s (", tab->name);
    add_columns(sb, tab);
    strbuf_adds(sb, ") SELECT ");
    add_columns(sb, tab);
    strbuf_adds(sb, " FROM ");
    md_sql_hold_name(sb, tab);
}
