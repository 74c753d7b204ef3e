/* Owns: how texts of keys become values of each server again. See pairing.h. */
#include "pairing.h"

#include <stdio.h>
#include <string.h>

#include "canonical_family.h"
#include "core/alloc.h"
#include "maria/quote.h"
#include "pg/conn.h"

#define OID_BYTEA      17
#define KEY_BYTES_MOST 1000 /* a longer one's form may be its hash (canonical_mariadb.c) */

static struct mariadb_column describe(const struct cat_column *c)
{
    struct mariadb_column described = {
        .name = c->name, .type = c->type, .collation = c->collation, .json = c->json, .latest = c->latest};
    mariadb_column_describe(&described);
    return described;
}

bool mariadb_pair(const struct cat_column *source, const struct cat_column *target, enum target_unfit unfit,
                  struct canonical *ret, char **ret_reason)
{
    const struct mariadb_column described = describe(target);
    return canonical_forms_mariadb(source, &described, unfit, ret, ret_reason);
}

enum maria_kind mariadb_kind(const struct cat_column *target)
{
    return describe(target).kind;
}

bool mariadb_may_be_longer(const struct cat_column *target, long long bytes)
{
    const struct mariadb_column described = describe(target);
    bool text = described.kind == MARIA_CHAR || described.kind == MARIA_TEXT;
    return text && (described.most <= 0 || described.most * (described.bytes ? 1 : 4) > bytes);
}

bool mariadb_sorts_alike(const struct cat_column *source, const struct cat_column *target)
{
    const struct mariadb_column described = describe(target);
    return canonical_sorts_alike_mariadb(source, &described);
}

/* What makes a value of the text of a key. False: nothing does. */
static bool wrap_target(const struct mariadb_column *target, struct plan_key *key)
{
    const char *head = "CAST(", *tail = "";
    char decimal[40];
    switch (target->kind) {
    case MARIA_INT:
        tail = strstr(target->type, "unsigned") != NULL ? " AS UNSIGNED)" : " AS SIGNED)";
        break;
    case MARIA_DECIMAL:
        (void)snprintf(decimal, sizeof decimal, " AS DECIMAL(65,%d))", target->scale);
        tail = decimal;
        break;
    case MARIA_DATE:
        tail = " AS DATE)";
        break;
    case MARIA_TIME:
        tail = " AS TIME(6))";
        break;
    case MARIA_DATETIME:
        tail = " AS DATETIME(6))";
        break;
    case MARIA_BYTES:
    case MARIA_BINARY:
        if (target->most <= 0 || target->most > KEY_BYTES_MOST)
            return false;
        head = "UNHEX(";
        tail = ")";
        break;
    case MARIA_CHAR:
    case MARIA_TEXT:
        head = "";
        break;
    case MARIA_FLOAT:
    case MARIA_DOUBLE:
    case MARIA_BIT:
    case MARIA_ENUM:
    case MARIA_UUID:
    case MARIA_INET4:
    case MARIA_INET6:
    case MARIA_OTHER:
        return false;
    }
    key->head[SIDE_TARGET] = xstrdup(head);
    key->tail[SIDE_TARGET] = xstrdup(tail);
    return true;
}

/* "CONVERT(… USING utf8mb4) COLLATE utf8mb4_bin": by the column's collation, or its index does not serve. */
static void seek_text(const struct mariadb_column *target, struct plan_key *key)
{
    const char *collation = target->collation;
    key->seek_head[SIDE_TARGET] = xstrdup("CONVERT(");
    key->seek_tail[SIDE_TARGET] =
        xasprintf(" USING %.*s) COLLATE %s", (int)strcspn(collation, "_"), collation, collation);
}

/* Texts are found under any collation: those that are the same are equal. All others must not be put together by their types. */
static void plan_seek(const struct cat_column *source, const struct mariadb_column *target,
                      struct plan_key *key)
{
    enum canonical_family f = canonical_family(source);
    bool text = target->kind == MARIA_CHAR || target->kind == MARIA_TEXT;
    if (text && target->collation != NULL &&
        (key->native || f == CANON_TEXT || (f == CANON_BPCHAR && target->kind == MARIA_CHAR))) {
        seek_text(target, key);
    } else if (target->kind == MARIA_UUID && f == CANON_UUID) {
        key->seek_head[SIDE_TARGET] = xstrdup("CAST(");
        key->seek_tail[SIDE_TARGET] = xstrdup(" AS UUID)");
    } else if (!text && key->native) {
        key->seek_head[SIDE_TARGET] = xstrdup(key->head[SIDE_TARGET]);
        key->seek_tail[SIDE_TARGET] = xstrdup(key->tail[SIDE_TARGET]);
    } else {
        return;
    }
    key->seek_head[SIDE_SOURCE] = xstrdup("");
    key->seek_tail[SIDE_SOURCE] = xasprintf("::%s", source->type);
}

void mariadb_pair_key(const struct cat_column *source, const struct cat_column *target,
                      const struct plan_column *column, struct plan_key *key)
{
    struct strbuf columns[SIDE_COUNT] = {STRBUF_INIT(STRBUF_SQL_MAX), STRBUF_INIT(STRBUF_SQL_MAX)};
    strbuf_adds(&columns[SIDE_SOURCE], "t.");
    pg_quote_ident(&columns[SIDE_SOURCE], source->name);
    strbuf_adds(&columns[SIDE_TARGET], "t.");
    maria_quote_ident(&columns[SIDE_TARGET], target->name);
    for (int side = 0; side < SIDE_COUNT; side++) {
        key->column[side] = strbuf_detach(&columns[side]);
        if (column != NULL)
            key->text[side] = xstrdup(column->form[side]);
        else
            key->text[side] =
                xasprintf(side == SIDE_SOURCE ? "%s::text" : "CAST(%s AS CHAR)", key->column[side]);
    }
    const struct mariadb_column described = describe(target);
    /* what sorts apart may also take two values for one: then only texts tell */
    key->native =
        column != NULL && canonical_sorts_alike_mariadb(source, &described) && wrap_target(&described, key);
    if (key->native) {
        bool bytes = source->type_oid == OID_BYTEA;
        key->head[SIDE_SOURCE] = xstrdup(bytes ? "decode(" : "");
        key->tail[SIDE_SOURCE] = bytes ? xstrdup(",'hex')") : xasprintf("::%s", source->type);
    }
    if (column != NULL && !column->merges)
        plan_seek(source, &described, key);
}
