/* Owns: a target table's key, the unique index that it needs, and by which of its columns writers may share the table. See prepare.h. */
#include <string.h>

#include "core/alloc.h"
#include "prepare.h"
#include "target/target_impl.h"

static size_t field_of(const void *tab, size_t column)
{
    return ((const struct md_table *)tab)->columns[column].index;
}

static bool find_key(struct md_table *tab, struct err *err)
{
    const struct table_schema *schema = tab->base.schema;
    if (!target_find_key(schema, tab->column_count, field_of, tab, &tab->key, err))
        return false;
    tab->key_count = schema->key_count;
    return true;
}

static bool is_key_column(const struct md_table *tab, const char *name)
{
    for (size_t i = 0; i < tab->key_count; i++) {
        if (name != NULL && strcmp(tab->columns[tab->key[i]].field->name, name) == 0)
            return true;
    }
    return false;
}

/* Rows that the target takes for one key have equal values in this column: its equality is that of the datums. */
static bool tells_apart(const struct md_column *col)
{
    const struct field *f = col->field;
    bool is_integer = f->phys == PHYS_INT16 || f->phys == PHYS_INT32 || f->phys == PHYS_INT64;
    if (f->text_encoding != NULL || f->unsigned_wraps)
        return false;
    if (is_integer)
        return f->semantic == NULL && col->type >= MD_TINYINT && col->type <= MD_BIGINT;
    return f->phys == PHYS_STRING &&
           ((col->type == MD_UUID && !f->foreign) ||
            (f->semantic == NULL && col->type == MD_VARCHAR && col->exact_order && !col->pads));
}

/* By what may several writers share this table? Only where the key is the clustered index, and the only unique one: under READ
 * COMMITTED that takes locks of rows, while a further unique index, looked through for duplicates, takes those of gaps, and one writer
 * would wait for another. */
static void find_split(const struct md_target *mt, struct md_table *tab)
{
    bool clustered = tab->one_unique;
    for (size_t i = 0; i < tab->key_count; i++)
        clustered = clustered && !tab->columns[tab->key[i]].nullable;
    if (!mt->crewed || mt->writer > 0 || !clustered)
        return;
    tab->base.split = xcalloc(tab->key_count, sizeof *tab->base.split);
    for (size_t i = 0; i < tab->key_count; i++) {
        if (tells_apart(&tab->columns[tab->key[i]]))
            tab->base.split[tab->base.split_count++] = tab->columns[tab->key[i]].index;
    }
}

/* One unique index of a table, as its columns come by. */
struct index {
    size_t table;
    struct strbuf name;
    size_t columns;
    bool fits;
};

static void index_ends(const struct md_part *part, struct index *index, bool *found)
{
    size_t n = index->table;
    if (n < part->count && index->fits && index->columns == part->tabs[n]->key_count)
        found[n] = true;
    strbuf_clear(&index->name);
    *index = (struct index){.table = part->count, .name = index->name};
}

/* Unique indexes on exactly the key's columns, whole; *uniques: how many unique ones a table has. */
static bool read_indexes(struct md_target *mt, const struct md_part *part, bool *found, size_t *uniques,
                         struct err *err)
{
    static const struct md_question q = {
        "INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL, SEQ_IN_INDEX FROM information_schema.STATISTICS",
        "TABLE_SCHEMA", "TABLE_NAME", " AND NON_UNIQUE = 0", ", 2, 5"};
    MD_ROWS rows = {0};
    if (!md_query_catalog(mt, part, &q, &rows, err))
        return false;
    struct index index = {.table = part->count, .name = STRBUF_INIT(1000)};
    while (md_next(&rows)) {
        size_t n = md_part_number(part, &rows);
        if (index.table != n || strcmp(index.name.data, rows.cell[1]) != 0) {
            index_ends(part, &index, found);
            strbuf_adds(&index.name, rows.cell[1]);
            index.table = n;
            index.fits = true;
            uniques[n]++;
        }
        index.columns++;
        index.fits =
            index.fits && is_key_column(part->tabs[n], rows.cell[2]) && strcmp(rows.cell[3], "1") == 0;
    }
    index_ends(part, &index, found);
    strbuf_release(&index.name);
    return true;
}

bool md_find_keys(struct md_target *mt, const struct md_part *part, struct err *err)
{
    bool found[MD_PREPARE_TABLES] = {0};
    size_t uniques[MD_PREPARE_TABLES] = {0};
    for (size_t i = 0; i < part->count; i++) {
        if (!find_key(part->tabs[i], err))
            return false;
    }
    if (!read_indexes(mt, part, found, uniques, err))
        return false;
    for (size_t i = 0; i < part->count; i++) {
        struct md_table *tab = part->tabs[i];
        if (tab->key_count == 0)
            continue;
        if (!found[i])
            return md_schema_err(
                tab, err,
                "the target table lacks a unique index on exactly the key's columns, in full "
                "length",
                NULL);
        tab->one_unique = uniques[i] == 1;
        find_split(mt, tab);
    }
    return true;
}
