/* Owns: the rows of a chunk on their way to a target that takes datums. See direct_internal.h. */
#include <stdlib.h>

#include "capture/direct/direct_internal.h"
#include "capture/publish/table_writer.h"
#include "core/alloc.h"
#include "pg/copy_binary.h"

struct direct_reader {
    struct cap_table_writer *tw; /* without a stream: it reads alone */
    struct pg_type_catalog *types;
    struct copy_binary
        *parser; /* large: made when a chunk begins. The plan has a reader of every table, for its schema */
    bool ended;
    struct arena arena;
};

static void stop(struct direct_reader *r)
{
    if (r->parser != NULL)
        copy_binary_release(r->parser);
    free(r->parser);
    r->parser = NULL;
}

void direct_reader_free(struct direct_reader *r)
{
    if (r == NULL)
        return;
    stop(r);
    cap_table_writer_free(r->tw);
    pg_type_catalog_free(r->types);
    arena_release(&r->arena);
    free(r);
}

bool direct_reader_open(const struct cap_session *s, const struct source_table *t, struct pg_conn *conn,
                        struct direct_reader **ret, struct err *err)
{
    struct direct_reader *r = xcalloc(1, sizeof *r);
    r->types = pg_type_catalog_new();
    arena_init(&r->arena, 16 << 10, CAP_MESSAGE_BYTES_MAX);
    if (!cap_table_writer_open(s, t, r->types, conn, NULL, &r->tw, err)) {
        direct_reader_free(r);
        return false;
    }
    *ret = r;
    return true;
}

const struct table_schema *direct_reader_schema(const struct direct_reader *r)
{
    return r->tw->schema;
}

bool direct_reader_as_text(const struct direct_reader *r, size_t column)
{
    return r->tw->readers[column].as_text;
}

void direct_reader_start(struct direct_reader *r)
{
    stop(r);
    r->parser = xcalloc(1, sizeof *r->parser);
    copy_binary_init(r->parser, (uint16_t)r->tw->schema->field_count);
    r->ended = false;
}

static bool pass_row(struct direct_reader *r, struct loader *ld, lsn_t lsn, struct err *err)
{
    arena_clear(&r->arena);
    return cap_table_writer_read(r->tw, r->parser->values, r->parser->column_count, &r->arena, r->tw->after,
                                 err) &&
           loader_put_row(ld, r->tw->after, lsn, err);
}

bool direct_reader_pass(struct direct_reader *r, struct loader *ld, const char *bytes, size_t len, lsn_t lsn,
                        uint64_t *ret_rows, struct err *err)
{
    *ret_rows = 0;
    if (len == 0)
        return r->ended || err_set(err, ERR_PROTOCOL, "binary COPY ended without its trailer");
    if (!copy_binary_feed(r->parser, bytes, len, err))
        return false;
    for (;;) {
        switch (copy_binary_next(r->parser, err)) {
        case COPY_ERROR:
            return false;
        case COPY_END:
            r->ended = true;
            return true;
        case COPY_MORE:
            return true;
        case COPY_ROW:
            if (!pass_row(r, ld, lsn, err))
                return false;
            (*ret_rows)++;
        }
    }
}
