/*
 * Owns: rows as LOAD DATA LOCAL INFILE, which is answered from memory. See target/loader.h.
 *
 * The server may ask this client for a file whenever it likes: it gets the rows at hand, once, or an error, and never a file. LOCAL
 * implies IGNORE: what strict mode, keys and checks refuse becomes a warning. So one warning, or one row less than were sent, gives the
 * chunk's transaction up, with what the server said first.
 * Protocol: MariaDB, "LOCAL INFILE Packet"; format: "LOAD DATA INFILE", FIELDS and LINES.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "loader_mariadb.h"
#include "maria/wait.h"

/* A statement has so many bytes of rows: enough for its own cost to vanish, and few enough for memory. */
#define FILE_BYTES ((size_t)8 << 20)

/* --- what the client library calls --- */

static int refuse_init(void **ret, const char *name, void *userdata)
{
    (void)name;
    *ret = userdata;
    return 1;
}

static int init(void **ret, const char *name, void *userdata)
{
    struct md_file *file = userdata;
    (void)name;
    *ret = file;
    return file == NULL || file->given > 0 || file->rows.len == 0;
}

static int read_rows(void *ctx, char *buffer, unsigned size)
{
    struct md_file *file = ctx;
    size_t len = MIN_OF((size_t)size, file->rows.len - file->given);
    memcpy(buffer, file->rows.data + file->given, len);
    file->given += len;
    return (int)len;
}

static int refuse_read(void *ctx, char *buffer, unsigned size)
{
    (void)ctx;
    (void)buffer;
    (void)size;
    return -1;
}

static void end(void *ctx)
{
    (void)ctx;
}

static int error_text(void *ctx, char *buffer, unsigned size)
{
    (void)ctx;
    (void)snprintf(buffer, size, "the server asked for a file: it gets none");
    return 2000; /* CR_UNKNOWN_ERROR */
}

void md_file_refuse(struct md_target *mt)
{
    mysql_set_local_infile_handler(mt->my, refuse_init, refuse_read, end, error_text, NULL);
}

/* --- the statement --- */

/* Where the server does not take local files rows go as arrays: about a fifth slower. */
bool mdl_file_allowed(struct md_loader *ld, bool *ret, struct err *err)
{
    int64_t on = 0;
    if (!md_query_int64(ld->mt, "SELECT @@GLOBAL.local_infile", &on, err) ||
        !md_exec(ld->mt,
                 "SET SESSION sql_notes = 1, max_error_count = 64, idle_transaction_timeout = 0, "
                 "idle_write_transaction_timeout = 0",
                 err))
        return false;
    *ret = on != 0;
    return true;
}

/* Goes as digits, and by a variable: the column itself would take their bytes. */
static bool by_variable(const struct md_column *col)
{
    return col->bind == MD_BIND_BYTES || col->type == MD_BIT;
}

static void add_fields(struct strbuf *sql, const struct md_table *tab)
{
    for (size_t i = 0; i < tab->column_count; i++) {
        strbuf_adds(sql, i > 0 ? ", " : "");
        if (by_variable(&tab->columns[i]))
            strbuf_addf(sql, "@crossfade_%zu", i);
        else
            maria_quote_ident(sql, tab->columns[i].field->name);
    }
}

static void add_variables(struct strbuf *sql, const struct md_table *tab)
{
    bool any = false;
    for (size_t i = 0; i < tab->column_count; i++) {
        const struct md_column *col = &tab->columns[i];
        if (!by_variable(col))
            continue;
        strbuf_adds(sql, any ? ", " : " SET ");
        any = true;
        maria_quote_ident(sql, col->field->name);
        strbuf_addf(
            sql, col->type == MD_BIT ? " = CAST(@crossfade_%zu AS UNSIGNED)" : " = UNHEX(@crossfade_%zu)", i);
    }
}

void mdl_file_start(struct md_loader *ld)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    strbuf_addf(&sql,
                "LOAD DATA LOCAL INFILE 'crossfade' INTO TABLE %s CHARACTER SET utf8mb4 FIELDS TERMINATED BY "
                "'\\t' ENCLOSED BY '' ESCAPED BY '\\\\' LINES STARTING BY '' TERMINATED BY '\\n' (",
                ld->tab->name);
    add_fields(&sql, ld->tab);
    strbuf_adds(&sql, ")");
    add_variables(&sql, ld->tab);
    free(ld->file.sql);
    ld->file.sql = strbuf_detach(&sql);
    strbuf_clear(&ld->file.rows);
    ld->file.count = 0;
}

void mdl_file_release(struct md_loader *ld)
{
    strbuf_release(&ld->file.rows);
    strbuf_release(&ld->file.value);
    free(ld->file.sql);
}

/* --- rows --- */

static void add_escaped(struct strbuf *out, const char *text, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i], as = c == '\\' ? '\\' : c == '\t' ? 't' : c == '\n' ? 'n' : c == '\0' ? '0' : 0;
        if (as == 0)
            continue;
        strbuf_add(out, text + from, i - from);
        strbuf_addc(out, '\\');
        strbuf_addc(out, as);
        from = i + 1;
    }
    strbuf_add(out, text + from, len - from);
}

static void add_hex(struct strbuf *out, const char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *to = strbuf_reserve(out, 2 * len);
    if (to == NULL)
        return;
    for (size_t i = 0; i < len; i++) {
        *to++ = digits[(unsigned char)bytes[i] >> 4];
        *to++ = digits[(unsigned char)bytes[i] & 15];
    }
    out->len += 2 * len;
}

static void add_field(struct strbuf *out, const struct md_column *col, const struct md_value *value)
{
    switch (col->bind) {
    case MD_BIND_INT:
        if (col->type == MD_BIT)
            strbuf_addf(out, "%" PRIu64, (uint64_t)value->i);
        else
            strbuf_addf(out, "%" PRId64, value->i);
        break;
    case MD_BIND_FLOAT: /* exactly the float: rounding it back is no rounding */
    case MD_BIND_DOUBLE:
        strbuf_addf(out, "%.17g", value->f);
        break;
    case MD_BIND_DECIMAL:
    case MD_BIND_TEXT:
        add_escaped(out, value->bytes->data, value->bytes->len);
        break;
    case MD_BIND_BYTES:
        add_hex(out, value->bytes->data, value->bytes->len);
    }
}

/* Else LOAD DATA makes now() or the next number of it, without a word. (server: sql/field.cc, load_data_set_null()) */
static bool refuse_null(const struct md_table *tab, const struct md_column *col, const struct target_row *row,
                        struct err *err)
{
    char hash[17];
    md_key_hash(tab, row, hash);
    err_set(err, ERR_DATA,
            "the value is NULL, the column is NOT NULL on the target: change one of them (SQLSTATE 23502)");
    memcpy(err->sqlstate, "23502", 6);
    return err_wrap(err, "table=%s.%s column=%s lsn=" LSN_FMT "%s%s", tab->base.schema->schema,
                    tab->base.schema->table, col->field->name, LSN_ARGS(row->commit_lsn),
                    tab->key_count > 0 ? " key_hash=" : "", tab->key_count > 0 ? hash : "");
}

bool mdl_file_add(struct md_loader *ld, const struct target_row *row, struct err *err)
{
    struct md_file *file = &ld->file;
    for (size_t i = 0; i < ld->tab->column_count; i++) {
        struct md_column *col = &ld->tab->columns[i];
        struct md_value value = {.bytes = &file->value};
        bool is_null = false;
        strbuf_clear(&file->value);
        if (!md_value_of(ld->tab, col, row, &row->row[col->index], &value, &is_null, err))
            return false;
        if (is_null && !col->nullable)
            return refuse_null(ld->tab, col, row, err);
        if (i > 0)
            strbuf_addc(&file->rows, '\t');
        if (is_null)
            strbuf_adds(&file->rows, "\\N");
        else
            add_field(&file->rows, col, &value);
    }
    strbuf_addc(&file->rows, '\n');
    file->count++;
    if (!strbuf_ok(&file->rows, "row", err))
        return md_table_err(ld->tab, err);
    return file->rows.len < FILE_BYTES || mdl_file_flush(ld, err);
}

/* --- sending it --- */

static bool warned(struct md_loader *ld, unsigned warnings, int64_t loaded, struct err *err)
{
    MD_ROWS rows = {0};
    if (warnings > 0 && (!md_query(ld->mt, "SHOW WARNINGS LIMIT 1", &rows, err)))
        return false;
    if (warnings > 0 && md_next(&rows))
        maria_fail((unsigned)strtoul(rows.cell[1], NULL, 10), "01000", rows.cell[2], "LOAD DATA", err);
    else
        err_set(err, ERR_DATA, "LOAD DATA: %" PRId64 " of %" PRId64 " rows were taken", loaded,
                ld->file.count);
    if (err->code ==
        ERR_SQL) { /* a warning without a name here: what it says is no error to the server, but a row's fault */
        err->code = ERR_DATA;
        err->sqlstate[0] = '\0';
    }
    return false;
}

static bool run(struct md_loader *ld, struct err *err)
{
    struct md_target *mt = ld->mt;
    struct md_file *file = &ld->file;
    file->given = 0;
    mysql_set_local_infile_handler(mt->my, init, read_rows, end, error_text, file);
    bool ok = maria_wait_query(mt->my, file->sql, (unsigned long)strlen(file->sql)) == 0;
    unsigned number = ok ? 0 : mysql_errno(mt->my);
    if (!ok)
        maria_fail(number, mysql_sqlstate(mt->my), mysql_error(mt->my), "LOAD DATA", err);
    md_file_refuse(mt);
    if (!ok)
        return false;
    unsigned warnings = mysql_warning_count(mt->my);
    int64_t loaded = (int64_t)mysql_affected_rows(mt->my);
    return (warnings == 0 && loaded == file->count && file->given == file->rows.len) ||
           warned(ld, warnings, loaded, err);
}

bool mdl_file_flush(struct md_loader *ld, struct err *err)
{
    if (ld->file.count == 0)
        return true;
    if (!run(ld, err)) /* the chunk's transaction is given up */
        return md_table_err(ld->tab, err);
    ld->file.count = 0;
    if (ld->file.rows.cap > 4 * FILE_BYTES) /* one huge row is no reason to stay large */
        strbuf_release(&ld->file.rows);
    strbuf_clear(&ld->file.rows);
    return true;
}
