/*
 * Owns: what a row of the binlog becomes (Debezium's events, as stream/decode.c has them for PostgreSQL): insert → create; update → update,
 * or on a key change delete + tombstone + create with newkey/oldkey headers; delete → delete + tombstone. And the tables that were met.
 *
 * Names: a table of the URL's database is one of schema public, as everywhere with MariaDB (maria/names.h); its topic has the
 * database's name, as Debezium's has, but on a way back, whose patterns and topics are those of the way there (way_back.c).
 */
#include <stdlib.h>
#include <string.h>

#include "capture/filters/filters.h"
#include "capture/maria/maria_internal.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/log.h"
#include "maria/names.h"

#define MARKER_TABLE   "crossfade_marker"
#define POSITION_TABLE "crossfade_position"

/* --- tables --- */

static enum maria_role role_of(const struct cap_maria *m, const char *database, const char *table)
{
    if (!maria_is_own_table(m->database, database, table))
        return MARIA_DATA;
    return strcmp(table, MARKER_TABLE) == 0 ? MARIA_MARKER : MARIA_CONTROL;
}

/* Each of apply's transactions changes its position, but those that load rows directly: they note their chunk. */
static bool is_of_apply(const char *table)
{
    return strcmp(table, POSITION_TABLE) == 0 || strcmp(table, "crossfade_direct_chunk") == 0;
}

bool maria_wanted(void *ctx, const char *database, const char *table)
{
    const struct cap_maria *m = ctx;
    switch (role_of(m, database, table)) {
    case MARIA_MARKER:
        return true;
    case MARIA_CONTROL:
        return is_of_apply(table);
    case MARIA_DATA:
        break;
    }
    return !maria_is_nobodys_database(m->database, database) &&
           table_filter_matches(m->session->settings->filter, maria_called(m, database), table);
}

struct maria_table *maria_table_named(struct cap_maria *m, const char *database, const char *table)
{
    struct maria_table *t = NULL;
    char *name = xasprintf("%s.%s", database, table);
    HASH_FIND_STR(m->tables, name, t);
    if (t != NULL) {
        free(name);
        return t;
    }
    t = xcalloc(1, sizeof *t);
    t->name = name;
    t->role = role_of(m, database, table);
    HASH_ADD_KEYPTR(hh, m->tables, t->name, strlen(t->name), t);
    return t;
}

void maria_forget_shapes(struct cap_maria *m)
{
    struct maria_table *t, *next;
    m->last = NULL;
    HASH_ITER(hh, m->tables, t, next)
    {
        t->shape = NULL;
    }
}

void maria_tables_free(struct cap_maria *m)
{
    struct maria_table *t, *next;
    HASH_ITER(hh, m->tables, t, next)
    {
        HASH_DEL(m->tables, t);
        cap_table_writer_free(t->writer);
        free(t->name);
        free(t);
    }
    m->last = NULL;
}

static char *dup_or_null(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

/* As the journal has the table: columns as the reader has them, our names. */
static struct table_schema *journal_schema(const struct cap_maria *m, const struct table_schema *shape)
{
    const struct cap_settings *settings = m->session->settings;
    struct table_schema *made = xcalloc(1, sizeof *made);
    const char *called = maria_called(m, shape->schema);
    char *own CLEANUP(free_ptr) = topic_name(settings->topic_prefix, called, shape->table);
    bool shared = false;
    made->topic = cap_filters_topic(settings->rules, settings->routing, settings->topic_prefix, called,
                                    shape->table, &shared);
    made->shared_id = shared ? xstrdup(own) : NULL;
    made->name_space = topic_name_space(own);
    made->schema = xstrdup(maria_schema_of(m->database, shape->schema));
    made->table = xstrdup(shape->table);
    made->mariadb = made->silent_cascades = true;
    made->fields = xcalloc(shape->field_count + 1, sizeof *made->fields);
    made->field_count = shape->field_count;
    for (size_t i = 0; i < shape->field_count; i++) {
        struct field *f = &made->fields[i];
        *f = shape->fields[i];
        f->name = xstrdup(f->name);
        f->semantic = dup_or_null(f->semantic);
        f->source_type = dup_or_null(f->source_type);
        f->text_encoding = dup_or_null(f->text_encoding);
        f->allowed = dup_or_null(f->allowed);
    }
    made->key_fields = xcalloc(shape->key_count + 1, sizeof *made->key_fields);
    made->key_count = shape->key_count;
    for (size_t i = 0; i < shape->key_count; i++)
        made->key_fields[i] = shape->key_fields[i];
    return made;
}

/* "public" is the URL's database. */
static bool name_fits(const struct cap_maria *m, const struct table_schema *shape, struct err *err)
{
    return strcmp(shape->schema, "public") != 0 || strcmp(m->database, "public") == 0 ||
           err_set(
               err, ERR_CONFIG,
               "table=%s.%s: schema public stands for the database of source.url (%s), and this table is of "
               "another one that is named public. Hint: leave it out (source.tables)",
               shape->schema, shape->table, m->database);
}

bool maria_use_shape(struct cap_maria *m, struct maria_table *t, const struct table_schema *shape,
                     struct err *err)
{
    if (t->writer != NULL && t->shape == shape)
        return true;
    if (!name_fits(m, shape, err))
        return false;
    struct table_schema *schema = journal_schema(m, shape);
    if (t->writer != NULL && table_schema_same(t->writer->schema, schema)) {
        table_schema_free(schema);
        t->shape = shape;
        return true;
    }
    schema->version = t->writer != NULL ? t->writer->schema->version + 1 : 1;
    struct cap_table_writer *writer = NULL;
    if (!cap_table_writer_of(m->session->settings, schema, m->session->publisher, &writer, err))
        return false;
    if (t->writer != NULL) {
        log_event(LOG_LEVEL_WARN, "schema_changed",
                  "table=%s lsn=" LSN_FMT " text=\"its rows have other columns from here on\"", t->name,
                  LSN_ARGS(m->lsn));
        cap_batch_part_here(m->batch);
    }
    cap_table_writer_free(t->writer);
    t->writer = writer;
    t->shape = shape;
    return true;
}

static struct maria_table *table_of(struct cap_maria *m, const struct table_schema *shape)
{
    if (m->last == NULL || m->last->shape != shape)
        m->last = maria_table_named(m, shape->schema, shape->table);
    return m->last;
}

/* --- changes --- */

static struct change new_change(struct cap_maria *m, struct maria_table *t, const struct binlog_item *item,
                                enum change_op op, const char *gtid)
{
    if (t->txn_serial != m->txn.serial) {
        t->txn_serial = m->txn.serial;
        t->txn_changes = 0;
    }
    return (struct change){
        .op = op,
        .schema = t->writer->schema,
        .source = {.server = m->session->settings->topic_prefix,
                   .database = item->schema->schema,
                   .lsn = m->lsn,
                   .commit_lsn = m->lsn,
                   .commit_time_us = (int64_t)item->time_s * 1000000,
                   .gtid = gtid,
                   .file = item->file,
                   .server_id = m->txn.gtid.server,
                   .pos = item->pos,
                   .row = item->row},
        .total_order = ++m->txn.total_order,
        .table_order = ++t->txn_changes,
        .captured_us = clock_wall_us(),
    };
}

static bool put(struct cap_maria *m, struct maria_table *t, const struct change *chg, const struct datum *key,
                enum cap_header header, const struct datum *header_row, struct err *err)
{
    m->batch->tail_commit_lsn = m->lsn;
    return cap_table_writer_put(t->writer, m->batch, chg, key, header, header_row, err);
}

static bool put_delete(struct cap_maria *m, struct maria_table *t, const struct binlog_item *item,
                       const char *gtid, enum cap_header header, const struct datum *header_row,
                       struct err *err)
{
    struct change chg = new_change(m, t, item, CHANGE_DELETE, gtid);
    chg.before = item->before;
    return put(m, t, &chg, chg.before, header, header_row, err) &&
           cap_table_writer_tombstone(t->writer, m->batch, chg.before, header, header_row, err);
}

static bool put_change(struct cap_maria *m, struct maria_table *t, const struct binlog_item *item,
                       struct err *err)
{
    bool same = true;
    char gtid[GTID_TEXT_MAX];
    (void)gtid_text(m->txn.gtid, gtid);
    if (item->op == CHANGE_DELETE)
        return put_delete(m, t, item, gtid, CAP_HEADER_NONE, NULL, err);
    if (item->op == CHANGE_UPDATE &&
        !cap_table_writer_same_key(t->writer, item->before, item->after, &same, err))
        return false;
    if (!same && !put_delete(m, t, item, gtid, CAP_HEADER_NEW_KEY, item->after, err))
        return false;
    struct change chg = new_change(m, t, item, same ? item->op : CHANGE_INSERT, gtid);
    chg.before = same && item->op == CHANGE_UPDATE ? item->before : NULL;
    chg.after = item->after;
    return put(m, t, &chg, chg.after, same ? CAP_HEADER_NONE : CAP_HEADER_OLD_KEY, same ? NULL : item->before,
               err);
}

bool maria_put_truncate(struct cap_maria *m, struct maria_table *t, const struct binlog_item *item,
                        const char *database, struct err *err)
{
    char gtid[GTID_TEXT_MAX];
    struct table_schema named = {.schema = (char *)(uintptr_t)database};
    struct binlog_item at = *item;
    at.schema = &named;
    at.file = "";
    struct change chg = new_change(m, t, &at, CHANGE_TRUNCATE, gtid_text(m->txn.gtid, gtid));
    return put(m, t, &chg, NULL, CAP_HEADER_NONE, NULL, err) ||
           err_wrap(err, "table=%s gtid=%s", t->name, gtid);
}

void maria_is_of_apply(struct cap_maria *m)
{
    enum cap_origin wanted = m->session->settings->origin;
    m->txn.left_out = wanted == CAP_ORIGIN_NOT_CROSSFADE;
    if (wanted == CAP_ORIGIN_ANY && !m->loop_told)
        log_event(LOG_LEVEL_INFO, "from_crossfade",
                  "text=\"changes that an apply wrote are captured, too; if they come from where this "
                  "pipeline leads to, "
                  "set capture.origin: not_crossfade\"");
    m->loop_told = true;
}

/* CREATE SEQUENCE's is a table of one row to the binlog: the numbers that it hands out are no application's rows. */
static bool is_sequence(const struct table_schema *shape)
{
    return shape->field_count == 8 && strcmp(shape->fields[0].name, "next_not_cached_value") == 0 &&
           strcmp(shape->fields[7].name, "cycle_count") == 0;
}

bool maria_take_row(struct cap_maria *m, const struct binlog_item *item, struct err *err)
{
    struct maria_table *t = table_of(m, item->schema);
    struct maria_txn *txn = &m->txn;
    if (t->role == MARIA_CONTROL) {
        maria_is_of_apply(m);
    } else if (t->role == MARIA_MARKER && item->op == CHANGE_INSERT) {
        maria_take_marker(m, item);
    }
    if (t->role != MARIA_DATA || txn->left_out || is_sequence(item->schema))
        return true;
    char gtid[GTID_TEXT_MAX];
    if (maria_use_shape(m, t, item->schema, err) && put_change(m, t, item, err))
        return maria_make_room(m, err);
    return err_wrap(err, "table=%s gtid=%s", t->name, gtid_text(txn->gtid, gtid));
}
