/* Owns: what `schema create` leaves to people on MariaDB: in a scratch database it is as the pipeline's own database has it. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "rehearsal.h"

/* Names without a database are the scratch database's in `inside`, which is our user's, not the application's. */
struct completing {
    struct scratch *s;
    struct maria_conn *inside;
};

static bool copy_sequence(struct completing *c, const char *name, struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1000);
    char *text CLEANUP(free_ptr) = NULL;
    strbuf_adds(&sql, "SHOW CREATE SEQUENCE ");
    maria_quote_name(&sql, maria_database(c->s->maria_admin), name);
    bool ok =
        strbuf_ok(&sql, "statement", err) && maria_query_text(c->s->maria_admin, sql.data, 1, &text, err);
    strbuf_release(&sql);
    if (ok && text == NULL)
        ok = err_set(err, ERR_PROTOCOL, "an unexpected answer to SHOW CREATE SEQUENCE");
    return (ok && maria_exec(c->inside, text, err)) || err_wrap(err, "sequence %s", name);
}

static bool copy_sequences(struct completing *c, struct err *err)
{
    struct mariadb_texts names = {0};
    bool ok = maria_query(c->s->maria_admin,
                          "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
                          "AND TABLE_TYPE = 'SEQUENCE' ORDER BY BINARY TABLE_NAME",
                          mariadb_add_texts, &names, err);
    for (size_t i = 0; ok && i < names.count; i++)
        ok = copy_sequence(c, names.list[i], err);
    mariadb_free_texts(&names);
    return ok;
}

/* The constraint's definition as the pipeline's own table has it; malloc'd, NULL = it has none of that name. */
static bool own_definition(const struct scratch *s, const char *table, const char *name, char **ret,
                           struct err *err)
{
    struct strbuf sql = STRBUF_INIT(1000), begin = STRBUF_INIT(1000);
    char *text CLEANUP(free_ptr) = NULL;
    *ret = NULL;
    strbuf_adds(&sql, "SHOW CREATE TABLE ");
    maria_quote_name(&sql, maria_database(s->maria_admin), table);
    strbuf_adds(&begin, "\n  CONSTRAINT ");
    maria_quote_ident(&begin, name);
    strbuf_adds(&begin, " FOREIGN KEY ");
    bool ok = strbuf_ok(&sql, "statement", err) && maria_query_text(s->maria_admin, sql.data, 1, &text, err);
    const char *line = ok && text != NULL ? strstr(text, begin.data) : NULL;
    if (line != NULL) {
        size_t len = strcspn(++line, "\n");
        *ret = xstrndup(line, len - (len > 0 && line[len - 1] == ','));
    }
    strbuf_release(&sql);
    strbuf_release(&begin);
    return ok;
}

static bool remake_foreign_key(struct completing *c, const char *table, const char *name, struct err *err)
{
    struct strbuf drop = STRBUF_INIT(2000), add = STRBUF_INIT(8000);
    char *definition CLEANUP(free_ptr) = NULL;
    if (!own_definition(c->s, table, name, &definition, err))
        return false;
    if (definition == NULL)
        return true;
    strbuf_adds(&drop, "ALTER TABLE ");
    maria_quote_ident(&drop, table);
    strbuf_addf(&add, "%s ADD%s", drop.data, definition + 1);
    strbuf_adds(&drop, " DROP FOREIGN KEY ");
    maria_quote_ident(&drop, name);
    bool ok = mariadb_run(c->inside, &drop, err) && mariadb_run(c->inside, &add, err);
    strbuf_release(&add);
    return ok;
}

/* One that cascades on PostgreSQL is made so here, and a way back refuses it until somebody has made it another one. */
static bool remake_foreign_keys(struct completing *c, struct err *err)
{
    struct mariadb_texts keys = {0};
    bool ok = maria_query(
        c->inside,
        "SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE "
        "(DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION')) AND "
        "CONSTRAINT_SCHEMA = DATABASE()",
        mariadb_add_texts, &keys, err);
    for (size_t i = 0; ok && i + 1 < keys.count; i += 2)
        ok = remake_foreign_key(c, keys.list[i], keys.list[i + 1], err) ||
             err_wrap(err, "foreign key %s", keys.list[i + 1]);
    mariadb_free_texts(&keys);
    return ok;
}

bool mariadb_complete(struct scratch *s, struct err *err)
{
    struct completing c = {.s = s};
    bool ok = maria_open_as(s->scratch_url, MARIADB_PROGRAM, &c.inside, err) && copy_sequences(&c, err) &&
              remake_foreign_keys(&c, err);
    maria_close(c.inside);
    return ok;
}
