/* Owns: the connection of people who look at dead letters and conflicts, and the list of ids that they name. */
#include <inttypes.h>

#include "postgres.h"

bool pgt_desk_open(const char *url, const char *application, const char *table, struct pg_conn **ret,
                   bool *ret_there, struct err *err)
{
    struct pg_options options = {.application_name = application};
    const char *params[] = {table};
    int64_t there = 0;
    if (!pg_open(url, &options, ret, err) ||
        !pg_exec(*ret, "SET bytea_output = 'hex'; SET TimeZone = 'UTC'", err) ||
        !pg_query_int64(*ret, "SELECT count(to_regclass($1))", 1, params, &there, err))
        return err_wrap(err, "target");
    *ret_there = there > 0;
    return true;
}

void pgt_desk_ids(struct strbuf *sb, const int64_t *ids, size_t count)
{
    strbuf_addc(sb, '{');
    for (size_t i = 0; i < count; i++)
        strbuf_addf(sb, "%s%" PRId64, i > 0 ? "," : "", ids[i]);
    strbuf_addc(sb, '}');
}
