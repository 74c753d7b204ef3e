/* Owns: tables by the definition that they have now, where no row has told of one. */
#include "capture/maria/maria_internal.h"
#include "maria/binlog/shape.h"

bool maria_shape_by_catalog(struct cap_maria *m, struct maria_table *t, const char *database,
                            const char *table, struct err *err)
{
    const struct shape_options options = {.topic_prefix = m->session->settings->topic_prefix};
    struct catalog_table cat = {0};
    struct shape shape = {0};
    if ((m->sets == NULL && !charsets_open(m->sql, &m->sets, err)) ||
        !catalog_table_read(m->sql, database, table, &cat, err))
        return false;
    bool ok = shape_of_catalog(database, table, &cat, m->sets, &options, &shape, err) &&
              maria_use_shape(m, t, shape.schema, err);
    t->shape = NULL; /* this one goes */
    shape_release(&shape, false);
    catalog_table_release(&cat);
    return ok;
}
