/* Owns: the grammar of pgoutput messages. See pgoutput.h. */
#include "pg/pgoutput.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "cursor.h"

struct pgoutput {
    struct pgoutput_value old_values[PGOUTPUT_MAX_COLUMNS], new_values[PGOUTPUT_MAX_COLUMNS];
    struct pgoutput_column columns[PGOUTPUT_MAX_COLUMNS];
    uint32_t *oids; /* of a TRUNCATE */
    size_t oid_capacity;
};

struct pgoutput *pgoutput_new(void)
{
    return xcalloc(1, sizeof(struct pgoutput));
}

void pgoutput_free(struct pgoutput *decoder)
{
    if (decoder == NULL)
        return;
    free(decoder->oids);
    free(decoder);
}

/* Times of the protocol count microseconds since 2000-01-01; hostile values wrap instead of overflowing. */
static int64_t read_time(struct cursor *c)
{
    return (int64_t)(cursor_u64(c) + (uint64_t)PG_EPOCH_US);
}

static void read_value(struct cursor *c, struct pgoutput_value *ret)
{
    uint8_t kind = cursor_u8(c);
    *ret = (struct pgoutput_value){.kind = (enum pgoutput_value_kind)kind};
    if (kind == PGOUTPUT_BINARY || kind == PGOUTPUT_TEXT) {
        ret->len = cursor_u32(c);
        ret->p = cursor_bytes(c, ret->len);
    } else if (kind != PGOUTPUT_NULL && kind != PGOUTPUT_UNCHANGED) {
        c->failed = true;
    }
}

static void read_tuple(struct cursor *c, struct pgoutput_value *values, struct pgoutput_tuple *ret)
{
    uint16_t count = cursor_u16(c);
    if (count > PGOUTPUT_MAX_COLUMNS) {
        c->failed = true;
        return;
    }
    for (uint16_t i = 0; i < count && !c->failed; i++)
        read_value(c, &values[i]);
    *ret = (struct pgoutput_tuple){.values = values, .count = count};
}

static void read_begin(struct cursor *c, struct pgoutput_message *m)
{
    m->begin.final_lsn = cursor_u64(c);
    m->begin.commit_time_us = read_time(c);
    m->begin.xid = cursor_u32(c);
}

static void read_commit(struct cursor *c, struct pgoutput_message *m)
{
    if (cursor_u8(c) != 0) /* flags: none are defined */
        c->failed = true;
    m->commit.commit_lsn = cursor_u64(c);
    m->commit.commit_end_lsn = cursor_u64(c);
    m->commit.commit_time_us = read_time(c);
}

static void read_stream_start(struct cursor *c, struct pgoutput_message *m)
{
    m->stream_start.xid = cursor_u32(c);
    uint8_t first = cursor_u8(c);
    m->stream_start.first = first == 1;
    if (first > 1 || m->stream_start.xid == 0)
        c->failed = true;
}

static void read_stream_commit(struct cursor *c, struct pgoutput_message *m)
{
    m->stream_commit.xid = cursor_u32(c);
    if (cursor_u8(c) != 0) /* flags: none are defined */
        c->failed = true;
    m->stream_commit.commit_lsn = cursor_u64(c);
    m->stream_commit.commit_end_lsn = cursor_u64(c);
    m->stream_commit.commit_time_us = read_time(c);
}

static void read_stream_abort(struct cursor *c, struct pgoutput_message *m)
{
    m->stream_abort.xid = cursor_u32(c);
    m->stream_abort.sub_xid = cursor_u32(c);
}

static void read_relation(struct pgoutput *d, struct cursor *c, struct pgoutput_message *m)
{
    m->relation.oid = cursor_u32(c);
    m->relation.schema = cursor_text(c);
    m->relation.table = cursor_text(c);
    m->relation.replica_identity = (char)cursor_u8(c);
    uint16_t count = cursor_u16(c);
    if (count > PGOUTPUT_MAX_COLUMNS || strchr("dnfi", m->relation.replica_identity) == NULL ||
        m->relation.replica_identity == '\0') {
        c->failed = true;
        return;
    }
    for (uint16_t i = 0; i < count && !c->failed; i++) {
        struct pgoutput_column *col = &d->columns[i];
        col->identity = (cursor_u8(c) & 1) != 0;
        col->name = cursor_text(c);
        col->type_oid = cursor_u32(c);
        col->typmod = (int32_t)cursor_u32(c);
    }
    m->relation.columns = d->columns;
    m->relation.column_count = count;
}

static void read_insert(struct pgoutput *d, struct cursor *c, struct pgoutput_message *m)
{
    m->row.oid = cursor_u32(c);
    if (cursor_u8(c) != 'N')
        c->failed = true;
    read_tuple(c, d->new_values, &m->row.new_row);
}

static void read_update(struct pgoutput *d, struct cursor *c, struct pgoutput_message *m)
{
    m->row.oid = cursor_u32(c);
    uint8_t part = cursor_u8(c);
    if (part == 'K' || part == 'O') {
        m->row.old_kind = (enum pgoutput_old)part;
        read_tuple(c, d->old_values, &m->row.old_row);
        part = cursor_u8(c);
    }
    if (part != 'N')
        c->failed = true;
    read_tuple(c, d->new_values, &m->row.new_row);
}

static void read_delete(struct pgoutput *d, struct cursor *c, struct pgoutput_message *m)
{
    m->row.oid = cursor_u32(c);
    uint8_t part = cursor_u8(c);
    if (part != 'K' && part != 'O')
        c->failed = true;
    m->row.old_kind = (enum pgoutput_old)part;
    read_tuple(c, d->old_values, &m->row.old_row);
}

static void read_truncate(struct pgoutput *d, struct cursor *c, struct pgoutput_message *m)
{
    uint32_t count = cursor_u32(c);
    uint8_t options = cursor_u8(c);
    if (c->failed || count > cursor_left(c) / sizeof(uint32_t)) {
        c->failed = true;
        return;
    }
    if (count > d->oid_capacity) {
        d->oids = xrealloc(d->oids, count * sizeof *d->oids);
        d->oid_capacity = count;
    }
    for (uint32_t i = 0; i < count; i++)
        d->oids[i] = cursor_u32(c);
    m->truncate.oids = d->oids;
    m->truncate.count = count;
    m->truncate.cascade = (options & 1) != 0;
    m->truncate.restart_identity = (options & 2) != 0;
}

static void read_message(struct cursor *c, struct pgoutput_message *m)
{
    m->message.transactional = (cursor_u8(c) & 1) != 0;
    m->message.lsn = cursor_u64(c);
    m->message.prefix = cursor_text(c);
    m->message.content_len = cursor_u32(c);
    m->message.content = cursor_bytes(c, m->message.content_len);
}

static bool read_body(struct pgoutput *d, struct cursor *c, struct pgoutput_message *m)
{
    switch (m->type) {
    case PGOUTPUT_BEGIN:
        read_begin(c, m);
        return true;
    case PGOUTPUT_COMMIT:
        read_commit(c, m);
        return true;
    case PGOUTPUT_ORIGIN:
        m->origin.origin_lsn = cursor_u64(c);
        m->origin.name = cursor_text(c);
        return true;
    case PGOUTPUT_RELATION:
        read_relation(d, c, m);
        return true;
    case PGOUTPUT_TYPE:
        m->type_info.oid = cursor_u32(c);
        m->type_info.schema = cursor_text(c);
        m->type_info.name = cursor_text(c);
        return true;
    case PGOUTPUT_INSERT:
        read_insert(d, c, m);
        return true;
    case PGOUTPUT_UPDATE:
        read_update(d, c, m);
        return true;
    case PGOUTPUT_DELETE:
        read_delete(d, c, m);
        return true;
    case PGOUTPUT_TRUNCATE:
        read_truncate(d, c, m);
        return true;
    case PGOUTPUT_MESSAGE:
        read_message(c, m);
        return true;
    case PGOUTPUT_STREAM_START:
        read_stream_start(c, m);
        return true;
    case PGOUTPUT_STREAM_STOP:
        return true;
    case PGOUTPUT_STREAM_COMMIT:
        read_stream_commit(c, m);
        return true;
    case PGOUTPUT_STREAM_ABORT:
        read_stream_abort(c, m);
        return true;
    case PGOUTPUT_UNKNOWN:
        break;
    }
    return false;
}

bool pgoutput_decode(struct pgoutput *decoder, const void *bytes, size_t len, struct pgoutput_message *ret,
                     struct err *err)
{
    struct cursor c = {.p = bytes, .end = (const char *)bytes + len};
    struct pgoutput_message m;
    memset(&m, 0, sizeof m);
    m.type = (enum pgoutput_type)cursor_u8(&c);
    if (c.failed)
        return err_set(err, ERR_PROTOCOL, "pgoutput: empty message");
    if (!read_body(decoder, &c, &m))
        return err_set(err, ERR_PROTOCOL, "pgoutput: unknown message type 0x%02x (%zu bytes)",
                       (unsigned)m.type, len);
    if (c.failed || c.p != c.end)
        return err_set(err, ERR_PROTOCOL,
                       "pgoutput: malformed message '%c' of %zu bytes (stopped at byte %zu)", (int)m.type,
                       len, (size_t)(c.p - (const char *)bytes));
    *ret = m;
    return true;
}

bool pgoutput_streamed(const void *bytes, size_t len, uint32_t *ret_xid, const char **ret_body,
                       size_t *ret_body_len, struct err *err)
{
    struct cursor c = {.p = bytes, .end = (const char *)bytes + len};
    uint8_t type = cursor_u8(&c);
    uint32_t xid = cursor_u32(&c);
    if (c.failed || xid == 0 || type == '\0' || strchr("RYIUDTM", type) == NULL)
        return err_set(err, ERR_PROTOCOL, "pgoutput: malformed message 0x%02x of %zu bytes in a stream block",
                       (unsigned)type, len);
    *ret_xid = xid;
    *ret_body = c.p;
    *ret_body_len = cursor_left(&c);
    return true;
}
