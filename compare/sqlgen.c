/* Owns: the way to a side's dialect. See sqlgen.h. */
#include "sqlgen.h"

#include "scope.h"

static const struct sql_ops *ops(const struct plan_table *pt, enum side side)
{
    return pt->dialect[side] == DIALECT_MARIADB ? &sql_mariadb : &sql_postgres;
}

void sql_add_columns(const struct plan_table *pt, enum side side,
                     void (*add_shown)(const char *form, struct strbuf *out), struct strbuf *out)
{
    for (size_t i = 0; i < pt->column_count; i++)
        add_shown(pt->columns[i].form[side], out);
    for (size_t i = 0; i < pt->column_count; i++) {
        if (pt->columns[i].shown_at > 0)
            add_shown(pt->columns[i].shown[side], out);
    }
}

const char *sql_lookup_from(const struct plan_table *pt, enum side side)
{
    return pt->whole[side] != NULL ? pt->whole[side] : pt->from[side];
}

void sql_add_inside(const struct plan_table *pt, enum side side, struct strbuf *out)
{
    if (pt->whole[side] != NULL)
        strbuf_adds(out, ", t." SCOPE_INSIDE);
}

void sql_range_digest(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                      int64_t limit_rows, struct strbuf *out)
{
    ops(pt, side)->range_digest(pt, side, bounds, limit_rows, out);
}

void sql_range_count(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                     struct strbuf *out)
{
    ops(pt, side)->range_count(pt, side, bounds, out);
}

void sql_range_rows(const struct plan_table *pt, enum side side, struct range_bounds bounds,
                    int64_t limit_rows, struct strbuf *out)
{
    ops(pt, side)->range_rows(pt, side, bounds, limit_rows, out);
}

void sql_range_walk(const struct plan_table *pt, enum side side, bool lower, int64_t offset_rows,
                    struct strbuf *out)
{
    ops(pt, side)->range_walk(pt, side, lower, offset_rows, out);
}

void sql_bucket_digests(const struct plan_table *pt, enum side side, unsigned bucket_count,
                        struct strbuf *out)
{
    ops(pt, side)->bucket_digests(pt, side, bucket_count, out);
}

void sql_bucket_rows(const struct plan_table *pt, enum side side, unsigned bucket_count, const char *buckets,
                     int64_t limit_rows, struct strbuf *out)
{
    ops(pt, side)->bucket_rows(pt, side, bucket_count, buckets, limit_rows, out);
}

void sql_rows_by_key(const struct plan_table *pt, enum side side, const struct key_list *keys,
                     struct strbuf *out)
{
    ops(pt, side)->rows_by_key(pt, side, keys, out);
}

void sql_rows_by_hash(const struct plan_table *pt, enum side side, const struct key_list *hashes,
                      struct strbuf *out)
{
    ops(pt, side)->rows_by_hash(pt, side, hashes, out);
}

static const struct sql_seek_ops *seek_ops(const struct plan_table *pt, enum side side)
{
    return pt->dialect[side] == DIALECT_MARIADB ? &sql_seek_mariadb : &sql_seek_postgres;
}

void sql_keys_digest(const struct plan_table *pt, enum side side, const struct key_list *keys,
                     struct strbuf *out)
{
    seek_ops(pt, side)->keys_digest(pt, side, keys, out);
}

void sql_keys_rows(const struct plan_table *pt, enum side side, const struct key_list *keys,
                   struct strbuf *out)
{
    seek_ops(pt, side)->keys_rows(pt, side, keys, out);
}
