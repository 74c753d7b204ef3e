/*
 * What stands in the journal in place of a column's values (source.filters: mask). A mask is applied where a value is read, before
 * anything else sees it; null stays null, and a value that was not sent stays one. hash is what Debezium's
 * column.mask.hash.v2 gives: SHA-256 over salt and value in hex, cut to the column's length.
 * @thread: any, but cap_mask_plan() (the owner of types and side)
 */
#ifndef CAPTURE_MASK_H
#define CAPTURE_MASK_H

#include "config/table_rules.h"
#include "core/arena.h"
#include "pg/source.h"
#include "pg/types/read.h"

struct cap_mask {
    enum mask_kind kind;
    uint32_t first, last; /* PARTIAL */
    uint32_t length;      /* HASH: of the column in characters, 0 = no limit */
    bool padded;          /* … blanks up to there */
    const char *salt;     /* HASH: the rules' */
    char *fixed;          /* FIXED: as the server sends it */
    uint32_t fixed_len;
};

/* Whether the mask fits the column, and how it is done. `side` is idle. ERR_CONFIG says what does not fit and what to do. */
bool cap_mask_plan(const struct mask_rule *rule, const char *salt, const struct source_column *column,
                   const struct pg_column_reader *reader, struct pg_type_catalog *types, struct pg_conn *side,
                   struct cap_mask *ret, struct err *err) MUST_CHECK;
void cap_mask_release(struct cap_mask *mask);
/* bytes: a value that is not null, as the server sent it. */
bool cap_mask_value(const struct cap_mask *mask, const struct pg_column_reader *reader, const char *bytes,
                    uint32_t len, struct arena *arena, struct datum *ret, struct err *err) MUST_CHECK;

/* With the NUL. */
#define CAP_RULE_DIGEST 17
/* Of all rules for a table, and a little of the salt: enough to notice another one, too little to try salts out by. */
void cap_mask_rule_digest(const struct table_rules *rules, const char *schema, const char *table,
                          char ret[CAP_RULE_DIGEST]);

#endif
