/*
 * Owns: what each message of the stream becomes (Debezium's events, docs/DEBEZIUM.md):
 *   insert → create; update → update, or on a key change delete + tombstone + create with newkey/oldkey headers;
 *   delete → delete + tombstone; truncate → one event per table; a row of crossfade.marker → a marker of its
 *   transaction.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "capture/copy/reread.h"
#include "capture/stream/stream_internal.h"
#include "core/clock.h"
#include "core/failpoint.h"
#include "core/log.h"

/* --- markers --- */

static void take_text(const struct pgoutput_value *v, char *out, size_t out_size)
{
    size_t len = MIN_OF((size_t)v->len, out_size - 1);
    memcpy(out, v->p, len);
    out[len] = '\0';
}

static uint64_t take_u64(const struct pgoutput_value *v, bool lsn)
{
    char text[32];
    lsn_t parsed = 0;
    uint64_t be = 0;
    if (v->kind == PGOUTPUT_BINARY && v->len == sizeof be) {
        memcpy(&be, v->p, sizeof be);
        return __builtin_bswap64(be);
    }
    take_text(v, text, sizeof text);
    if (lsn)
        return lsn_parse(text, &parsed) ? parsed : 0;
    return strtoull(text, NULL, 10);
}

static enum marker_kind marker_kind_of(const char *kind)
{
    static const struct {
        const char *name;
        enum marker_kind kind;
    } kinds[] = {
        {"hold", MARKER_HOLD}, {"cut", MARKER_COMPARE}, {"final", MARKER_FINAL},
        {"ping", MARKER_PING}, {"copy", MARKER_COPY},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].name, kind) == 0)
            return kinds[i].kind;
    }
    return MARKER_NONE;
}

/* Kind copy is no marker of its transaction's fence. */
static void take_request(struct cap_stream *st, const char *nonce, const struct pgoutput_value *detail)
{
    json_auto_t *object =
        detail != NULL ? json_loadb(detail->p, detail->len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    struct copy_request req;
    if (object == NULL || !copy_request_from_json(object, &req)) {
        log_event(LOG_LEVEL_WARN, "marker_ignored",
                  "nonce=%s text=\"kind copy without a detail that says what\"", nonce);
        return;
    }
    copy_request_release(&st->txn.request);
    st->txn.request = req;
}

static void take_marker(struct cap_stream *st, const struct cap_relation *rel,
                        const struct pgoutput_tuple *row)
{
    struct cap_marker m = {0};
    const struct pgoutput_value *detail = NULL;
    char pipeline[64] = "", kind[16] = "";
    for (size_t i = 0; i < rel->column_count && i < row->count; i++) {
        const struct pgoutput_value *v = &row->values[i];
        const char *name = rel->columns[i].name;
        if (v->kind != PGOUTPUT_BINARY && v->kind != PGOUTPUT_TEXT)
            continue;
        if (strcmp(name, "pipeline") == 0)
            take_text(v, pipeline, sizeof pipeline);
        else if (strcmp(name, "kind") == 0)
            take_text(v, kind, sizeof kind);
        else if (strcmp(name, "nonce") == 0)
            take_text(v, m.nonce, sizeof m.nonce);
        else if (strcmp(name, "cut_lsn") == 0)
            m.cut_lsn = take_u64(v, true);
        else if (strcmp(name, "deadline_ms") == 0)
            m.deadline_ms = (int64_t)take_u64(v, false);
        else if (strcmp(name, "detail") == 0)
            detail = v;
    }
    if (strcmp(pipeline, st->session->settings->pipeline) != 0)
        return;
    m.kind = marker_kind_of(kind);
    if (m.kind == MARKER_COPY)
        take_request(st, m.nonce, detail);
    else if (st->txn.marker.kind != MARKER_NONE)
        log_event(LOG_LEVEL_WARN, "marker_ignored", "nonce=%s text=\"one marker per transaction\"", m.nonce);
    else
        st->txn.marker = m;
}

/* --- rows --- */

static struct change new_change(struct cap_stream *st, struct cap_relation *rel, enum change_op op, lsn_t lsn)
{
    if (rel->txn_serial != st->txn.serial) {
        rel->txn_serial = st->txn.serial;
        rel->txn_changes = 0;
    }
    return (struct change){
        .op = op,
        .schema = rel->writer->schema,
        .source = {.server = st->session->settings->topic_prefix,
                   .database = pg_database(st->session->stream),
                   .lsn = lsn,
                   .commit_lsn = st->txn.commit_lsn,
                   .previous_commit_lsn = st->previous_commit_lsn,
                   .xid = st->txn.xid,
                   .commit_time_us = st->txn.commit_time_us},
        .total_order = ++st->txn.total_order,
        .table_order = ++rel->txn_changes,
        .captured_us = st->now_wall_us,
    };
}

static bool read_row(struct cap_stream *st, struct cap_relation *rel, const struct pgoutput_tuple *row,
                     struct datum *out, struct err *err)
{
    return cap_table_writer_read(rel->writer, row->values, row->count, &st->arena, out, err);
}

/* Reads the new row (and the old one, if there is one); values that were not sent are taken from the old row,
 * where it has them. A NULL in a column that the catalog now calls NOT NULL makes a new version of the table,
 * and the row is read again. */
static bool read_rows(struct cap_stream *st, struct cap_relation *rel, const struct pgoutput_message *m,
                      struct err *err)
{
    for (;;) {
        struct cap_table_writer *tw = rel->writer;
        if (m->row.old_kind != PGOUTPUT_OLD_NONE && !read_row(st, rel, &m->row.old_row, tw->before, err))
            return false;
        int null_field = -1;
        if (m->type == PGOUTPUT_DELETE) {
            if (m->row.old_kind == PGOUTPUT_OLD_FULL)
                null_field = cap_table_writer_null_field(tw, tw->before);
        } else {
            if (!read_row(st, rel, &m->row.new_row, tw->after, err))
                return false;
            for (size_t i = 0; m->row.old_kind != PGOUTPUT_OLD_NONE && i < tw->schema->field_count; i++) {
                if (tw->after[i].state == DATUM_UNAVAILABLE && tw->before[i].state == DATUM_VALUE)
                    tw->after[i] = tw->before[i];
            }
            null_field = cap_table_writer_null_field(tw, tw->after);
            if (null_field < 0 && m->row.old_kind == PGOUTPUT_OLD_FULL)
                null_field = cap_table_writer_null_field(tw, tw->before);
        }
        if (null_field < 0)
            return true;
        if (!cap_relations_relax(st->relations, rel, (size_t)null_field, err))
            return false;
    }
}

static bool put(struct cap_stream *st, struct cap_relation *rel, const struct change *chg,
                const struct datum *key, enum cap_header header, const struct datum *header_row,
                struct err *err)
{
    if (!cap_meta_change(st, rel, err))
        return false;
    st->batch->tail_commit_lsn = st->txn.commit_lsn;
    return cap_table_writer_put(rel->writer, st->batch, chg, key, header, header_row, err);
}

static bool put_tombstone(struct cap_stream *st, struct cap_relation *rel, const struct datum *key,
                          enum cap_header header, const struct datum *header_row, struct err *err)
{
    return cap_table_writer_tombstone(rel->writer, st->batch, key, header, header_row, err);
}

static bool put_insert(struct cap_stream *st, struct cap_relation *rel, lsn_t lsn, struct err *err)
{
    if (!cap_row_is_whole(rel->writer,
                          rel->writer->after)) /* start refuses such tables; they may have changed */
        return err_set(err, ERR_UNSUPPORTED,
                       "an update moved a row into the condition of source.filters (where), and came without "
                       "its values that are stored out of line: ALTER TABLE … REPLICA IDENTITY FULL (each "
                       "partition as well), and start a new copy with an empty journal");
    struct change chg = new_change(st, rel, CHANGE_INSERT, lsn);
    chg.after = rel->writer->after;
    return put(st, rel, &chg, chg.after, CAP_HEADER_NONE, NULL, err);
}

static bool put_delete(struct cap_stream *st, struct cap_relation *rel, lsn_t lsn, bool key_only,
                       enum cap_header header, const struct datum *header_row, struct err *err)
{
    struct change chg = new_change(st, rel, CHANGE_DELETE, lsn);
    chg.before = rel->writer->before;
    chg.before_key_only = key_only;
    return put(st, rel, &chg, chg.before, header, header_row, err) &&
           put_tombstone(st, rel, chg.before, header, header_row, err);
}

static bool put_key_change(struct cap_stream *st, struct cap_relation *rel, lsn_t lsn, bool key_only,
                           struct err *err)
{
    struct cap_table_writer *tw = rel->writer;
    if (!put_delete(st, rel, lsn, key_only, CAP_HEADER_NEW_KEY, tw->after, err))
        return false;
    struct change chg = new_change(st, rel, CHANGE_INSERT, lsn);
    chg.after = tw->after;
    return put(st, rel, &chg, tw->after, CAP_HEADER_OLD_KEY, tw->before, err);
}

static bool put_update(struct cap_stream *st, struct cap_relation *rel, const struct pgoutput_message *m,
                       lsn_t lsn, struct err *err)
{
    struct cap_table_writer *tw = rel->writer;
    bool same = true, full = m->row.old_kind == PGOUTPUT_OLD_FULL;
    if (m->row.old_kind != PGOUTPUT_OLD_NONE &&
        !cap_table_writer_same_key(tw, tw->before, tw->after, &same, err))
        return false;
    if (!same)
        return put_key_change(st, rel, lsn, !full, err);
    struct change chg = new_change(st, rel, CHANGE_UPDATE, lsn);
    chg.before = full ? tw->before : NULL;
    chg.after = tw->after;
    return put(st, rel, &chg, chg.after, CAP_HEADER_NONE, NULL, err);
}

/* A row of a table whose copy is not done may be missing on the target: readers are told. A row that is not copied yet will be, with
 * this change; one that a range's snapshot did not see any more is gone. Only a move may come from what is not copied to what is: then
 * the values that were not sent are read from the source, newer than the change perhaps, and the next fence stands behind that. */
static bool put_completed(struct cap_stream *st, struct cap_relation *rel, const struct pgoutput_message *m,
                          lsn_t lsn, struct err *err)
{
    struct cap_table_writer *tw = rel->writer;
    bool same = true, there = true, full = m->row.old_kind == PGOUTPUT_OLD_FULL;
    if (m->row.old_kind != PGOUTPUT_OLD_NONE &&
        !cap_table_writer_same_key(tw, tw->before, tw->after, &same, err))
        return false;
    if (!same && !put_delete(st, rel, lsn, !full, CAP_HEADER_NONE, NULL, err))
        return false;
    bool whole = cap_row_is_whole(tw, tw->after);
    if (!same && !whole && !cap_reread(st, rel, &m->row.new_row, &there, err))
        return false;
    if (!there) /* its deletion comes */
        return true;
    struct change chg = new_change(st, rel, same ? CHANGE_UPDATE : CHANGE_INSERT, lsn);
    chg.before = same && full ? tw->before : NULL;
    chg.after = tw->after;
    return put(st, rel, &chg, chg.after, same && !whole ? CAP_HEADER_COPYING : CAP_HEADER_NONE, NULL, err);
}

static bool put_change(struct cap_stream *st, struct cap_relation *rel, const struct pgoutput_message *m,
                       bool complete, lsn_t lsn, struct err *err)
{
    switch (m->type) {
    case PGOUTPUT_INSERT:
        return put_insert(st, rel, lsn, err);
    case PGOUTPUT_UPDATE:
        return complete ? put_completed(st, rel, m, lsn, err) : put_update(st, rel, m, lsn, err);
    default:
        return put_delete(st, rel, lsn, m->row.old_kind != PGOUTPUT_OLD_FULL, CAP_HEADER_NONE, NULL, err);
    }
}

static enum cap_fate fate_of(const struct cap_stream *st, const struct cap_relation *rel)
{
    return st->copier == NULL ? CAP_KEEP : cap_copier_fate(st->copier, rel->oid, rel->key_count, st->txn.xid);
}

/* A shape that the journal does not know yet: told in front of the first record that has it. */
static bool tell_shape(struct cap_stream *st, struct cap_relation *rel, lsn_t lsn, struct err *err)
{
    if (rel->shape_record == NULL)
        return true;
    if (rel->shape_change != NULL) {
        if (st->copier != NULL && !cap_copier_may_part(st, err))
            return err_wrap(err, "table=%s.%s", rel->schema, rel->table);
        log_event(LOG_LEVEL_WARN, "schema_changed", "table=%s.%s lsn=" LSN_FMT " text=\"%s\"", rel->schema,
                  rel->table, LSN_ARGS(lsn), rel->shape_change);
        cap_batch_part_here(st->batch);
    }
    bool ok =
        failpoint("capture.ddl_new_shape", err) && cap_batch_add_shape(st->batch, rel->shape_record, err);
    free(rel->shape_record);
    free(rel->shape_change);
    rel->shape_record = rel->shape_change = NULL;
    return ok;
}

static struct cap_relation *use_relation(struct cap_stream *st, uint32_t oid, lsn_t lsn, struct err *err)
{
    struct cap_relation *rel = cap_relations_use(st->relations, oid, st->txn.xid, lsn, err);
    if (rel != NULL && tell_shape(st, rel, lsn, err))
        return rel;
    err_wrap(err, "lsn=" LSN_FMT, LSN_ARGS(lsn));
    return NULL;
}

static bool take_row(struct cap_stream *st, const struct pgoutput_message *m, lsn_t lsn, struct err *err)
{
    struct cap_relation *rel = use_relation(st, m->row.oid, lsn, err);
    if (rel == NULL)
        return false;
    if (rel->unwanted)
        return true;
    if (rel->is_marker) {
        if (m->type == PGOUTPUT_INSERT)
            take_marker(st, rel, &m->row.new_row);
        return true;
    }
    enum cap_fate fate = fate_of(st, rel);
    if (fate == CAP_DROP)
        return true;
    struct pgoutput_message row = *m;
    cap_relation_narrow(rel, &row);
    bool ok = read_rows(st, rel, &row, err) && put_change(st, rel, &row, fate == CAP_COMPLETE, lsn, err);
    if (ok)
        return cap_stream_make_room(st, err);
    return err_wrap(err, "table=%s.%s lsn=" LSN_FMT, rel->schema, rel->table, LSN_ARGS(lsn));
}

static bool take_truncate(struct cap_stream *st, const struct pgoutput_message *m, lsn_t lsn, struct err *err)
{
    for (uint32_t i = 0; i < m->truncate.count; i++) {
        struct cap_relation *rel = use_relation(st, m->truncate.oids[i], lsn, err);
        if (rel == NULL)
            return false;
        if (rel->is_marker || rel->unwanted || fate_of(st, rel) == CAP_DROP)
            continue;
        struct change chg = new_change(st, rel, CHANGE_TRUNCATE, lsn);
        if (!put(st, rel, &chg, NULL, CAP_HEADER_NONE, NULL, err))
            return err_wrap(err, "table=%s.%s lsn=" LSN_FMT, rel->schema, rel->table, LSN_ARGS(lsn));
    }
    return true;
}

/* --- transactions --- */

static bool begin(struct cap_stream *st, const struct pgoutput_message *m, struct err *err)
{
    if (st->txn.open)
        return err_set(err, ERR_PROTOCOL, "a transaction begins inside another");
    st->now_wall_us = clock_wall_us();
    copy_request_release(&st->txn.request);
    st->txn = (struct cap_transaction){
        .open = true,
        .skip = m->begin.final_lsn < st->start_lsn,
        .commit_lsn = m->begin.final_lsn,
        .commit_time_us = m->begin.commit_time_us,
        .xid = m->begin.xid,
        .serial = st->txn.serial + 1,
    };
    return cap_stream_check_history(st, m->begin.final_lsn, err);
}

static bool commit(struct cap_stream *st, const struct pgoutput_message *m, struct err *err)
{
    if (!st->txn.open || m->commit.commit_lsn != st->txn.commit_lsn)
        return err_set(err, ERR_PROTOCOL, "a commit at " LSN_FMT " without its begin",
                       LSN_ARGS(m->commit.commit_lsn));
    st->txn.open = false;
    st->received_lsn = st->seen_lsn = m->commit.commit_end_lsn;
    st->last_commit_seen_us = st->now_us;
    if (st->txn.skip) {
        st->skipped_commits++;
        st->skipped_commit_time_us = m->commit.commit_time_us;
        return true;
    }
    /* One that changed nothing here is told of or not, by the server's version and whether it was streamed. */
    bool counts = st->txn.total_order > 0;
    bool ok =
        cap_meta_commit(st, err) &&
        cap_stream_commit(st, m->commit.commit_lsn, m->commit.commit_end_lsn, m->commit.commit_time_us, err);
    if (counts)
        st->previous_commit_lsn = m->commit.commit_lsn;
    return ok;
}

bool cap_take_message(struct cap_stream *st, const struct pgoutput_message *m, lsn_t lsn, struct err *err)
{
    switch (m->type) {
    case PGOUTPUT_BEGIN:
        return begin(st, m, err);
    case PGOUTPUT_COMMIT:
        return commit(st, m, err);
    case PGOUTPUT_RELATION:
        cap_relations_announce(st->relations, m);
        return true;
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
    case PGOUTPUT_TRUNCATE:
        if (!st->txn.open)
            return err_set(err, ERR_PROTOCOL, "a change outside of a transaction: lsn=" LSN_FMT,
                           LSN_ARGS(lsn));
        if (st->txn.skip || st->txn.left_out)
            return true;
        return m->type == PGOUTPUT_TRUNCATE ? take_truncate(st, m, lsn, err) : take_row(st, m, lsn, err);
    case PGOUTPUT_STREAM_START: /* streamed.c has them */
    case PGOUTPUT_STREAM_STOP:
    case PGOUTPUT_STREAM_COMMIT:
    case PGOUTPUT_STREAM_ABORT:
        return err_set(err, ERR_PROTOCOL, "message '%c' where none may come", (int)m->type);
    case PGOUTPUT_ORIGIN:
        cap_take_origin(st, m);
        break;
    case PGOUTPUT_TYPE:
    case PGOUTPUT_UNKNOWN:
        break;
    case PGOUTPUT_MESSAGE:
        return cap_meta_message(st, m, err);
    }
    return true;
}

bool cap_decode_kept(struct cap_stream *st, const void *bytes, size_t len, lsn_t lsn, struct err *err)
{
    struct pgoutput_message m;
    arena_clear(&st->arena);
    if (!pgoutput_decode(st->decoder, bytes, len, &m, err))
        return err_wrap(err, "lsn=" LSN_FMT, LSN_ARGS(lsn));
    return cap_take_message(st, &m, lsn, err);
}

bool cap_decode(struct cap_stream *st, const struct repl_frame *frame, struct err *err)
{
    bool taken = false;
    return cap_streamed_take(st, frame, &taken, err) &&
           (taken || cap_decode_kept(st, frame->bytes, frame->len, frame->start_lsn, err));
}
