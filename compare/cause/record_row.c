/* Owns: from records to images of rows. See record_row.h. */
#include "cause/record_row.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "pg/types/catalog.h"
#include "pg/types/write.h"

#define TEXT_BYTES_MAX   ((size_t)16 << 20) /* of one value */
#define IMAGES_BYTES_MAX ((size_t)64 << 20) /* of all that is kept of a table */

/* How a field becomes PostgreSQL's text. */
struct column_reader {
    int field; /* -1: the records have none of that name */
    bool exact;
    struct pg_column_writer writer;
};

struct record_rows {
    struct journal_look *look;
    const struct table_schema *schema; /* for which the readers are */
    struct pg_type_catalog *types;
    struct column_reader *columns, *keys;
    struct strbuf text;
    size_t bytes;
};

static int compare_keys(const void *a, const void *b)
{
    const struct wanted_row *x = a, *y = b;
    int c = memcmp(x->key, y->key, MIN_OF(x->key_len, y->key_len));
    return c != 0 ? c : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

struct wanted_row *journal_look_find(struct journal_look *look, const char *key, size_t len)
{
    const struct wanted_row wanted = {.key = key, .key_len = len};
    return look->row_count == 0
               ? NULL
               : bsearch(&wanted, look->rows, look->row_count, sizeof *look->rows, compare_keys);
}

void journal_look_sort(struct journal_look *look)
{
    size_t n = 0;
    if (look->row_count > 1)
        qsort(look->rows, look->row_count, sizeof *look->rows, compare_keys);
    for (size_t i = 0; i < look->row_count; i++) {
        if (n > 0 && compare_keys(&look->rows[n - 1], &look->rows[i]) == 0)
            look->rows[n - 1].two = look->rows[n - 1].two || look->rows[i].two;
        else
            look->rows[n++] = look->rows[i];
    }
    look->row_count = n;
}

struct record_rows *record_rows_new(struct journal_look *look)
{
    struct record_rows *rows = xcalloc(1, sizeof *rows);
    rows->look = look;
    rows->columns = xcalloc(look->pt->column_count, sizeof *rows->columns);
    rows->keys = xcalloc(look->pt->key_count, sizeof *rows->keys);
    strbuf_init(&rows->text, TEXT_BYTES_MAX);
    return rows;
}

void record_rows_free(struct record_rows *rows)
{
    pg_type_catalog_free(rows->types);
    free(rows->columns);
    free(rows->keys);
    strbuf_release(&rows->text);
    free(rows);
}

static void plan_column_reader(struct record_rows *rows, const char *name, struct column_reader *ret)
{
    struct err why = ERR_INIT;
    ret->field = table_schema_find(rows->schema, name);
    if (ret->field < 0)
        return;
    const struct field *field = &rows->schema->fields[ret->field];
    ret->exact =
        !field->lossy && pg_writer_plan(field, PG_OID_TEXT, -1, rows->types, NULL, &ret->writer, &why);
}

static void plan_readers(struct record_rows *rows, const struct table_schema *schema)
{
    const struct plan_table *pt = rows->look->pt;
    if (rows->schema == schema)
        return;
    pg_type_catalog_free(rows->types);
    rows->types = pg_type_catalog_new();
    rows->schema = schema;
    for (size_t i = 0; i < pt->column_count; i++)
        plan_column_reader(rows, pt->columns[i].name, &rows->columns[i]);
    for (size_t k = 0; k < pt->key_count; k++)
        plan_column_reader(rows, pt->keys[k].name, &rows->keys[k]);
}

/* Texts of a key as the databases have them: char(n) without its padding; where the sides are of two dialects, numbers without zeros at
 * the end. */
static void settle_key_text(struct record_rows *rows, const struct field *field, size_t from)
{
    struct strbuf *text = &rows->text;
    const char *type = field->source_type != NULL ? field->source_type : "";
    if (strcmp(type, "BPCHAR") == 0) {
        while (text->len > from && text->data[text->len - 1] == ' ')
            text->len--;
    } else if (rows->look->pt->as_text && strcmp(type, "NUMERIC") == 0 &&
               memchr(text->data + from, '.', text->len - from) != NULL) {
        while (text->data[text->len - 1] == '0')
            text->len--;
        text->len -= text->data[text->len - 1] == '.';
    }
}

/* The row's key into rows->text. */
static bool key_of(struct record_rows *rows, const struct datum *row)
{
    struct err why = ERR_INIT;
    strbuf_clear(&rows->text);
    for (size_t k = 0; k < rows->look->pt->key_count; k++) {
        const struct column_reader *key = &rows->keys[k];
        size_t from = rows->text.len;
        if (key->field < 0 || !key->exact || row[key->field].state != DATUM_VALUE ||
            !pg_write_text(&key->writer, &row[key->field], &rows->text, &why) || rows->text.failed)
            return false;
        settle_key_text(rows, &rows->schema->fields[key->field], from);
        strbuf_addc(&rows->text, '\0');
    }
    return !rows->text.failed;
}

static struct image_cell read_cell(struct record_rows *rows, const struct column_reader *column,
                                   const struct datum *row)
{
    struct image_cell cell = {.state = CELL_UNREAD};
    struct err why = ERR_INIT;
    if (column->field < 0)
        return cell;
    const struct datum *value = &row[column->field];
    if (value->state == DATUM_UNAVAILABLE)
        cell.state = CELL_ABSENT;
    else if (value->state == DATUM_NULL)
        cell.state = CELL_NULL;
    if (value->state != DATUM_VALUE || !column->exact)
        return cell;
    strbuf_clear(&rows->text);
    if (!pg_write_text(&column->writer, value, &rows->text, &why) || rows->text.failed)
        return cell;
    rows->bytes += rows->text.len;
    cell.state = CELL_TEXT;
    cell.text = xstrndup(rows->text.data, rows->text.len);
    return cell;
}

static struct image_cell *read_cells(struct record_rows *rows, const struct datum *row)
{
    size_t count = rows->look->pt->column_count;
    if (rows->bytes > IMAGES_BYTES_MAX)
        return NULL;
    struct image_cell *cells = xcalloc(count, sizeof *cells);
    for (size_t i = 0; i < count; i++)
        cells[i] = read_cell(rows, &rows->columns[i], row);
    return cells;
}

static void drop_image(struct record_rows *rows, struct image *image)
{
    for (size_t i = 0; image->cells != NULL && i < rows->look->pt->column_count; i++) {
        rows->bytes -= image->cells[i].text != NULL ? strlen(image->cells[i].text) : 0;
        free(image->cells[i].text);
    }
    free(image->cells);
}

/* In the order of the source's history; by place where that is one. */
static int compare_places(const struct record_place *a, const struct record_place *b)
{
    if (a->commit_lsn != b->commit_lsn)
        return a->commit_lsn > b->commit_lsn ? 1 : -1;
    if (a->order != b->order)
        return a->order > b->order ? 1 : -1;
    return 0;
}

/* Where it belongs among the images, newest first; image_count if it is older than all. *ret_known: it is there already. */
static size_t find_place(const struct wanted_row *row, const struct record_place *at, bool *ret_known)
{
    size_t i = 0;
    while (i < row->image_count && compare_places(&row->images[i].at, at) > 0)
        i++;
    *ret_known =
        i < row->image_count && compare_places(&row->images[i].at, at) == 0 && row->images[i].at.op == at->op;
    return i;
}

static void add_image(struct record_rows *rows, struct wanted_row *row, const struct record_place *at,
                      const struct datum *values, unsigned part)
{
    bool known = false;
    size_t i = find_place(row, at, &known);
    if (known || i == IMAGES_PER_ROW)
        return;
    if (row->image_count == 0)
        row->part = part;
    if (row->image_count == IMAGES_PER_ROW)
        drop_image(rows, &row->images[--row->image_count]);
    memmove(&row->images[i + 1], &row->images[i], (row->image_count - i) * sizeof row->images[0]);
    row->images[i] = (struct image){
        .at = *at, .gone = values == NULL, .cells = values != NULL ? read_cells(rows, values) : NULL};
    row->image_count++;
}

static void add_truncate(struct record_rows *rows, const struct record_place *at, unsigned part)
{
    for (size_t i = 0; i < rows->look->row_count; i++)
        add_image(rows, &rows->look->rows[i], at, NULL, part);
}

void record_rows_take(struct record_rows *rows, const struct change *chg, int32_t partition, uint64_t offset,
                      unsigned part)
{
    const struct record_place at = {.op = chg->op,
                                    .partition = partition,
                                    .offset = offset,
                                    .lsn = chg->source.lsn,
                                    .commit_lsn = chg->source.commit_lsn,
                                    .order = chg->total_order};
    const struct datum *values = chg->op == CHANGE_DELETE ? NULL : chg->after;
    const struct datum *keyed = values != NULL ? values : chg->before;
    if (chg->op == CHANGE_TRUNCATE) {
        add_truncate(rows, &at, part);
        return;
    }
    plan_readers(rows, chg->schema);
    if (keyed == NULL || !key_of(rows, keyed)) {
        rows->look->unreadable++;
        return;
    }
    struct wanted_row *row = journal_look_find(rows->look, rows->text.data, rows->text.len);
    if (row != NULL)
        add_image(rows, row, &at, values, part);
}

bool record_rows_satisfied(const struct record_rows *rows)
{
    for (size_t i = 0; i < rows->look->row_count; i++) {
        const struct wanted_row *row = &rows->look->rows[i];
        bool first = row->image_count > 0 &&
                     (row->images[0].at.op == CHANGE_INSERT || row->images[0].at.op == CHANGE_READ);
        if (row->image_count < (row->two && !first ? 2U : 1U))
            return false;
    }
    return true;
}

void record_rows_forget(struct record_rows *rows, unsigned part)
{
    for (size_t i = 0; i < rows->look->row_count; i++) {
        struct wanted_row *row = &rows->look->rows[i];
        while (row->part == part && row->image_count > 0)
            drop_image(rows, &row->images[--row->image_count]);
    }
}
