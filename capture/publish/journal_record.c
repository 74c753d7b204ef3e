/* See journal_record.h. */
#include "capture/publish/journal_record.h"

#include "change/codec.h"

struct journal_record cap_journal_record(const struct cap_batch *b, const struct cap_record *r,
                                         lsn_t commit_lsn, uint32_t *id_be)
{
    static const char *const header_names[] = {
        [CAP_HEADER_NEW_KEY] = HEADER_NEW_KEY,
        [CAP_HEADER_OLD_KEY] = HEADER_OLD_KEY,
        [CAP_HEADER_COPYING] = HEADER_COPYING,
    };
    struct journal_record rec = {.partition = -1, .lsn = commit_lsn};
    *id_be = __builtin_bswap32(r->schema_id);
    if (r->key_len != CAP_NONE) {
        rec.key = b->bytes.data + r->key_at;
        rec.key_len = r->key_len;
    }
    if (r->value_len != CAP_NONE) {
        rec.value = b->bytes.data + r->value_at;
        rec.value_len = r->value_len;
    }
    if (r->header != CAP_HEADER_NONE)
        rec.headers[rec.header_count++] =
            (struct journal_header){header_names[r->header], b->bytes.data + r->header_at,
                                    r->header_len != CAP_NONE ? r->header_len : 0};
    if (r->schema_id != 0)
        rec.headers[rec.header_count++] = (struct journal_header){HEADER_SCHEMA_ID, id_be, sizeof *id_be};
    return rec;
}
