/* The implementations that target_open() selects from. */
#ifndef TARGET_TARGET_IMPL_H
#define TARGET_TARGET_IMPL_H

#include "target/target.h"

extern const struct target_ops target_postgres;
extern const struct target_ops target_mariadb;
extern const struct target_ops target_fault;

/* The key's fields as columns of the target's table, in key order. field_of: which field of the schema column i of `tab` holds.
 * *ret_key: malloc'd, as long as the key. ERR_SCHEMA when the target computes one of them itself. */
bool target_find_key(const struct table_schema *schema, size_t column_count,
                     size_t (*field_of)(const void *tab, size_t column), const void *tab, size_t **ret_key,
                     struct err *err) MUST_CHECK;

/* How many of these tables are to be asked about at once: so many, and so many fields, but at least one. */
size_t target_prepare_part(const struct table_schema *const *schemas, size_t count, size_t most,
                           size_t fields);

#endif
