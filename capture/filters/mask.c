/* Owns: how masks are made. See mask.h. OpenSSL's digests are seen here only. */
#include "capture/filters/mask.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/utf8.h"

#define SHA256_BYTES 32

static bool is_text(const struct pg_type *base)
{
    return base->oid == PG_OID_TEXT || base->oid == PG_OID_VARCHAR || base->oid == PG_OID_BPCHAR ||
           (base->wire == PG_WIRE_TEXT && base->name != NULL && strcmp(base->name, "citext") == 0);
}

/* char(n) and varchar(n): n; 0 = none. Modifiers of both count four bytes more (server: VARHDRSZ). */
static uint32_t length_of(const struct pg_type *base, int32_t typmod)
{
    bool limited = (base->oid == PG_OID_VARCHAR || base->oid == PG_OID_BPCHAR) && typmod > 4;
    return limited ? (uint32_t)(typmod - 4) : 0;
}

static bool type_name(const struct source_column *column, struct pg_conn *side, char **ret, struct err *err)
{
    char oid[16], typmod[16];
    const char *params[] = {oid, typmod};
    (void)snprintf(oid, sizeof oid, "%u", column->type_oid);
    (void)snprintf(typmod, sizeof typmod, "%d", column->typmod);
    return pg_query_text(side, "SELECT pg_catalog.format_type($1::oid, $2::int)", 2, params, ret, err);
}

/* The source's server reads the value, and says what it would send. */
static bool plan_fixed(const struct mask_rule *rule, const struct source_column *column,
                       const struct pg_column_reader *reader, uint32_t length, struct pg_conn *side,
                       struct cap_mask *mask, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    char *type CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (!type_name(column, side, &type, err))
        return false;
    if (length > 0 && utf8_count(rule->fixed) > length) /* a cast would cut it */
        return err_set(err, ERR_CONFIG, "mask fixed:%s is longer than %s: shorten it", rule->fixed, type);
    strbuf_adds(&sql, "SELECT ");
    pg_quote_literal(&sql, rule->fixed);
    strbuf_addf(&sql, "::%s%s", type, reader->as_text ? "::text" : "");
    bool ok = strbuf_ok(&sql, "SELECT", err) && pg_query_binary(side, sql.data, 0, NULL, &res, err);
    strbuf_release(&sql);
    if (!ok && err_policy(err->code) != POLICY_HALT)
        return false;
    if (!ok || pg_rows(res) != 1 || pg_is_null(res, 0, 0))
        return err_set(err, ERR_CONFIG,
                       "mask fixed:%s is no value of type %s: choose another, or mask by null", rule->fixed,
                       type);
    mask->fixed_len = (uint32_t)pg_cell_len(res, 0, 0);
    mask->fixed = xmalloc(mask->fixed_len + 1);
    memcpy(mask->fixed, pg_cell(res, 0, 0), mask->fixed_len);
    return true;
}

bool cap_mask_plan(const struct mask_rule *rule, const char *salt, const struct source_column *column,
                   const struct pg_column_reader *reader, struct pg_type_catalog *types, struct pg_conn *side,
                   struct cap_mask *ret, struct err *err)
{
    const struct pg_type *base;
    int32_t typmod = column->typmod;
    struct cap_mask mask = {.kind = rule->kind, .first = rule->first, .last = rule->last, .salt = salt};
    if (!pg_type_catalog_base(types, side, column->type_oid, &typmod, &base, err))
        return false;
    if ((rule->kind == MASK_HASH || rule->kind == MASK_PARTIAL) && !is_text(base))
        return err_set(
            err, ERR_CONFIG,
            "mask %s needs a text, and the column is of type %s: mask it by \"fixed:VALUE\" or \"null\", or "
            "leave it out (columns)",
            rule->kind == MASK_HASH ? "hash" : "partial", base->name);
    mask.length = length_of(base, typmod);
    mask.padded = base->oid == PG_OID_BPCHAR;
    if (rule->kind == MASK_FIXED && !plan_fixed(rule, column, reader, mask.length, side, &mask, err))
        return false;
    *ret = mask;
    return true;
}

void cap_mask_release(struct cap_mask *mask)
{
    free(mask->fixed);
    *mask = (struct cap_mask){0};
}

static bool give(char *text, size_t len, struct datum *ret, struct err *err)
{
    if (text == NULL)
        return err_set(err, ERR_NO_MEMORY, "no room for a masked value in the message's memory");
    ret->state = DATUM_VALUE;
    ret->s.p = text;
    ret->s.len = (uint32_t)len;
    return true;
}

static bool sha256(const char *salt, const char *bytes, size_t len, unsigned char *out)
{
    unsigned int size = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, salt, strlen(salt)) == 1 && EVP_DigestUpdate(ctx, bytes, len) == 1 &&
              EVP_DigestFinal_ex(ctx, out, &size) == 1 && size == SHA256_BYTES;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool by_hash(const struct cap_mask *mask, const char *bytes, uint32_t len, struct arena *arena,
                    struct datum *ret, struct err *err)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[SHA256_BYTES];
    if (!sha256(mask->salt, bytes, len, digest))
        return err_set(err, ERR_NO_MEMORY, "SHA-256 failed");
    size_t full = 2 * sizeof digest, want = mask->length > 0 && mask->length < full ? mask->length : full;
    size_t room = mask->padded && mask->length > want ? mask->length : want;
    char *text = arena_alloc(arena, room);
    for (size_t i = 0; text != NULL && i < room; i++)
        text[i] = i >= want ? ' ' : hex[i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2] & 15];
    return give(text, room, ret, err);
}

static size_t next_char(const char *bytes, size_t at, size_t len)
{
    size_t n = utf8_char_len(bytes + at, len - at);
    return at + (n > 0 ? n : 1);
}

static bool by_partial(const struct cap_mask *mask, const char *bytes, uint32_t len, struct arena *arena,
                       struct datum *ret, struct err *err)
{
    size_t count = 0, n = 0, out = 0, end = len;
    while (mask->padded && end > 0 &&
           bytes[end - 1] == ' ') /* blanks at the end of a char(n) are no characters */
        end--;
    for (size_t at = 0; at < end; at = next_char(bytes, at, end))
        count++;
    char *text = arena_alloc(arena, len);
    bool all = count <= (size_t)mask->first + mask->last; /* there would be nothing to hide */
    for (size_t at = 0, next; text != NULL && at < end; at = next, n++) {
        next = next_char(bytes, at, end);
        bool hidden = all || (n >= mask->first && n < count - mask->last);
        if (hidden) {
            text[out++] = '*';
        } else {
            memcpy(text + out, bytes + at, next - at);
            out += next - at;
        }
    }
    for (size_t i = end; text != NULL && i < len; i++)
        text[out++] = ' ';
    return give(text, out, ret, err);
}

bool cap_mask_value(const struct cap_mask *mask, const struct pg_column_reader *reader, const char *bytes,
                    uint32_t len, struct arena *arena, struct datum *ret, struct err *err)
{
    switch (mask->kind) {
    case MASK_HASH:
        return by_hash(mask, bytes, len, arena, ret, err);
    case MASK_PARTIAL:
        return by_partial(mask, bytes, len, arena, ret, err);
    case MASK_FIXED:
        ret->state = DATUM_VALUE;
        return pg_read_value(reader, mask->fixed, mask->fixed_len, reader->as_text, arena, ret, err);
    case MASK_NULL:
    case MASK_NONE:
        break;
    }
    *ret = (struct datum){.state = DATUM_NULL};
    return true;
}

void cap_mask_rule_digest(const struct table_rules *rules, const char *schema, const char *table,
                          char ret[CAP_RULE_DIGEST])
{
    unsigned char salt[SHA256_BYTES], all[SHA256_BYTES];
    struct strbuf text = STRBUF_INIT(STRBUF_SQL_MAX);
    table_rules_text(rules, schema, table, &text);
    BUG_UNLESS(sha256("crossfade ", table_rules_salt(rules), strlen(table_rules_salt(rules)), salt));
    strbuf_add(&text, salt, 2);
    BUG_UNLESS(sha256("", text.data, text.len, all));
    strbuf_release(&text);
    for (int i = 0; i < 8; i++)
        (void)snprintf(ret + 2 * (size_t)i, 3, "%02x", all[i]);
}
