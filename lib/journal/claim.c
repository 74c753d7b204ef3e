/* Owns: one claim: its header and the value beside it, its bytes in the store. See claims.h. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "core/alloc.h"
#include "core/seal.h"

#define PIECE_BYTES ((size_t)1 << 20)
/* PostgreSQL's rows end before that, and so does whatever a forged header may make us allocate. */
#define CLAIM_BYTES_MAX ((uint64_t)3 << 30)

bool claim_store_open(const char *where, const char *folder, struct claim_store **ret, struct err *err)
{
    if (strstr(where, "://") != NULL)
        return err_set(err, ERR_CONFIG,
                       "journal.claim_store: \"%s\": there is only a directory, no such store", where);
    *ret = claim_store_dir_ops.open(where, folder);
    return true;
}

bool claim_text_next(void *ctx, const void **ret_piece, size_t *ret_len, struct err *err)
{
    struct claim_text *t = ctx;
    (void)err;
    *ret_piece = t->text;
    *ret_len = t->len;
    t->len = 0;
    return true;
}

bool claim_name_ok(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    size_t len = strspn(name, allowed);
    return name[len] == '\0' && len > 0 && len <= CLAIM_NAME_MAX && name[0] != '.';
}

/* --- the record --- */

const struct journal_header *claim_header(const struct journal_record *rec)
{
    for (size_t i = 0; i < rec->header_count; i++) {
        if (strcmp(rec->headers[i].name, HEADER_CLAIM) == 0)
            return &rec->headers[i];
    }
    return NULL;
}

static void hex_of(const unsigned char *bytes, size_t len, char *ret)
{
    for (size_t i = 0; i < len; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

static bool from_hex(const char *text, unsigned char *ret, size_t len)
{
    if (strlen(text) != 2 * len || strspn(text, "0123456789abcdef") != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        ret[i] = (unsigned char)byte;
    }
    return true;
}

static bool bad_header(const char *what, struct err *err)
{
    return err_set(err, ERR_PROTOCOL,
                   "header " HEADER_CLAIM " %s: the record is not of this pipeline's making", what);
}

static bool read_header(json_t *root, struct claim *ret, struct err *err)
{
    const char *id = NULL, *sha256 = NULL, *lsn = "", *key = NULL;
    json_int_t size = -1;
    unsigned char sum[SHA256_BYTES];
    if (json_unpack(root, "{s:s, s:I, s:s, s?s, s?s}", "id", &id, "size", &size, "sha256", &sha256, "lsn",
                    &lsn, "key", &key) != 0)
        return bad_header("lacks id, size or sha256", err);
    if (!claim_name_ok(id) || !from_hex(sha256, sum, sizeof sum) || size < 0 ||
        (uint64_t)size > CLAIM_BYTES_MAX || (key != NULL && !from_hex(key, ret->key, sizeof ret->key)))
        return bad_header("has a value that cannot be", err);
    ret->size = (uint64_t)size;
    ret->sealed = key != NULL;
    (void)snprintf(ret->id, sizeof ret->id, "%s", id);
    (void)snprintf(ret->sha256, sizeof ret->sha256, "%s", sha256);
    (void)snprintf(ret->lsn, sizeof ret->lsn, "%s", lsn);
    return true;
}

bool claim_decode(const struct journal_header *header, struct claim *ret, struct err *err)
{
    struct claim claim = {.size = 0};
    json_t *root = json_loadb(header->value != NULL ? header->value : "", header->value_len, 0, NULL);
    bool ok = root != NULL ? read_header(root, &claim, err) : bad_header("does not parse", err);
    json_decref(root);
    if (ok)
        *ret = claim;
    return ok;
}

static char *text_of(json_t *owned)
{
    char *text = json_dumps(owned, JSON_COMPACT);
    json_decref(owned);
    BUG_UNLESS(text != NULL);
    return text;
}

void claim_encode(const struct claim *claim, const char *path, char **ret_header, char **ret_value)
{
    json_int_t size = (json_int_t)claim->size;
    json_t *header = json_pack("{s:s, s:I, s:s, s:s}", "id", claim->id, "size", size, "sha256", claim->sha256,
                               "lsn", claim->lsn);
    if (claim->sealed) {
        char key[2 * SEAL_KEY_BYTES + 1];
        hex_of(claim->key, SEAL_KEY_BYTES, key);
        json_object_set_new(header, "key", json_string(key));
    }
    *ret_header = text_of(header);
    *ret_value = text_of(
        json_pack("{s:{s:s, s:I, s:s, s:s, s:s}}", HEADER_CLAIM, "about",
                  "This record's value is larger than the topic takes. It lies in Crossfade's claim store.",
                  "size", size, "sha256", claim->sha256, "id", claim->id, "path", path));
}

/* --- the bytes --- */

/* The value through the seal, piece by piece, and the seal's tag behind it. */
struct sealing {
    const char *left;
    size_t left_len;
    struct seal *seal; /* NULL = as it is */
    char *piece;
    uint8_t tag[SEAL_TAG_BYTES];
    bool ended;
};

static bool next_sealed(void *ctx, const void **ret_piece, size_t *ret_len, struct err *err)
{
    struct sealing *s = ctx;
    size_t len = MIN_OF(s->left_len, PIECE_BYTES);
    *ret_piece = s->left;
    *ret_len = len;
    if (s->seal == NULL) {
        s->left += len;
        s->left_len -= len;
        return true;
    }
    bool ok = true;
    if (len > 0) {
        memcpy(s->piece, s->left, len);
        ok = seal_piece(s->seal, s->piece, len);
        *ret_piece = s->piece;
    } else if (!s->ended) {
        ok = seal_end(s->seal, s->tag);
        *ret_piece = s->tag;
        *ret_len = sizeof s->tag;
        s->ended = true;
    }
    s->left += len;
    s->left_len -= len;
    return ok || err_set(err, ERR_IO, "claim store: sealing a claim: the cipher failed");
}

bool claim_put(struct claim_store *cs, struct claim *claim, const void *value, size_t len, bool encrypt,
               struct err *err)
{
    struct sealing s = {.left = value, .left_len = len};
    struct claim_source source = {next_sealed, &s};
    claim->size = len;
    claim->sealed = encrypt;
    if (!sha256_hex(value, len, claim->sha256))
        return err_set(err, ERR_IO, "claim store: SHA-256 failed");
    if (encrypt) {
        if (!seal_new(NULL, true, &s.seal, err))
            return false;
        s.piece = xmalloc(PIECE_BYTES);
        memcpy(claim->key, seal_key(s.seal), sizeof claim->key);
    }
    bool ok =
        (!encrypt || seal_begin(s.seal, 1, true)) || err_set(err, ERR_IO, "claim store: the cipher failed");
    ok = ok && claim_store_put(cs, claim->id, &source, err);
    seal_free(s.seal);
    free(s.piece);
    return ok;
}

static bool damaged(struct claim_store *cs, const struct claim *claim, struct err *err)
{
    char *path CLEANUP(free_ptr) = claim_store_path(cs, claim->id);
    return err_set(err, ERR_PROTOCOL,
                   "claim store (journal.claim_store): %s is damaged: it is not what was written", path);
}

static bool unseal(const struct claim *claim, char *bytes, bool *ret_holds, struct err *err)
{
    struct seal *seal;
    uint8_t tag[SEAL_TAG_BYTES];
    if (!seal_new(claim->key, true, &seal, err))
        return false;
    bool ok = seal_begin(seal, 1, false);
    for (uint64_t done = 0; ok && done < claim->size; done += PIECE_BYTES)
        ok = seal_piece(seal, bytes + done, MIN_OF(PIECE_BYTES, (size_t)(claim->size - done)));
    memcpy(tag, bytes + claim->size, sizeof tag);
    *ret_holds = ok && seal_holds(seal, tag);
    seal_free(seal);
    return ok || err_set(err, ERR_IO, "claim store: the cipher failed");
}

bool claim_get(struct claim_store *cs, const struct claim *claim, void **ret, struct err *err)
{
    char sha256[SHA256_HEX];
    size_t stored = (size_t)claim->size + (claim->sealed ? SEAL_TAG_BYTES : 0);
    char *bytes = malloc(stored + 1); /* the size is decided by data */
    bool holds = true;
    if (bytes == NULL)
        return err_set(err, ERR_NO_MEMORY, "claim store: no memory for a row of %" PRIu64 " bytes",
                       claim->size);
    bool ok = claim_store_get(cs, claim->id, bytes, stored, err) &&
              (!claim->sealed || unseal(claim, bytes, &holds, err));
    if (ok &&
        (!holds || !sha256_hex(bytes, (size_t)claim->size, sha256) || strcmp(sha256, claim->sha256) != 0))
        ok = damaged(cs, claim, err);
    if (!ok) {
        free(bytes);
        return false;
    }
    *ret = bytes;
    return true;
}
