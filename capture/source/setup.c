/* Owns: what capture creates on the source. See setup.h. */
#include "capture/source/setup.h"

#include <stdlib.h>
#include <string.h>

#include "capture/ddl/watch.h"
#include "capture/filters/filters.h"
#include "capture/source/standby.h"
#include "change/meta.h"
#include "core/alloc.h"
#include "core/log.h"
#include "journal/journal_settings.h"
#include "pg/control_tables.h"
#include "sql/embedded.h"

#define OLDEST_VERSION 140000

void cap_tables_release(struct cap_tables *tables)
{
    for (size_t i = 0; i < tables->count; i++)
        source_table_release(&tables->items[i]);
    free(tables->items);
    *tables = (struct cap_tables){0};
}

/* --- which tables --- */

struct choice {
    uint32_t oid, root_oid;
    bool chosen;
};

struct choosing {
    const struct table_filter *filter;
    struct choice *items;
    size_t count, cap;
};

static bool choose(void *ctx, uint32_t oid, const char *schema, const char *table, uint32_t root_oid,
                   struct err *err)
{
    struct choosing *c = ctx;
    (void)err;
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 64;
        c->items = xrealloc(c->items, c->cap * sizeof *c->items);
    }
    c->items[c->count++] = (struct choice){oid, root_oid, table_filter_matches(c->filter, schema, table)};
    return true;
}

/* A partition is published through its root if that is chosen. */
static bool is_covered(const struct choosing *c, const struct choice *item)
{
    for (size_t i = 0; item->root_oid != 0 && i < c->count; i++) {
        if (c->items[i].oid == item->root_oid)
            return c->items[i].chosen;
    }
    return false;
}

static bool load_tables(struct cap_session *s, struct err *err)
{
    struct choosing c = {.filter = s->settings->filter};
    bool ok = source_tables(s->sql, choose, &c, err);
    cap_tables_release(&s->tables);
    uint32_t *oids = xcalloc(c.count + 1, sizeof *oids);
    size_t count = 0;
    for (size_t i = 0; ok && i < c.count; i++) {
        if (c.items[i].chosen && !is_covered(&c, &c.items[i]))
            oids[count++] = c.items[i].oid;
    }
    s->tables.items = xcalloc(count + 1, sizeof *s->tables.items);
    ok = ok && source_tables_load(s->sql, oids, count, s->tables.items, &s->tables.count, err);
    free(oids);
    free(c.items);
    for (size_t i = 0; ok && i < s->tables.count; i++)
        ok = cap_filters_shape(s->settings->rules, &s->tables.items[i], err);
    if (ok && s->tables.count == 0)
        return err_set(err, ERR_CONFIG, "source.tables: no table of database %s fits the patterns",
                       pg_database(s->sql));
    return ok;
}

static bool refuse_identity(const struct source_table *t, const char *parts, struct err *err)
{
    return err_set(
        err, ERR_SCHEMA,
        "table=%s.%s%s%s has no replica identity%s: PostgreSQL would refuse its updates and deletes "
        "once it is published. Add a primary key (not deferrable, without generated columns), or ALTER TABLE "
        "… REPLICA IDENTITY "
        "FULL, or exclude it in source.tables",
        t->schema, t->name, parts != NULL ? " partition " : "", parts != NULL ? parts : "",
        parts != NULL ? " that fits the partitioned table's" : "");
}

/* Without a replica identity the server would refuse the application's updates and deletes from now on. */
bool cap_check_table(const struct cap_session *s, const struct source_table *t, struct err *err)
{
    char *parts CLEANUP(free_ptr) = NULL;
    if (t->replica_identity == 'n' || (t->replica_identity != 'f' && t->key_count == 0))
        return refuse_identity(t, NULL, err);
    if (t->partitioned && !source_parts_unfit(s->sql, t, &parts, err))
        return false;
    return parts == NULL || refuse_identity(t, parts, err);
}

static bool check_tables(const struct cap_session *s, struct err *err)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        if (!cap_check_table(s, &s->tables.items[i], err))
            return false;
    }
    return true;
}

struct topic_of {
    char *name, *unified;
    bool shared; /* by a rule */
    const struct source_table *table;
};

static int by_unified(const void *a, const void *b)
{
    return strcmp(((const struct topic_of *)a)->unified, ((const struct topic_of *)b)->unified);
}

static bool find_shared_topic(struct topic_of *topics, size_t count, struct err *err)
{
    if (count > 1)
        qsort(topics, count, sizeof *topics, by_unified);
    for (size_t i = 1; i < count; i++) {
        const struct topic_of *a = &topics[i - 1], *b = &topics[i];
        if (strcmp(a->unified, b->unified) != 0)
            continue;
        bool same = strcmp(a->name, b->name) == 0;
        if (same && a->shared && b->shared)
            continue;
        return err_set(err, ERR_SCHEMA,
                       "tables \"%s\".\"%s\" and \"%s\".\"%s\" %s topic=%s%s%s: rename one of the two, or "
                       "exclude it in source.tables",
                       a->table->schema, a->table->name, b->table->schema, b->table->name,
                       same ? "would share" : "would have topics that Kafka does not tell apart:", a->name,
                       same ? "" : " and ", same ? "" : b->name);
    }
    return true;
}

static bool check_reserved(const struct cap_session *s, const struct topic_of *topics, struct err *err)
{
    char *fence CLEANUP(free_ptr) = journal_fence_stream(s->settings->topic_prefix);
    char *schemas CLEANUP(free_ptr) = journal_schema_stream(s->settings->topic_prefix);
    for (size_t i = 0; i < s->tables.count; i++) {
        if (strcmp(topics[i].name, fence) == 0 || strcmp(topics[i].name, schemas) == 0 ||
            meta_kind_of(s->settings->topic_prefix, topics[i].name) != META_KINDS_)
            return err_set(err, ERR_CONFIG,
                           "journal.topic_routing: table=%s.%s would go to topic=%s, which is Crossfade's "
                           "own: name another",
                           topics[i].table->schema, topics[i].table->name, topics[i].name);
    }
    return true;
}

/* Two tables in one topic that no rule names would be one table to every reader. */
bool cap_check_topics(const struct cap_session *s, struct err *err)
{
    struct topic_of *topics = xcalloc(s->tables.count, sizeof *topics);
    bool kafka = strstr(s->settings->journal.url, "kafka://") != NULL; /* also behind fault: */
    for (size_t i = 0; i < s->tables.count; i++) {
        const struct source_table *t = &s->tables.items[i];
        bool shared = false;
        char *name = cap_filters_topic(s->settings->rules, s->settings->routing, s->settings->topic_prefix,
                                       t->schema, t->name, &shared);
        topics[i] = (struct topic_of){name, kafka ? topic_unified(name) : xstrdup(name), shared, t};
    }
    bool ok = check_reserved(s, topics, err) && find_shared_topic(topics, s->tables.count, err);
    for (size_t i = 0; i < s->tables.count; i++) {
        free(topics[i].name);
        free(topics[i].unified);
    }
    free(topics);
    return ok;
}

/* --- the source --- */

static bool check_server(struct cap_session *s, struct err *err)
{
    int version = pg_server_version(s->sql);
    if (version < OLDEST_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "source: PostgreSQL %d.%d; 14 is the oldest that works",
                       version / 10000, version % 10000);
    char *level = NULL;
    if (!pg_query_text(s->sql, "SELECT pg_catalog.current_setting('wal_level')", 0, NULL, &level, err))
        return false;
    bool logical = strcmp(level, "logical") == 0;
    if (!logical)
        err_set(err, ERR_CONFIG,
                "source: wal_level is %s; set wal_level = logical in postgresql.conf and restart the server",
                level);
    free(level);
    return logical;
}

static bool create_control_tables(struct cap_session *s, struct err *err)
{
    static const char needed[] = "crossfade.marker crossfade.marker.detail crossfade.decision";
    struct pg_conn *conn = cap_writable(s);
    bool there = false;
    if (conn != NULL)
        return pg_control_tables_ensure(conn, needed, embedded_sql_source_sql, "source", err);
    if (!pg_control_tables_look(s->sql, needed, &there, err))
        return false;
    return there ||
           err_set(err, ERR_CONFIG,
                   "source.url is a standby, and crossfade.marker is not there: set source.url to the "
                   "primary and source.standby_url to this server, and capture makes it itself");
}

bool cap_setup_source(struct cap_session *s, struct err *err)
{
    return check_server(s, err) && create_control_tables(s, err) && load_tables(s, err);
}

/* --- publication --- */

void cap_put_name(const struct source_table *t, struct strbuf *sql)
{
    strbuf_adds(sql, t->partitioned ? "" : "ONLY ");
    pg_quote_table(sql, t->schema, t->name);
}

bool cap_put_published(struct cap_session *s, const struct source_table *t, struct strbuf *sql,
                       struct err *err)
{
    cap_put_name(t, sql);
    return cap_filters_publish(s, t, sql, err);
}

static bool publication_exists(struct cap_session *s, struct pg_conn *conn, bool *ret, struct err *err)
{
    int64_t n = 0;
    const char *params[] = {s->settings->publication};
    if (!pg_query_int64(conn, "SELECT count(*) FROM pg_catalog.pg_publication WHERE pubname = $1", 1, params,
                        &n, err))
        return false;
    *ret = n > 0;
    return true;
}

/* The tables that the publication names, by oid. */
struct oid_set {
    uint32_t *items; /* sorted */
    size_t count;
};

static void oid_set_release(struct oid_set *set)
{
    free(set->items);
    *set = (struct oid_set){0};
}

static int compare_oids(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool oid_set_has(const struct oid_set *set, uint32_t oid)
{
    return set->count > 0 && bsearch(&oid, set->items, set->count, sizeof *set->items, compare_oids) != NULL;
}

static bool read_published(struct cap_session *s, struct oid_set *ret, struct err *err)
{
    PG_RESULT_AUTO res = NULL;
    const char *params[] = {s->settings->publication};
    if (!pg_query(s->sql,
                  "SELECT r.prrelid::bigint FROM pg_catalog.pg_publication_rel r"
                  " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1 ORDER BY 1",
                  1, params, &res, err))
        return false;
    ret->count = (size_t)pg_rows(res);
    ret->items = xcalloc(ret->count + 1, sizeof *ret->items);
    for (size_t i = 0; i < ret->count; i++)
        ret->items[i] = (uint32_t)pg_cell_int64(res, (int)i, 0);
    return true;
}

static void tell_generated(const struct cap_session *s)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        const struct source_table *t = &s->tables.items[i];
        if (t->generated != NULL)
            log_event(
                LOG_LEVEL_INFO, "generated_columns_left_out",
                "table=%s.%s columns=%s text=\"the server does not send them: the target has to compute "
                "them as well\"",
                t->schema, t->name, t->generated);
    }
}

static void add_publication_options(const struct cap_session *s, struct strbuf *sql)
{
    strbuf_adds(sql, "(publish = 'insert, update, delete, truncate', publish_via_partition_root = true");
    if (pg_server_version(s->sql) >= 180000)
        strbuf_adds(sql, ", publish_generated_columns = stored");
    strbuf_addc(sql, ')');
}

/* Of the publication and of the tables that it is to have, which our role does not own; NULL: it owns them all. Only owners may
 * put a table into a publication. *ret_table, *ret_owner: malloc'd. */
static bool find_foreign(struct cap_session *s, struct pg_conn *conn, char **ret_table, char **ret_owner,
                         struct err *err)
{
    struct strbuf oids = STRBUF_INIT(STRBUF_SQL_MAX);
    PG_RESULT_AUTO res = NULL;
    strbuf_addc(&oids, '{');
    for (size_t i = 0; i < s->tables.count; i++)
        strbuf_addf(&oids, "%s%u", i > 0 ? "," : "", s->tables.items[i].oid);
    strbuf_addc(&oids, '}');
    const char *params[] = {s->settings->publication, oids.data};
    bool ok =
        strbuf_ok(&oids, "tables", err) &&
        pg_query(conn,
                 "SELECT * FROM (SELECT 'publication ' || pg_catalog.quote_ident(pubname), pubowner FROM"
                 " pg_catalog.pg_publication WHERE pubname = $1"
                 " UNION ALL SELECT 'table ' || c.oid::regclass::text, c.relowner FROM pg_catalog.pg_class c"
                 " WHERE c.oid = ANY ($2::oid[])) x (name, owner), LATERAL (SELECT pg_catalog.quote_ident("
                 "pg_catalog.pg_get_userbyid(x.owner))) o (role)"
                 " WHERE NOT pg_catalog.pg_has_role(x.owner, 'USAGE') LIMIT 1",
                 2, params, &res, err);
    strbuf_release(&oids);
    if (!ok || pg_rows(res) == 0)
        return ok;
    *ret_table = xstrdup(pg_cell(res, 0, 0));
    *ret_owner = xstrdup(pg_cell(res, 0, 2));
    return true;
}

static bool publishes_marker(struct cap_session *s, struct pg_conn *conn, bool *ret, struct err *err)
{
    const char *name = s->settings->publication;
    int64_t marker = 0;
    if (!pg_query_int64(conn,
                        "SELECT count(*) FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication "
                        "p ON p.oid = r.prpubid WHERE p.pubname = $1 AND r.prrelid = "
                        "'crossfade.marker'::regclass",
                        1, &name, &marker, err))
        return false;
    *ret = marker > 0;
    return true;
}

/* What a publication that stays lacks: our kinds of changes, and the markers. Touched only where it must be, since that
 * takes its owner. */
static bool complete_publication(struct cap_session *s, struct pg_conn *conn, bool has_marker,
                                 struct err *err)
{
    char *faults CLEANUP(free_ptr) = NULL;
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    if (!source_publication_faults(conn, s->settings->publication, &faults, err))
        return false;
    strbuf_adds(&sql, "ALTER PUBLICATION ");
    pg_quote_ident(&sql, s->settings->publication);
    strbuf_adds(&sql, " SET ");
    add_publication_options(s, &sql);
    bool ok = faults == NULL || (strbuf_ok(&sql, "publication", err) && pg_exec(conn, sql.data, err));
    strbuf_clear(&sql);
    strbuf_adds(&sql, "ALTER PUBLICATION ");
    pg_quote_ident(&sql, s->settings->publication);
    strbuf_adds(&sql, " ADD TABLE crossfade.marker");
    ok = ok && (has_marker || (strbuf_ok(&sql, "publication", err) && pg_exec(conn, sql.data, err)));
    strbuf_release(&sql);
    return ok;
}

/* One that was made beforehand FOR ALL TABLES or for tables of a schema stays as it is: tables that are made later come by
 * themselves; and so does one of which our role may not change the tables. What source.tables leaves out is left out on our side. */
static bool keep_publication(struct cap_session *s, struct pg_conn *conn, bool foreign, bool *ret_kept,
                             struct err *err)
{
    bool all = false, schemas = false, marker = true;
    if (!source_publication_is_wide(conn, s->settings->publication, &all, &schemas, err))
        return false;
    if (!all && !schemas && !foreign)
        return true;
    bool ok = (all || publishes_marker(s, conn, &marker, err)) &&
              complete_publication(s, conn, marker, err) && cap_standby_catch_up(s, err) &&
              cap_watch_require(s, err);
    *ret_kept = ok;
    return ok || err_wrap(err, "publication %s", s->settings->publication);
}

/* A standby alone: what the primary has must be what capture would make. */
static bool use_publication(struct cap_session *s, struct err *err)
{
    char *faults CLEANUP(free_ptr) = NULL;
    struct oid_set published CLEANUP(oid_set_release) = {0};
    static const char advice[] = "Set source.url to the primary and source.standby_url to this server, and "
                                 "capture makes it itself";
    if (!read_published(s, &published, err) ||
        !source_publication_faults(s->sql, s->settings->publication, &faults, err))
        return false;
    const struct source_table *missing = NULL;
    for (size_t i = 0; i < s->tables.count && missing == NULL; i++) {
        if (!oid_set_has(&published, s->tables.items[i].oid))
            missing = &s->tables.items[i];
    }
    if (missing != NULL)
        return err_set(err, ERR_CONFIG,
                       "source.url is a standby, and table=%s.%s is not in publication %s of its primary. %s",
                       missing->schema, missing->name, s->settings->publication, advice);
    for (size_t i = 0; i < s->tables.count; i++)
        s->tables.items[i].from_start = true;
    return faults == NULL ||
           err_set(err, ERR_CONFIG,
                   "source.url is a standby, and publication %s is not as capture makes it: %s. %s",
                   s->settings->publication, faults, advice);
}

/* published: of each table, whether it is; NULL = all are to be. */
static bool set_publication(struct cap_session *s, struct pg_conn *conn, bool exists, const bool *published,
                            struct err *err)
{
    struct strbuf sql = STRBUF_INIT(STRBUF_SQL_MAX);
    bool ok = true;
    strbuf_adds(&sql, exists ? "ALTER PUBLICATION " : "CREATE PUBLICATION ");
    pg_quote_ident(&sql, s->settings->publication);
    strbuf_adds(&sql, exists ? " SET TABLE crossfade.marker" : " FOR TABLE crossfade.marker");
    for (size_t i = 0; ok && i < s->tables.count; i++) {
        const struct source_table *t = &s->tables.items[i];
        if (published != NULL && !published[i])
            continue;
        strbuf_adds(&sql, ", ");
        ok = cap_put_published(s, t, &sql, err);
    }
    if (!exists) {
        strbuf_adds(&sql, " WITH ");
        add_publication_options(s, &sql);
    }
    ok = ok && strbuf_ok(&sql, "publication", err) && pg_exec(conn, sql.data, err);
    strbuf_clear(&sql);
    if (ok && exists) {
        strbuf_adds(&sql, "ALTER PUBLICATION ");
        pg_quote_ident(&sql, s->settings->publication);
        strbuf_adds(&sql, " SET ");
        add_publication_options(s, &sql);
        ok = strbuf_ok(&sql, "publication", err) && pg_exec(conn, sql.data, err);
    }
    strbuf_release(&sql);
    return ok;
}

/* The publication and what it remembers of its tables change together. */
static bool change_publication(struct cap_session *s, struct pg_conn *conn, bool exists,
                               const bool *published, struct err *err)
{
    if (pg_exec(conn, "BEGIN", err) && set_publication(s, conn, exists, published, err) &&
        cap_filters_remember(s, conn, err) && pg_exec(conn, "COMMIT", err))
        return cap_standby_catch_up(s, err);
    struct err ignored = ERR_INIT; /* the connection may be gone */
    (void)!pg_exec(conn, "ROLLBACK", &ignored);
    return err_wrap(err, "publication %s", s->settings->publication);
}

/* A publication that somebody else has made. */
static bool use_filters(struct cap_session *s, struct err *err)
{
    char *what CLEANUP(free_ptr) = NULL;
    if (!cap_filters_differ(s, &what, err))
        return false;
    return what == NULL ||
           err_set(err, ERR_CONFIG,
                   "source.url is a standby, and its primary's publication was made otherwise: %s", what);
}

static bool any_rules(const struct cap_session *s)
{
    for (size_t i = 0; i < s->tables.count; i++) {
        if (table_rules_any(s->settings->rules, s->tables.items[i].schema, s->tables.items[i].name))
            return true;
    }
    return false;
}

bool cap_setup_publication(struct cap_session *s, struct err *err)
{
    bool exists = false;
    struct pg_conn *conn = cap_writable(s);
    tell_generated(s);
    if (!check_tables(s, err) || !cap_check_topics(s, err) || !cap_standby_check_tables(s, err) ||
        !cap_filters_check(s, true, err))
        return false;
    if (conn == NULL)
        return use_publication(s, err) && use_filters(s, err);
    char *what CLEANUP(free_ptr) = NULL;
    char *owner CLEANUP(free_ptr) = NULL;
    bool kept = false;
    if (!publication_exists(s, conn, &exists, err) || !find_foreign(s, conn, &what, &owner, err))
        return false;
    if (!exists && what != NULL)
        return err_set(err, ERR_AUTH,
                       "publication %s is not there, and our role may not make it: %s belongs to role %s. "
                       "GRANT %s TO %s, or have the owners make the publication (docs/PRIVILEGES.md)",
                       s->settings->publication, what, owner, owner, pg_user(conn));
    if (exists && !cap_filters_check_renamed(s, err))
        return err_wrap(err,
                        "publication %s is of an earlier copy (drop it if that copy's rules are no longer "
                        "to count)",
                        s->settings->publication);
    if (exists && !keep_publication(s, conn, what != NULL, &kept, err))
        return false;
    if (kept && any_rules(s))
        return err_set(err, ERR_CONFIG,
                       "publication %s is one of all tables or of schemas, or our role may not change it: it "
                       "has no room for source.filters. Drop it and see that our role owns the tables (GRANT "
                       "their owner TO %s), and capture makes one of the tables that source.tables chooses",
                       s->settings->publication, pg_user(conn));
    for (size_t i = 0; i < s->tables.count; i++)
        s->tables.items[i].from_start = true;
    return kept || change_publication(s, conn, exists, NULL, err);
}

/* Rules other than those of the copy: refused, or taken from here on. */
static bool check_filters(struct cap_session *s, const struct oid_set *there, struct err *err)
{
    char *what CLEANUP(free_ptr) = NULL;
    bool *published CLEANUP(free_ptr) = xcalloc(s->tables.count + 1, sizeof *published);
    if (!cap_filters_differ(s, &what, err))
        return false;
    if (what == NULL)
        return true;
    struct pg_conn *conn = cap_writable(s);
    if (!s->settings->filters_changed_accept || conn == NULL)
        return err_set(err, ERR_GAP,
                       "%s. What is in the journal and on the target already would stay as it is. Put the "
                       "rules back, start a "
                       "new copy with an empty journal, or set source.filters_changed: accept",
                       what);
    for (size_t i = 0; i < s->tables.count; i++)
        published[i] = oid_set_has(there, s->tables.items[i].oid);
    if (!check_tables(s, err) || !cap_check_topics(s, err) || !cap_filters_check(s, false, err) ||
        !change_publication(s, conn, true, published, err))
        return false;
    log_event(LOG_LEVEL_WARN, "filters_changed",
              "publication=%s text=\"%s: taken from here on; rows copied and records written before stay as "
              "they are\"",
              s->settings->publication, what);
    return true;
}

bool cap_check_publication(struct cap_session *s, struct err *err)
{
    bool exists = false;
    char *faults CLEANUP(free_ptr) = NULL;
    struct oid_set published CLEANUP(oid_set_release) = {0};
    if (!publication_exists(s, s->sql, &exists, err))
        return false;
    if (!exists)
        return err_set(err, ERR_GAP,
                       "publication %s is gone: changes made since are lost to this pipeline. Start a new "
                       "copy with an empty "
                       "journal",
                       s->settings->publication);
    if (!cap_filters_check_renamed(s, err) ||
        !source_publication_faults(s->sql, s->settings->publication, &faults, err))
        return false;
    if (faults != NULL)
        return err_set(
            err, ERR_GAP,
            "publication %s was altered: %s. Changes left out since are lost to this pipeline: start a "
            "new copy with an empty journal",
            s->settings->publication, faults);
    if (!read_published(s, &published, err) || !check_filters(s, &published, err))
        return false;
    for (size_t i = 0; i < s->tables.count; i++)
        s->tables.items[i].from_start = true;
    return cap_watch_look(s, err) && cap_queue_mark_later(s, err);
}

bool cap_slot_free(struct cap_session *s, struct source_slot *ret, struct err *err)
{
    if (!source_slot_look(s->sql, s->settings->slot, ret, err))
        return false;
    if (ret->exists && !ret->logical_pgoutput)
        return err_set(err, ERR_IDENTITY,
                       "slot %s belongs to another database or plugin: drop it, or name this pipeline "
                       "differently",
                       s->settings->slot);
    if (ret->active_pid != 0)
        return err_set(err, ERR_BUSY,
                       "slot %s is in use by server process %lld: another capture of this pipeline runs, or "
                       "one has just "
                       "died (its server process goes away by itself)",
                       s->settings->slot, (long long)ret->active_pid);
    return true;
}
