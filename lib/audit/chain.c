/* Owns: the text that is hashed, and what a chain must be like. See chain.h. */
#include "audit/chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/strbuf.h"

#define FORMAT "crossfade audit 1"

const char audit_first_prev[SHA256_HEX] = "0000000000000000000000000000000000000000000000000000000000000000";

static void add(struct strbuf *sb, const char *text)
{
    strbuf_addf(sb, "%zu:", strlen(text));
    strbuf_adds(sb, text);
    strbuf_addc(sb, ',');
}

bool audit_hash(const struct audit_row *row, char ret[SHA256_HEX], struct err *err)
{
    struct strbuf text = STRBUF_INIT(4 * AUDIT_DETAIL_MAX + 65536);
    char seq[24];
    (void)snprintf(seq, sizeof seq, "%" PRId64, row->seq);
    const char *const parts[] = {FORMAT,          seq,        row->prev,    row->at,      row->pipeline,
                                 row->cutover_id, row->event, row->os_user, row->db_user, row->host,
                                 row->detail};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        add(&text, parts[i]);
    bool ok = strbuf_ok(&text, "a row of the audit chain", err);
    if (ok && !sha256_hex(text.data, text.len, ret))
        ok = err_set(err, ERR_NO_MEMORY, "SHA-256 failed");
    strbuf_release(&text);
    return ok;
}

static void found(struct audit_verdict *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void found(struct audit_verdict *v, const char *fmt, ...)
{
    v->finding_count++;
    if (v->shown == AUDIT_FINDINGS_SHOWN)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(v->findings[v->shown++], AUDIT_FINDING_MAX, fmt, ap);
    va_end(ap);
}

/* Numbers follow each other; what is not there was deleted, what is there twice was inserted. */
static void check_number(struct audit_verdict *v, const struct audit_row *row)
{
    int64_t next = v->last.seq + 1;
    if (row->seq > next)
        found(v, "missing: seq %" PRId64 " to %" PRId64 " (deleted, or moved)", next, row->seq - 1);
    else if (row->seq < next)
        found(v, "inserted: seq %" PRId64 " stands behind seq %" PRId64, row->seq, v->last.seq);
}

static void check_link(struct audit_verdict *v, const struct audit_row *row)
{
    const char *before = v->rows == 0 ? audit_first_prev : v->last.hash;
    if (strcmp(row->prev, before) != 0)
        found(v, "broken link: seq %" PRId64 " does not follow from seq %" PRId64, row->seq, v->last.seq);
}

/* A row that is not what it was: its own hash no longer fits. Text that is not even of the right form cannot. */
static bool check_content(struct audit_verdict *v, const struct audit_row *row, struct err *err)
{
    char hash[SHA256_HEX];
    struct err too_long = ERR_INIT;
    if (!audit_hash(row, hash, &too_long)) {
        if (too_long.code != ERR_NO_MEMORY)
            return err_set(err, too_long.code, "%s", too_long.text);
        found(v, "changed: seq %" PRId64 " is longer than any row", row->seq);
        return true;
    }
    if (strcmp(hash, row->hash) != 0)
        found(v, "changed: seq %" PRId64 " (%.40s, %.63s) is not what was written", row->seq, row->at,
              row->event);
    return true;
}

static void check_expected(struct chain_walk *walk, const struct audit_row *row)
{
    for (size_t i = 0; i < walk->expected_count; i++) {
        struct audit_expected *e = &walk->expected[i];
        if ((e->mark.seq == 0 || e->mark.seq == row->seq) && strcmp(e->mark.hash, row->hash) == 0)
            e->met = true;
    }
}

bool chain_walk_row(struct chain_walk *walk, const struct audit_row *row, struct err *err)
{
    struct audit_verdict *v = walk->verdict;
    check_number(v, row);
    check_link(v, row);
    if (!check_content(v, row, err))
        return false;
    check_expected(walk, row);
    v->rows++;
    v->last.seq = row->seq;
    (void)snprintf(v->last.hash, sizeof v->last.hash, "%s", row->hash);
    return true;
}

void chain_walk_end(struct chain_walk *walk, int64_t stored)
{
    struct audit_verdict *v = walk->verdict;
    if (stored != v->rows)
        found(v, "inserted: %" PRId64 " rows are stored, %" PRId64 " numbers were read", stored, v->rows);
    for (size_t i = 0; i < walk->expected_count; i++) {
        const struct audit_expected *e = &walk->expected[i];
        if (e->met)
            continue;
        if (e->mark.seq > v->last.seq)
            found(v, "cut off: %s knows seq %" PRId64 ", the chain ends at seq %" PRId64, e->from,
                  e->mark.seq, v->last.seq);
        else
            found(v,
                  "rewritten or cut off: the hash that %s knows (seq %" PRId64
                  ", %.12s…) is not in the chain",
                  e->from, e->mark.seq, e->mark.hash);
    }
}
