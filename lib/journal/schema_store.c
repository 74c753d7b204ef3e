/* Chooses the store of schemas. See schema_store.h. */
#include "journal/schema_store.h"

#include <string.h>

#include "schema_stores.h"

bool schema_store_open(const struct journal_config *config, struct schema_store **ret, struct err *err)
{
    const struct schema_store_ops *ops =
        config->registry != NULL ? &schema_store_registry : &schema_store_stream;
    struct schema_store *store = NULL;
    if (!ops->open(config, &store, err))
        return false;
    BUG_UNLESS(store != NULL && store->ops == ops);
    *ret = store;
    return true;
}

bool schema_store_register(struct schema_store *store, struct journal_writer *jw, const char *subject,
                           const char *format, const char *schema_json, uint32_t *ret_id, struct err *err)
{
    return store->ops->put(store, jw, subject, format, schema_json, ret_id, err);
}

static bool lookup(void *ctx, uint32_t id, const char **ret_json, struct err *err)
{
    struct schema_store *store = ctx;
    return store->ops->lookup(store, id, ret_json, err);
}

struct schema_source schema_store_source(struct schema_store *store)
{
    return (struct schema_source){.ctx = store, .lookup = lookup, .shared = store->ops->shared};
}

void schema_store_close(struct schema_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

uint32_t schema_store_id_of(const struct journal_record *rec)
{
    for (size_t i = 0; i < rec->header_count; i++) {
        const struct journal_header *h = &rec->headers[i];
        const unsigned char *p = h->value;
        if (strcmp(h->name, HEADER_SCHEMA_ID) == 0 && h->value_len == 4)
            return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    return 0;
}
