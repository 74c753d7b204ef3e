/* Owns: the header, the checksum, the format and the small bodies of events; what is compressed becomes plain. See event.h. */
#include "maria/binlog/event.h"

#include <string.h>
#include <zlib.h>

#include "maria/binlog/bytes.h"

#define FORMAT_LENGTHS                                                                                       \
    57 /* of a FORMAT body: version, server, time, header's length; then one byte for each type of event */
#define CHECKSUM_BYTES  4
#define TABLE_ID_HEADER 8 /* post-header of table maps and rows: six bytes of the id, two of flags */

enum { /* the types that are not told outside */
       RAW_QUERY_COMPRESSED = 165,
       RAW_WRITE_COMPRESSED = 166,
       RAW_DELETE_COMPRESSED = 168,
       FLAG_IGNORABLE = 0x80
};

void binlog_decoder_init(struct binlog_decoder *d, size_t max_bytes, bool checksum)
{
    *d = (struct binlog_decoder){.checksum = checksum, .max_bytes = max_bytes};
    strbuf_init(&d->inflated, max_bytes);
}

void binlog_decoder_release(struct binlog_decoder *d)
{
    strbuf_release(&d->inflated);
}

static bool broken(const struct binlog_event *ev, const char *what, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "a broken event of the binlog (type %d, of server %u, ends at %u): %s",
                   (int)ev->type, ev->server_id, ev->next_pos, what);
}

static bool whole(const struct bytes *b, const struct binlog_event *ev, struct err *err)
{
    return !b->failed || broken(ev, "it ends too early", err);
}

static struct binlog_span rest_of(struct bytes *b)
{
    struct binlog_span span = {.p = (const char *)b->p, .len = bytes_left(b)};
    b->p = b->end;
    return span;
}

static struct binlog_span span_of(struct bytes *b, uint64_t len)
{
    const uint8_t *p = bytes_take(b, len);
    return (struct binlog_span){.p = p != NULL ? (const char *)p : "", .len = p != NULL ? (size_t)len : 0};
}

/* One byte: 0x80, the algorithm (0 = zlib) in bits 4 to 6, the count of bytes of the length in bits 0 to 2; the length, big end
 * first; a stream of zlib. */
static bool inflate_rest(struct binlog_decoder *d, struct bytes *b, const struct binlog_event *ev,
                         struct err *err)
{
    uint64_t head = bytes_le(b, 1), size = head & 0x07;
    if (b->failed || (head & 0xf8) != 0x80 || size < 1 || size > 4)
        return broken(ev, "an unknown compression", err);
    const uint8_t *p = bytes_take(b, size);
    if (p == NULL)
        return broken(ev, "it ends too early", err);
    uint64_t len = bytes_be_at(p, size);
    if (len > d->max_bytes)
        return err_set(err, ERR_NO_MEMORY,
                       "a compressed event of the binlog has %llu bytes, more than the %zu that are allowed. "
                       "Hint: raise "
                       "max_event_bytes",
                       (unsigned long long)len, d->max_bytes);
    strbuf_clear(&d->inflated);
    char *room = strbuf_reserve(&d->inflated, (size_t)len + 1);
    uLongf got = (uLongf)len;
    if (room == NULL) /* exactly as large as the limit: the byte of the end has no room */
        return err_set(err, ERR_NO_MEMORY, "no memory for a compressed event of the binlog");
    if (uncompress((Bytef *)room, &got, b->p, (uLong)bytes_left(b)) != Z_OK || got != len)
        return broken(ev, "its compressed part does not come to its length", err);
    d->inflated.len += (size_t)len;
    *b = bytes_of(room, (size_t)len);
    return true;
}

static bool decode_format(struct binlog_decoder *d, struct bytes *b, const struct binlog_event *ev,
                          struct err *err)
{
    const uint8_t *p = b->p;
    size_t len = bytes_left(b);
    if (len < FORMAT_LENGTHS + 1 + CHECKSUM_BYTES)
        return broken(ev, "it ends too early", err);
    if (bytes_le_at(p, 2) != 4 || p[56] != BINLOG_HEADER_BYTES)
        return err_set(err, ERR_UNSUPPORTED, "a binlog of version %u: 4 is read",
                       (unsigned)bytes_le_at(p, 2));
    size_t types = len - FORMAT_LENGTHS - 1 - CHECKSUM_BYTES;
    if (types < BINLOG_GTID_LIST || p[FORMAT_LENGTHS + BINLOG_TABLE_MAP - 1] != TABLE_ID_HEADER ||
        p[FORMAT_LENGTHS + BINLOG_WRITE_ROWS - 1] != TABLE_ID_HEADER)
        return err_set(err, ERR_UNSUPPORTED, "a binlog that a server other than MariaDB 10.6 or later wrote");
    uint8_t algorithm = p[FORMAT_LENGTHS + types];
    if (algorithm > 1)
        return err_set(err, ERR_UNSUPPORTED, "a binlog with checksums of kind %u: NONE and CRC32 are read",
                       algorithm);
    memcpy(d->server, p + 2, 50);
    d->server[50] = '\0';
    d->checksum = algorithm == 1;
    d->has_format = true;
    return true;
}

static bool decode_gtid(struct bytes *b, struct binlog_event *ev)
{
    ev->gtid.id.seq = bytes_le(b, 8);
    ev->gtid.id.domain = (uint32_t)bytes_le(b, 4);
    ev->gtid.id.server = ev->server_id;
    ev->gtid.flags = (uint8_t)bytes_le(b, 1);
    ev->gtid.commit_id = (ev->gtid.flags & BINLOG_GTID_COMMIT_ID) != 0 ? bytes_le(b, 8) : 0;
    if ((ev->gtid.flags & (BINLOG_GTID_PREPARED_XA | BINLOG_GTID_COMPLETED_XA)) == 0)
        return !b->failed;
    struct binlog_xid *xid = &ev->gtid.xid;
    xid->format = (uint32_t)bytes_le(b, 4);
    xid->gtrid_len = (uint8_t)bytes_le(b, 1);
    xid->bqual_len = (uint8_t)bytes_le(b, 1);
    size_t len = (size_t)xid->gtrid_len + xid->bqual_len;
    const uint8_t *p = len <= BINLOG_XID_MAX ? bytes_take(b, len) : NULL;
    if (p == NULL)
        return false;
    memcpy(xid->bytes, p, len);
    ev->gtid.has_xid = true;
    return true;
}

static bool decode_prepare(struct bytes *b, struct binlog_event *ev)
{
    struct binlog_xid *xid = &ev->prepare.xid;
    ev->prepare.one_phase = bytes_le(b, 1) != 0;
    xid->format = (uint32_t)bytes_le(b, 4);
    uint64_t gtrid = bytes_le(b, 4), bqual = bytes_le(b, 4);
    if (b->failed || gtrid > 64 || bqual > 64)
        return false;
    xid->gtrid_len = (uint8_t)gtrid;
    xid->bqual_len = (uint8_t)bqual;
    const uint8_t *p = bytes_take(b, gtrid + bqual);
    if (p != NULL)
        memcpy(xid->bytes, p, (size_t)(gtrid + bqual));
    return p != NULL;
}

static bool decode_query(struct binlog_decoder *d, struct bytes *b, bool compressed, struct binlog_event *ev,
                         struct err *err)
{
    (void)bytes_take(b, 8); /* session, seconds */
    uint64_t database = bytes_le(b, 1);
    ev->query.error = (uint16_t)bytes_le(b, 2);
    uint64_t status = bytes_le(b, 2);
    (void)bytes_take(b, status);
    ev->query.database = span_of(b, database);
    (void)bytes_take(b, 1); /* NUL */
    if (!whole(b, ev, err) || (compressed && !inflate_rest(d, b, ev, err)))
        return false;
    ev->query.text = rest_of(b);
    return true;
}

static bool decode_rows(struct binlog_decoder *d, struct bytes *b, bool compressed, struct binlog_event *ev,
                        struct err *err)
{
    ev->rows.table_id = bytes_le(b, 6);
    ev->rows.flags = (uint16_t)bytes_le(b, 2);
    uint64_t columns = bytes_packed(b);
    if (columns > 4096)
        return broken(ev, "more than 4096 columns", err);
    ev->rows.columns = (size_t)columns;
    size_t bitmap = (ev->rows.columns + 7) / 8;
    const uint8_t *first = bytes_take(b, bitmap);
    bool update = ev->type == BINLOG_UPDATE_ROWS;
    ev->rows.before = ev->type == BINLOG_WRITE_ROWS ? NULL : first;
    ev->rows.after = update ? bytes_take(b, bitmap) : ev->type == BINLOG_WRITE_ROWS ? first : NULL;
    if (!whole(b, ev, err) || (compressed && !inflate_rest(d, b, ev, err)))
        return false;
    ev->rows.rows = rest_of(b);
    return true;
}

static bool decode_small(struct bytes *b, struct binlog_event *ev, struct err *err)
{
    bool ok = true;
    switch (ev->type) {
    case BINLOG_ROTATE:
        ev->rotate.pos = bytes_le(b, 8);
        ev->rotate.file = rest_of(b);
        break;
    case BINLOG_HEARTBEAT:
        ev->rotate.file = rest_of(b);
        break;
    case BINLOG_GTID:
        ok = decode_gtid(b, ev);
        break;
    case BINLOG_XA_PREPARE:
        ok = decode_prepare(b, ev);
        break;
    case BINLOG_XID:
        ev->xid = bytes_le(b, 8);
        break;
    case BINLOG_TABLE_MAP:
        ev->table_map.table_id = bytes_le(b, 6);
        (void)bytes_take(b, 2);
        ev->table_map.body = rest_of(b);
        break;
    case BINLOG_INCIDENT:
        ev->incident.number = (uint16_t)bytes_le(b, 2);
        ev->incident.text = span_of(b, bytes_le(b, 1));
        break;
    default: /* of the caller's own */
        break;
    }
    return ok ? whole(b, ev, err) : broken(ev, "it ends too early", err);
}

static bool unknown(const struct binlog_event *ev, unsigned type, struct err *err)
{
    if ((ev->flags & FLAG_IGNORABLE) != 0)
        return true;
    bool statement = type == 5 || (type >= 13 && type <= 18); /* values of a statement, and LOAD DATA */
    return statement
               ? err_set(err, ERR_UNSUPPORTED,
                         "an event of type %u: changes are logged as statements. Hint: set binlog_format=ROW",
                         type)
               : err_set(err, ERR_UNSUPPORTED, "an event of type %u, which is not known", type);
}

static bool decode_body(struct binlog_decoder *d, struct bytes *b, unsigned type, struct binlog_event *ev,
                        struct err *err)
{
    bool compressed = type >= RAW_QUERY_COMPRESSED && type <= RAW_DELETE_COMPRESSED;
    switch (ev->type) {
    case BINLOG_FORMAT:
        return decode_format(d, b, ev, err);
    case BINLOG_QUERY:
        return decode_query(d, b, compressed, ev, err);
    case BINLOG_WRITE_ROWS:
    case BINLOG_UPDATE_ROWS:
    case BINLOG_DELETE_ROWS:
        return decode_rows(d, b, compressed, ev, err);
    case BINLOG_ROTATE:
    case BINLOG_HEARTBEAT:
    case BINLOG_GTID:
    case BINLOG_XA_PREPARE:
    case BINLOG_XID:
    case BINLOG_TABLE_MAP:
    case BINLOG_INCIDENT:
    case BINLOG_STOP:
    case BINLOG_ANNOTATE:
    case BINLOG_CHECKPOINT:
    case BINLOG_GTID_LIST:
    case BINLOG_START_ENCRYPTION:
        return decode_small(b, ev, err);
    case BINLOG_UNKNOWN_EVENT:
        break;
    }
    ev->type = BINLOG_UNKNOWN_EVENT;
    return unknown(ev, type, err);
}

static enum binlog_event_type plain_type(unsigned type)
{
    if (type == RAW_QUERY_COMPRESSED)
        return BINLOG_QUERY;
    if (type >= RAW_WRITE_COMPRESSED && type <= RAW_DELETE_COMPRESSED)
        return (enum binlog_event_type)(BINLOG_WRITE_ROWS + (type - RAW_WRITE_COMPRESSED));
    return (enum binlog_event_type)type;
}

/* A FORMAT event has the bytes of a checksum whatever it says of the others. */
static bool check_sum(const struct binlog_decoder *d, const uint8_t *bytes, size_t *len,
                      const struct binlog_event *ev, struct err *err)
{
    bool format = ev->type == BINLOG_FORMAT;
    bool summed = format ? *len > CHECKSUM_BYTES && bytes[*len - CHECKSUM_BYTES - 1] == 1 : d->checksum;
    if (!summed)
        return true;
    if (*len < BINLOG_HEADER_BYTES + CHECKSUM_BYTES)
        return broken(ev, "no room for its checksum", err);
    size_t body = *len - CHECKSUM_BYTES;
    if (crc32(crc32(0, NULL, 0), bytes, (uInt)body) != bytes_le_at(bytes + body, CHECKSUM_BYTES))
        return broken(ev,
                      "its checksum is wrong. Hint: look at the server's disk and network, and at its "
                      "error log (mariadb-binlog --verify-binlog-checksum reads the file)",
                      err);
    *len = format ? *len : body;
    return true;
}

bool binlog_decode(struct binlog_decoder *d, const void *bytes, size_t len, struct binlog_event *ret,
                   struct err *err)
{
    const uint8_t *p = bytes;
    struct binlog_event ev = {0};
    if (len > d->max_bytes || len > UINT32_MAX)
        return err_set(err, ERR_NO_MEMORY,
                       "an event of the binlog has %zu bytes, more than the %zu that are allowed. Hint: a "
                       "row is as large: raise "
                       "max_event_bytes",
                       len, d->max_bytes);
    if (len < BINLOG_HEADER_BYTES)
        return broken(&ev, "it is shorter than its header", err);
    ev = (struct binlog_event){.time_s = (uint32_t)bytes_le_at(p, 4),
                               .type = plain_type(p[4]),
                               .server_id = (uint32_t)bytes_le_at(p + 5, 4),
                               .next_pos = (uint32_t)bytes_le_at(p + 13, 4),
                               .flags = (uint16_t)bytes_le_at(p + 17, 2)};
    if (bytes_le_at(p + 9, 4) != len)
        return broken(&ev, "it is not as long as it says", err);
    if (!check_sum(d, p, &len, &ev, err))
        return false;
    struct bytes b = bytes_of(p + BINLOG_HEADER_BYTES, len - BINLOG_HEADER_BYTES);
    if (!decode_body(d, &b, p[4], &ev, err))
        return false;
    *ret = ev;
    return true;
}
