/* Owns: the text that is signed, and an approval as the detail of a row. See approval.h. */
#include "cutover/approval/approval.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/strbuf.h"

#define FORMAT   "crossfade approval 1"
#define TEXT_MAX 65536

static void add(struct strbuf *sb, const char *text)
{
    strbuf_addf(sb, "%zu:", strlen(text));
    strbuf_adds(sb, text);
    strbuf_addc(sb, ',');
}

/* As the chain's rows: each text with its length, so that nothing can move from one into the next. */
static bool signed_text(const struct approval *a, struct strbuf *out, struct err *err)
{
    char issued[ISO_TIME_MAX], expires[ISO_TIME_MAX];
    const char *const parts[] = {
        FORMAT,     a->pipeline, a->plan, approval_kind_name(a->kind),     a->approver,
        a->os_user, a->db_user,  a->host, clock_iso(a->issued_us, issued), clock_iso(a->expires_us, expires),
        a->nonce,   a->note};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        add(out, parts[i]);
    return strbuf_ok(out, "an approval", err);
}

bool approval_sign(struct approval *a, const struct ed25519_key *key, struct err *err)
{
    struct strbuf text = STRBUF_INIT(TEXT_MAX);
    bool ok = signed_text(a, &text, err) && ed25519_sign(key, text.data, text.len, a->signature, err);
    strbuf_release(&text);
    return ok;
}

bool approval_holds(const struct approval *a, const char *public_key, struct err *err, bool *ret)
{
    struct strbuf text = STRBUF_INIT(TEXT_MAX);
    bool ok = signed_text(a, &text, err);
    if (ok)
        *ret = ed25519_verify(public_key, text.data, text.len, a->signature);
    strbuf_release(&text);
    return ok;
}

json_t *approval_json(const struct approval *a)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s}", "kind", approval_kind_name(a->kind), "plan",
                     a->plan, "approver", a->approver, "issued_us", (json_int_t)a->issued_us, "expires_us",
                     (json_int_t)a->expires_us, "nonce", a->nonce, "note", a->note, "signature",
                     a->signature);
}

/* Cut texts do not hold: the signature is over all of them. */
static bool take(char *to, size_t size, const char *from)
{
    if (from == NULL || strlen(from) >= size)
        return false;
    memcpy(to, from, strlen(from) + 1);
    return true;
}

static bool take_text(const json_t *j, const char *key, char *to, size_t size)
{
    return take(to, size, json_string_value(json_object_get(j, key)));
}

static bool parse(const json_t *j, const struct audit_row *row, struct approval *ret)
{
    const char *kind = json_string_value(json_object_get(j, "kind"));
    *ret = (struct approval){.kind = approval_kind_parse(kind != NULL ? kind : ""),
                             .issued_us = json_integer_value(json_object_get(j, "issued_us")),
                             .expires_us = json_integer_value(json_object_get(j, "expires_us"))};
    return ret->kind != APPROVAL_KINDS && take(ret->pipeline, sizeof ret->pipeline, row->pipeline) &&
           take(ret->os_user, sizeof ret->os_user, row->os_user) &&
           take(ret->db_user, sizeof ret->db_user, row->db_user) &&
           take(ret->host, sizeof ret->host, row->host) &&
           take_text(j, "plan", ret->plan, sizeof ret->plan) &&
           take_text(j, "approver", ret->approver, sizeof ret->approver) &&
           take_text(j, "nonce", ret->nonce, sizeof ret->nonce) &&
           take_text(j, "note", ret->note, sizeof ret->note) &&
           take_text(j, "signature", ret->signature, sizeof ret->signature);
}

bool approval_parse(const struct audit_row *row, struct approval *ret)
{
    json_t *j = json_loads(row->detail, 0, NULL);
    bool ok = j != NULL && parse(j, row, ret);
    json_decref(j);
    return ok;
}
