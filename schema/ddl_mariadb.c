/* Owns: the statements that make tables, keys, checks, indexes and foreign keys on MariaDB. See plan.h. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "maria/conn.h"
#include "maria/names.h"
#include "plan.h"
#include "rules.h"
#include "translate.h"

#define SQL_BYTES_MAX ((size_t)4 << 20)
#define PREFIX_CHARS  191 /* of a text in an index: 764 bytes */
#define PREFIX_BYTES  764

static void add_qualified(struct strbuf *out, const char *database, const char *table)
{
    maria_quote_ident(out, database);
    strbuf_addc(out, '.');
    maria_quote_ident(out, table);
}

static bool mapped(const struct sch_table *t, const size_t *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (t->columns[columns[i]].map.type == NULL)
            return false;
    }
    return count > 0;
}

static void add_names(struct strbuf *out, const struct sch_table *t, const size_t *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_adds(out, i > 0 ? "," : "");
        maria_quote_ident(out, t->columns[columns[i]].target);
    }
}

static bool first_in_key(const struct sch_table *t, size_t column)
{
    for (size_t i = 0; i < t->constraint_count; i++) {
        const struct sch_constraint *k = &t->constraints[i];
        if ((k->type == 'p' || k->type == 'u') && k->column_count > 0 && k->columns[0] == column)
            return true;
    }
    return false;
}

static bool is_integer(const struct sch_column *c)
{
    return !c->array &&
           (strcmp(c->base, "int2") == 0 || strcmp(c->base, "int4") == 0 || strcmp(c->base, "int8") == 0);
}

/* The column that counts on; SIZE_MAX = none. MariaDB has one of a table, and it begins a key. */
static size_t counting_column(const struct sch_table *t)
{
    for (size_t i = 0; i < t->column_count; i++) {
        const struct sch_column *c = &t->columns[i];
        if ((c->identity != 0 || c->serial) && c->map.kind == MAP_EXACT && is_integer(c) &&
            first_in_key(t, i))
            return i;
    }
    return SIZE_MAX;
}

static void report(struct schema_plan *plan, enum item_state state, const char *kind,
                   const struct sch_table *t, const char *part, const char *text)
{
    plan_add_item(plan, state, kind,
                  part != NULL ? model_textf(&plan->model, "%s on %s", part, plan_key(plan, t, NULL))
                               : plan_key(plan, t, NULL),
                  text, NULL);
}

/* What is not there on the target, and what a person does about it. */
static void lost(struct schema_plan *plan, const char *kind, const struct sch_table *t, const char *part,
                 const char *what, const char *decide)
{
    report(plan, ITEM_REPORTED, kind, t, part,
           model_textf(&plan->model, "lost: %s; decide: %s", what, decide));
}

static void add_default(struct schema_plan *plan, const struct sch_table *t, const struct sch_column *c,
                        struct strbuf *sql)
{
    struct strbuf text = STRBUF_INIT(SQL_BYTES_MAX);
    if (c->identity != 0 || c->serial)
        lost(plan, "default", t, c->name,
             "it counts on from a sequence, and AUTO_INCREMENT is for one integer column "
             "that begins a key",
             "a sequence of MariaDB as its default, or the application");
    else if (c->def != NULL && c->map.kind != MAP_CHOSEN && translate_default(c, &text))
        strbuf_addf(sql, " DEFAULT %s", text.data);
    else if (c->def != NULL && (c->map.kind != MAP_CHOSEN || strcasestr(c->map.type, "default") == NULL))
        lost(plan, "default", t, c->name,
             model_textf(&plan->model, "DEFAULT %s, which may mean something else there", c->def),
             "one in MariaDB's words with ALTER TABLE … ALTER COLUMN … SET DEFAULT, or none");
    strbuf_release(&text);
}

#define COMMENT_CHARS 1024

static void add_comment(struct schema_plan *plan, const struct sch_table *t, const char *part,
                        const char *comment, size_t max_bytes, const char *before, struct strbuf *sql)
{
    if (comment == NULL)
        return;
    if (strlen(comment) > max_bytes) { /* bytes for characters: on the safe side */
        report(plan, ITEM_REPORTED, "comment", t, part, "longer than MariaDB takes");
        return;
    }
    strbuf_adds(sql, before);
    maria_quote_literal(sql, comment);
}

static void add_column(struct schema_plan *plan, const struct sch_table *t, size_t at, bool counts,
                       struct strbuf *sql)
{
    const struct sch_column *c = &t->columns[at];
    bool generated = c->map.kind == MAP_CHOSEN && strcasestr(c->map.type, "generated") != NULL;
    strbuf_adds(sql, "\n  ");
    maria_quote_ident(sql, c->target);
    strbuf_addf(sql, " %s", c->map.type);
    if (generated)
        ;
    else if (counts)
        strbuf_adds(sql, " NOT NULL AUTO_INCREMENT");
    else {
        strbuf_adds(sql, c->not_null ? " NOT NULL" : " NULL");
        add_default(plan, t, c, sql);
    }
    add_comment(plan, t, c->name, c->comment, COMMENT_CHARS, " COMMENT ", sql);
    if (c->lower != NULL)
        range_add_columns(c, sql);
}

/* A name of a key, index or constraint, as MariaDB takes it. */
static const char *key_name(struct schema_plan *plan, const char *name)
{
    char made[MARIA_NAME_BYTES];
    return maria_name(name, made) ? model_text(&plan->model, made) : name;
}

static size_t bytes_of(const struct sch_table *t, const size_t *columns, size_t count, bool *ret_long)
{
    size_t bytes = 0;
    *ret_long = false;
    for (size_t i = 0; i < count; i++) {
        const char *type = t->columns[columns[i]].map.type;
        *ret_long = *ret_long || rules_mariadb_is_long(type);
        bytes += rules_mariadb_key_bytes(type);
    }
    return bytes;
}

static void add_key(struct schema_plan *plan, const struct sch_table *t, const struct sch_constraint *k,
                    struct strbuf *sql)
{
    bool is_long = false;
    if (!mapped(t, k->columns, k->column_count)) {
        report(plan, ITEM_LEFT_OUT, k->type == 'p' ? "primary key" : "unique key", t, k->name,
               "lost: a column of it is not there; decide: nothing, where the rest need not be unique");
        return;
    }
    size_t bytes = bytes_of(t, k->columns, k->column_count, &is_long);
    if (k->type == 'u' && strstr(k->def, "NULLS NOT DISTINCT") != NULL) {
        lost(plan, "unique key", t, k->name, "NULLS NOT DISTINCT: MariaDB lets several nulls pass",
             "NOT NULL columns on the source, or none");
        return;
    }
    if (k->type == 'u' && (is_long || bytes > MARIA_KEY_BYTES))
        report(plan, ITEM_CHANGED, "unique key", t, k->name,
               "kept by a hash of the whole value (values are too long for a key): no lookups by it");
    if (k->deferrable)
        report(plan, ITEM_CHANGED, k->type == 'p' ? "primary key" : "unique key", t, k->name,
               "lost: DEFERRABLE, it is checked at once; decide: whether the application swaps such values "
               "in one "
               "transaction");
    strbuf_adds(sql, ",\n  ");
    if (k->type == 'p') {
        strbuf_adds(sql, "PRIMARY KEY (");
    } else {
        strbuf_adds(sql, "UNIQUE KEY ");
        maria_quote_ident(sql, key_name(plan, k->name));
        strbuf_adds(sql, " (");
    }
    add_names(sql, t, k->columns, k->column_count);
    strbuf_addc(sql, ')');
}

static void add_check(struct schema_plan *plan, const struct sch_table *t, const struct sch_constraint *k,
                      struct strbuf *sql)
{
    struct strbuf text = STRBUF_INIT(SQL_BYTES_MAX);
    if (k->not_valid) {
        lost(plan, "check", t, k->name,
             model_textf(&plan->model, "%s: rows that break it may be there", k->def),
             "ALTER TABLE … VALIDATE CONSTRAINT on the source, and plan again, or none");
    } else if (translate_check(t, k->def, &text)) {
        strbuf_adds(sql, ",\n  CONSTRAINT ");
        maria_quote_ident(sql, key_name(plan, k->name));
        strbuf_addf(sql, " CHECK %s", text.data);
    } else {
        lost(plan, "check", t, k->name,
             model_textf(&plan->model, "%s, which may mean something else there", k->def),
             "one in MariaDB's words, or the application");
    }
    strbuf_release(&text);
}

static void add_constraints(struct schema_plan *plan, const struct sch_table *t, struct strbuf *sql)
{
    for (size_t i = 0; i < t->constraint_count; i++) {
        const struct sch_constraint *k = &t->constraints[i];
        if (k->type == 'p' || k->type == 'u')
            add_key(plan, t, k, sql);
        else if (k->type == 'c')
            add_check(plan, t, k, sql);
        else if (k->type == 'x')
            lost(plan, "exclusion constraint", t, k->name,
                 model_textf(&plan->model, "%s: MariaDB has none", k->def),
                 "a trigger once the target serves, or the application with a lock of its own");
    }
}

static void note_table(struct schema_plan *plan, const struct sch_table *t, size_t counting)
{
    if (t->partitioned_by != NULL)
        report(
            plan, ITEM_CHANGED, "partitioned table", t, NULL,
            model_textf(&plan->model,
                        "lost: %zu partitions by %s, it is one table; decide: partitions of MariaDB's (ALTER "
                        "TABLE … PARTITION BY) before the copy, or none",
                        t->partition_count, t->partitioned_by));
    if (t->unlogged)
        lost(plan, "table", t, NULL, "UNLOGGED: nothing of it is in the stream, it stays empty",
             "leave it out (source.tables), or SET LOGGED on the source");
    if (t->tablespace != NULL)
        lost(plan, "tablespace", t, NULL, t->tablespace, "a data directory of MariaDB's, or none");
    if (sch_table_primary(t) == NULL)
        report(plan, ITEM_CHANGED, "table", t, NULL, "has no primary key, and gets none");
    if (counting == SIZE_MAX)
        return;
    const struct sch_column *c = &t->columns[counting];
    if (c->identity == 'a')
        report(plan, ITEM_CHANGED, "identity", t, c->name,
               "lost: GENERATED ALWAYS, AUTO_INCREMENT lets values be given; decide: nothing, where the "
               "application "
               "gives none");
    if (c->sequence != NULL)
        report(
            plan, ITEM_CHANGED, "identity", t, c->name,
            model_textf(&plan->model,
                        "lost: %s, AUTO_INCREMENT goes on behind its greatest value in steps of the server's "
                        "auto_increment_increment; decide: whether anything relies on it",
                        c->sequence));
}

static void add_index(struct schema_plan *plan, const struct sch_table *t, const struct sch_index *x,
                      bool later);

void plan_mariadb_table(struct schema_plan *plan, const struct sch_table *t, bool indexes_later)
{
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX);
    size_t counting = counting_column(t), shown = 0;
    note_table(plan, t, counting);
    strbuf_adds(&sql, "CREATE TABLE ");
    add_qualified(&sql, t->target_database, t->target_name);
    strbuf_adds(&sql, " (");
    for (size_t i = 0; i < t->column_count; i++) {
        if (t->columns[i].map.type == NULL)
            continue;
        strbuf_adds(&sql, shown++ > 0 ? "," : "");
        add_column(plan, t, i, i == counting, &sql);
    }
    add_constraints(plan, t, &sql);
    strbuf_adds(&sql, "\n) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin");
    add_comment(plan, t, NULL, t->comment, 2048, " COMMENT=", &sql);
    if (shown == 0) {
        plan_add_item(plan, ITEM_DECIDE, "table", plan_key(plan, t, NULL),
                      "MariaDB has no tables without columns", "source.tables: leave it out");
    } else {
        struct plan_step *step = plan_add_step(plan, PHASE_TABLES, "table", plan_key(plan, t, NULL),
                                               model_text(&plan->model, sql.data));
        step->database = t->target_database;
        step->table = t->target_name;
    }
    plan->model.failed = plan->model.failed || sql.failed;
    strbuf_release(&sql);
    for (size_t i = 0; i < t->index_count; i++)
        add_index(plan, t, &t->indexes[i], indexes_later);
}

/* --- indexes --- */

struct reason {
    const char *lost, *decide;
};

static struct reason why_no_index(const struct sch_table *t, const struct sch_index *x)
{
    if (x->expression)
        return (struct reason){"it is on an expression", "a generated column with an index, or none"};
    if (x->partial)
        return x->unique
                   ? (struct reason){"unique for some rows only: MariaDB has no partial indexes",
                                     "a generated column that is null for the others, with a unique index"}
                   : (struct reason){"partial: MariaDB has none", "an index of all rows, or none"};
    if (strcmp(x->method, "btree") != 0 && strcmp(x->method, "hash") != 0)
        return (struct reason){"its method has no twin on MariaDB",
                               "FULLTEXT, SPATIAL, a generated column with an index, or none"};
    if (!mapped(t, x->columns, x->column_count))
        return (struct reason){"a column of it is not there", "an index of the others, or none"};
    if (x->unique && x->nulls_not_distinct)
        return (struct reason){"NULLS NOT DISTINCT: MariaDB lets several nulls pass",
                               "NOT NULL columns on the source, or none"};
    return (struct reason){0};
}

/* MariaDB has nulls first in ascending order and last in descending: PostgreSQL's default is the opposite. */
static void note_order(struct schema_plan *plan, const struct sch_table *t, const struct sch_index *x)
{
    bool said = false;
    for (size_t i = 0; i < x->column_count && !said; i++) {
        bool desc = (x->options[i] & INDEX_DESC) != 0, first = (x->options[i] & INDEX_NULLS_FIRST) != 0;
        said = desc != first; /* NULLS FIRST or LAST was asked for */
    }
    if (said)
        report(plan, ITEM_CHANGED, "index", t, x->name,
               model_textf(
                   &plan->model,
                   "lost: NULLS FIRST and NULLS LAST: MariaDB has nulls first in ascending order and last in "
                   "descending; decide: whether a query relies on it: %s",
                   x->def));
    if (x->classes != NULL)
        report(plan, ITEM_CHANGED, "index", t, x->name,
               model_textf(
                   &plan->model,
                   "lost: its operator class (%s), it is an ordinary one; decide: whether a query needs it",
                   x->classes));
}

/* Long values by their beginning. False = too many of them. */
static bool add_index_columns(const struct sch_table *t, const struct sch_index *x, bool prefixes,
                              struct strbuf *out, bool *ret_cut)
{
    size_t bytes = 0;
    *ret_cut = false;
    for (size_t i = 0; i < x->column_count; i++) {
        const char *type = t->columns[x->columns[i]].map.type;
        bool cut =
            prefixes && (rules_mariadb_is_long(type) || rules_mariadb_key_bytes(type) > MARIA_KEY_BYTES);
        strbuf_adds(out, i > 0 ? "," : "");
        maria_quote_ident(out, t->columns[x->columns[i]].target);
        if (cut)
            strbuf_addf(out, "(%d)", PREFIX_CHARS);
        if ((x->options[i] & INDEX_DESC) != 0)
            strbuf_adds(out, " DESC");
        bytes += cut ? PREFIX_BYTES : rules_mariadb_key_bytes(type);
        *ret_cut = *ret_cut || cut;
    }
    return !prefixes || bytes <= MARIA_KEY_BYTES;
}

static void add_index(struct schema_plan *plan, const struct sch_table *t, const struct sch_index *x,
                      bool later)
{
    struct reason why = why_no_index(t, x);
    bool is_long = false, cut = false;
    struct strbuf columns = STRBUF_INIT(SQL_BYTES_MAX), sql = STRBUF_INIT(SQL_BYTES_MAX);
    if (why.lost == NULL && !add_index_columns(t, x, !x->unique, &columns, &cut))
        why = (struct reason){"longer than the 3072 bytes of a key", "one of fewer columns, or none"};
    if (why.lost != NULL) {
        lost(plan, x->unique ? "unique index" : "index", t, x->name,
             model_textf(&plan->model, "%s: %s", x->def, why.lost), why.decide);
        goto out;
    }
    size_t bytes = bytes_of(t, x->columns, x->column_count, &is_long);
    if (x->unique && (is_long || bytes > MARIA_KEY_BYTES))
        report(plan, ITEM_CHANGED, "unique index", t, x->name,
               "kept by a hash of the whole value: no lookups by it");
    note_order(plan, t, x);
    if (cut)
        report(plan, ITEM_CHANGED, "index", t, x->name, "long values by their first 191 characters");
    if (x->includes)
        report(plan, ITEM_CHANGED, "index", t, x->name,
               "lost: its INCLUDE columns; decide: whether they become part of it");
    strbuf_adds(&sql, "ALTER TABLE ");
    add_qualified(&sql, t->target_database, t->target_name);
    strbuf_adds(&sql, x->unique ? " ADD UNIQUE INDEX " : " ADD INDEX ");
    maria_quote_ident(&sql, key_name(plan, x->name));
    strbuf_addf(&sql, " (%s)", columns.data);
    struct plan_step *step =
        plan_add_step(plan, x->unique || !later ? PHASE_TABLES : PHASE_INDEXES, "index",
                      model_textf(&plan->model, "%s on %s", x->name, plan_key(plan, t, NULL)),
                      model_text(&plan->model, sql.data));
    step->database = t->target_database;
    step->table = t->target_name;
    step->object = key_name(plan, x->name);
    step->columns = model_text(&plan->model, columns.data);
out:
    strbuf_release(&columns);
    strbuf_release(&sql);
}

/* --- foreign keys --- */

/* What stands before the parenthesis, "unsigned" included; lengths of texts may differ. */
static bool same_kind(const char *a, const char *b)
{
    size_t len = strcspn(a, "(");
    bool text =
        strncmp(a, "varchar", 7) == 0 || strncmp(a, "char", 4) == 0 || strncmp(a, "varbinary", 9) == 0;
    return text ? len == strcspn(b, "(") && strncmp(a, b, len) == 0 : strcmp(a, b) == 0;
}

/* ON DELETE SET NULL (a, b) and SET DEFAULT (a): PostgreSQL 15. */
static bool sets_some(const struct sch_constraint *k)
{
    return strstr(k->def, " SET NULL (") != NULL || strstr(k->def, " SET DEFAULT (") != NULL;
}

static struct reason why_no_foreign_key(const struct sch_table *t, const struct sch_constraint *k,
                                        const struct sch_table *ref)
{
    if (ref == NULL)
        return (struct reason){"what it refers to is not moved", "source.tables: move it, too, or none"};
    if (!mapped(t, k->columns, k->column_count))
        return (struct reason){"a column of it is not there", "move the column, too, or none"};
    if (k->not_valid)
        return (struct reason){"NOT VALID: rows that break it may be there",
                               "ALTER TABLE … VALIDATE CONSTRAINT on the source, and plan again, or none"};
    if (sets_some(k))
        return (struct reason){"InnoDB would set all of its columns, not some",
                               "a trigger once the target serves, or the application"};
    if (k->on_delete == 'd' || k->on_update == 'd')
        return (struct reason){"SET DEFAULT: InnoDB has none",
                               "another action on the source, or the application"};
    if (k->match == 'f' && k->column_count > 1)
        return (struct reason){"MATCH FULL: InnoDB lets rows pass where some columns are null",
                               "a check that all or none are null, with MATCH SIMPLE on the source"};
    for (size_t i = 0; i < k->column_count; i++) {
        size_t at = sch_table_column(ref, k->ref_columns[i]);
        const char *type = at != SIZE_MAX ? ref->columns[at].map.type : NULL,
                   *own = t->columns[k->columns[i]].map.type;
        if (type == NULL)
            return (struct reason){"a column that it refers to is not there",
                                   "move the column, too, or none"};
        if (rules_mariadb_is_long(own) || rules_mariadb_is_long(type))
            return (struct reason){"InnoDB takes no long texts in foreign keys",
                                   "a varchar(n) for both columns in types"};
        if (!same_kind(own, type))
            return (struct reason){
                "its columns and those it refers to have different types, which InnoDB refuses",
                "the same type for both in types"};
    }
    return (struct reason){0};
}

static const char *action_text(char action)
{
    return action == 'c' ? "CASCADE" : action == 'n' ? "SET NULL" : action == 'r' ? "RESTRICT" : "NO ACTION";
}

static bool take_name(struct schema_plan *plan, const struct sch_table *t, const char *name)
{
    char *key = xasprintf("%s.%s", t->target_database, name);
    (void)maria_lower_name(key, key);
    return name_set_add(&plan->foreign_keys, key);
}

/* Names of foreign keys are one's own in a database, not in a table. */
static const char *foreign_key_name(struct schema_plan *plan, const struct sch_table *t,
                                    const struct sch_constraint *k)
{
    const char *name = key_name(plan, k->name);
    for (int n = 1; !take_name(plan, t, name); n++)
        name = key_name(plan, n == 1 ? model_textf(&plan->model, "%s_%s", t->target_name, k->name)
                                     : model_textf(&plan->model, "%s_%s_%d", t->target_name, k->name, n));
    return name;
}

static void add_foreign_key(struct schema_plan *plan, const struct sch_table *t,
                            const struct sch_constraint *k, bool later)
{
    const struct sch_table *ref = model_find(&plan->model, k->ref_schema, k->ref_table);
    struct reason why = why_no_foreign_key(t, k, ref);
    if (why.lost != NULL) {
        lost(plan, "foreign key", t, k->name, model_textf(&plan->model, "%s: %s", k->def, why.lost),
             why.decide);
        return;
    }
    if (k->deferrable)
        report(plan, ITEM_CHANGED, "foreign key", t, k->name,
               "lost: DEFERRABLE, it is checked at once; decide: whether the application writes children "
               "before their "
               "parents");
    struct strbuf sql = STRBUF_INIT(SQL_BYTES_MAX), pairs = STRBUF_INIT(SQL_BYTES_MAX);
    const char *name = foreign_key_name(plan, t, k);
    strbuf_adds(&sql, "ALTER TABLE ");
    add_qualified(&sql, t->target_database, t->target_name);
    strbuf_adds(&sql, " ADD CONSTRAINT ");
    maria_quote_ident(&sql, name);
    strbuf_adds(&sql, " FOREIGN KEY (");
    add_names(&sql, t, k->columns, k->column_count);
    strbuf_adds(&sql, ") REFERENCES ");
    add_qualified(&sql, ref->target_database, ref->target_name);
    strbuf_adds(&sql, " (");
    for (size_t i = 0; i < k->column_count; i++) {
        const char *to = ref->columns[sch_table_column(ref, k->ref_columns[i])].target;
        strbuf_adds(&sql, i > 0 ? "," : "");
        maria_quote_ident(&sql, to);
        strbuf_adds(&pairs, i > 0 ? "," : "");
        maria_quote_ident(&pairs, t->columns[k->columns[i]].target);
        strbuf_addc(&pairs, '>');
        add_qualified(&pairs, ref->target_database, ref->target_name);
        strbuf_addc(&pairs, '.');
        maria_quote_ident(&pairs, to);
    }
    strbuf_addf(&sql, ") ON DELETE %s ON UPDATE %s", action_text(k->on_delete), action_text(k->on_update));
    struct plan_step *step =
        plan_add_step(plan, later ? PHASE_FOREIGN_KEYS : PHASE_TABLES, "foreign key",
                      model_textf(&plan->model, "%s on %s", k->name, plan_key(plan, t, NULL)),
                      model_text(&plan->model, sql.data));
    step->database = t->target_database;
    step->table = t->target_name;
    step->object = name;
    step->columns = model_text(&plan->model, pairs.data);
    strbuf_release(&sql);
    strbuf_release(&pairs);
}

void plan_mariadb_foreign_keys(struct schema_plan *plan, const struct sch_table *t, bool indexes_later)
{
    for (size_t i = 0; i < t->constraint_count; i++) {
        if (t->constraints[i].type == 'f')
            add_foreign_key(plan, t, &t->constraints[i], indexes_later);
    }
}
