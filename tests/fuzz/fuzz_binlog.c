/*
 * The decoders of MariaDB's binlog: a stream of events as a replica gets it, without the network. An input is a byte of options and
 * events one after the other, each as long as its header says (the length is put right, and there are no checksums but a FORMAT event's own, so that a fuzzer need
 * not find them). What is accepted must lie inside of the event; values must be such as their fields can hold.
 */
#include "change/nested.h"
#include "core/utf8.h"
#include "fuzz.h"
#include "maria/binlog/bytes.h"
#include "maria/binlog/event.h"
#include "maria/binlog/rows.h"
#include "maria/binlog/shape.h"

#define MAX_BYTES ((size_t)1 << 20)

static struct charsets *sets;

struct run {
    struct binlog_decoder decoder;
    struct arena arena, row_arena;
    struct strbuf scratch;
    char *body; /* of the table at hand */
    struct table_map map;
    struct shape shape;
    bool has_map, has_shape, zero_null;
};

static void judge(const struct err *err)
{
    FUZZ_REQUIRE(err->code != ERR_NONE && err->code != ERR_BUG && err->text[0] != '\0', "error %d: %s",
                 (int)err->code, err->text);
}

static void drop_table(struct run *r)
{
    if (r->has_shape)
        shape_release(&r->shape, false);
    r->has_shape = r->has_map = false;
    arena_clear(&r->arena);
    free(r->body);
    r->body = NULL;
}

static void take_map(struct run *r, const struct binlog_event *ev)
{
    struct err err = ERR_INIT;
    const struct shape_options options = {.topic_prefix = "p", .zero_date_null = r->zero_null};
    size_t len = ev->table_map.body.len;
    drop_table(r);
    r->body = malloc(len + 1); /* of its exact size but for an empty one: reading beyond is seen */
    if (r->body == NULL)
        abort();
    memcpy(r->body, ev->table_map.body.p, len);
    r->has_map = table_map_decode((struct binlog_span){r->body, len}, &r->arena, &r->map, &err);
    if (!r->has_map) {
        judge(&err);
        return;
    }
    for (size_t i = 0; i < r->map.count; i++)
        (void)fuzz_touch(r->map.columns[i].name.p, r->map.columns[i].name.len);
    if (!r->map.has_names)
        return;
    r->has_shape = shape_make(&r->map, NULL, sets, &options, &r->shape, &err);
    if (!r->has_shape)
        judge(&err);
}

static void check_datum(const struct field *f, const struct datum *d)
{
    if (d->state == DATUM_NULL) {
        FUZZ_REQUIRE(f->optional, "a null that cannot be");
        return;
    }
    if (f->phys == PHYS_STRING)
        FUZZ_REQUIRE(utf8_valid(d->s.p, d->s.len), "a text that is none");
    if (f->phys == PHYS_STRING || f->phys == PHYS_BYTES || f->phys == PHYS_STRUCT)
        (void)fuzz_touch(d->s.p, d->s.len);
    if (f->phys == PHYS_STRUCT)
        FUZZ_REQUIRE(nested_valid(f, d->s.p, d->s.len), "a struct that is none");
    if (f->phys == PHYS_INT16)
        FUZZ_REQUIRE(d->i >= INT16_MIN && d->i <= INT16_MAX, "%lld", (long long)d->i);
    if (f->phys == PHYS_INT32)
        FUZZ_REQUIRE(d->i >= INT32_MIN && d->i <= INT32_MAX, "%lld", (long long)d->i);
}

static void read_image(struct run *r, const struct row_value *values)
{
    const struct value_context ctx = {.arena = &r->row_arena, .scratch = &r->scratch};
    for (size_t i = 0; i < r->map.count; i++) {
        struct err err = ERR_INIT;
        struct datum d;
        if (values[i].p != NULL)
            (void)fuzz_touch(values[i].p, values[i].len);
        if (!r->has_shape)
            continue;
        if (value_read(&r->shape.plans[i], values[i], &ctx, &d, &err))
            check_datum(&r->shape.schema->fields[i], &d);
        else
            judge(&err);
    }
}

static void take_rows(struct run *r, const struct binlog_event *ev)
{
    static struct row_value before[TABLE_MAP_COLUMNS_MAX], after[TABLE_MAP_COLUMNS_MAX];
    struct err err = ERR_INIT;
    struct rows rows;
    if (!r->has_map)
        return;
    bool ok = rows_open(&r->map, ev, &rows, &err);
    while (ok && rows_more(&rows)) {
        arena_clear(&r->row_arena);
        ok = rows_next(&rows, before, after, &err);
        if (ok && rows.has_before)
            read_image(r, before);
        if (ok && rows.has_after)
            read_image(r, after);
    }
    if (!ok)
        judge(&err);
}

static void take_event(struct run *r, const uint8_t *bytes, size_t len)
{
    struct err err = ERR_INIT;
    struct binlog_event ev;
    if (!binlog_decode(&r->decoder, bytes, len, &ev, &err)) {
        judge(&err);
        return;
    }
    if (ev.type == BINLOG_TABLE_MAP)
        take_map(r, &ev);
    else if (ev.type == BINLOG_WRITE_ROWS || ev.type == BINLOG_UPDATE_ROWS || ev.type == BINLOG_DELETE_ROWS)
        take_rows(r, &ev);
    else if (ev.type == BINLOG_QUERY)
        (void)(fuzz_touch(ev.query.text.p, ev.query.text.len) +
               fuzz_touch(ev.query.database.p, ev.query.database.len));
    else if (ev.type == BINLOG_ROTATE || ev.type == BINLOG_HEARTBEAT)
        (void)fuzz_touch(ev.rotate.file.p, ev.rotate.file.len);
    else if (ev.type == BINLOG_INCIDENT)
        (void)fuzz_touch(ev.incident.text.p, ev.incident.text.len);
    else if (ev.type == BINLOG_GTID && ev.gtid.has_xid)
        FUZZ_REQUIRE((size_t)ev.gtid.xid.gtrid_len + ev.gtid.xid.bqual_len <= BINLOG_XID_MAX, "a long name");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (sets == NULL)
        sets = charsets_plain();
    if (len < 1)
        return 0;
    struct run r = {.zero_null = (bytes[0] & 1) != 0};
    struct bytes b = bytes_of(bytes + 1, len - 1);
    binlog_decoder_init(&r.decoder, MAX_BYTES, false);
    arena_init(&r.arena, 1024, MAX_BYTES);
    arena_init(&r.row_arena, 1024, MAX_BYTES);
    strbuf_init(&r.scratch, MAX_BYTES);
    while (bytes_left(&b) >= BINLOG_HEADER_BYTES) {
        size_t size = (size_t)bytes_le_at(b.p + 9, 4);
        size = size < BINLOG_HEADER_BYTES || size > bytes_left(&b) ? bytes_left(&b) : size;
        uint8_t *event = malloc(size);
        if (event == NULL)
            abort();
        memcpy(event, bytes_take(&b, size), size);
        for (size_t i = 0; i < 4; i++)
            event[9 + i] = (uint8_t)(size >> (8 * i));
        r.decoder.checksum = false;
        take_event(&r, event, size);
        free(event);
    }
    drop_table(&r);
    arena_release(&r.arena);
    arena_release(&r.row_arena);
    strbuf_release(&r.scratch);
    binlog_decoder_release(&r.decoder);
    return 0;
}
