/* Owns: the reader's side of claims: the value comes back in place of the claim. See claims.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "core/alloc.h"

struct claim_reader {
    char *where, *prefix; /* where NULL: no store is configured */
    struct claim_store *store;
    bool audit;
    void *value; /* of the record at hand */
};

struct claim_reader *claim_reader_new(const struct journal_config *config)
{
    struct claim_reader *cr = xcalloc(1, sizeof *cr);
    cr->where = config->claim_store != NULL ? xstrdup(config->claim_store) : NULL;
    cr->prefix = xstrdup(config->topic_prefix);
    cr->audit = config->audit;
    return cr;
}

void claim_reader_free(struct claim_reader *cr)
{
    if (cr == NULL)
        return;
    claim_store_close(cr->store);
    free(cr->value);
    free(cr->where);
    free(cr->prefix);
    free(cr);
}

static bool fetch(struct claim_reader *cr, const struct claim *claim, struct err *err)
{
    if (cr->where == NULL)
        return err_set(err, ERR_CONFIG,
                       "the row lies in a claim store, as file %s, and none is configured: set "
                       "journal.claim_store to the "
                       "directory that capture writes to",
                       claim->id);
    if (cr->store == NULL && !claim_store_open(cr->where, cr->prefix, &cr->store, err))
        return false;
    if (claim_get(cr->store, claim, &cr->value, err))
        return true;
    size_t len = strlen(err->text);
    (void)snprintf(err->text + len, sizeof err->text - len,
                   ". Nothing was passed over: bring the file back (mount the share, restore it), and start "
                   "again; if it is lost for good, "
                   "start a new copy with an empty journal");
    return false;
}

static void drop_header(struct journal_record *rec, const struct journal_header *header)
{
    size_t at = (size_t)(header - rec->headers);
    memmove(&rec->headers[at], &rec->headers[at + 1], (rec->header_count - at - 1) * sizeof *header);
    rec->header_count--;
}

static bool failed(const struct claim_reader *cr, const struct journal_record *rec, const struct claim *claim,
                   struct err *err)
{
    const char *table = rec->stream;
    size_t len = strlen(cr->prefix);
    if (strncmp(table, cr->prefix, len) == 0 && table[len] == '.')
        table += len + 1;
    return err_wrap(err, "table=%s lsn=%s topic=%s partition=%d offset=%llu", table,
                    claim->lsn[0] != '\0' ? claim->lsn : "-", rec->stream, (int)rec->partition,
                    (unsigned long long)rec->offset);
}

bool claim_reader_resolve(struct claim_reader *cr, struct journal_record *rec, struct err *err)
{
    struct claim claim = {.size = 0};
    struct err why = ERR_INIT;
    free(cr->value);
    cr->value = NULL;
    const struct journal_header *header = claim_header(rec);
    if (header == NULL)
        return true;
    bool ok = claim_decode(header, &claim, &why) && fetch(cr, &claim, &why);
    if (!ok && !cr->audit) {
        *err = why;
        return failed(cr, rec, &claim, err);
    }
    rec->value = ok ? cr->value : "";
    rec->value_len = ok ? (size_t)claim.size : 0;
    drop_header(rec, header);
    return true;
}
