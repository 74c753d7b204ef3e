/* Owns: making a plan, from the configuration to the lists. See schema.h. */
#include "schema.h"

#include <stdlib.h>
#include <string.h>

#include "config/table_filter.h"
#include "config/table_rules.h"
#include "core/alloc.h"
#include "maria/conn.h"
#include "plan_postgres.h"
#include "rules.h"
#include "side.h"

#define DUMP_TEXT_MAX ((size_t)1 << 30)

static bool read_model(const struct config *cfg, struct pg_conn *conn, struct schema_plan *plan,
                       struct err *err)
{
    struct table_filter *filter = NULL;
    struct table_rules *rules = NULL;
    bool ok = table_filter_from_config(cfg, &filter, err) && table_rules_from_config(cfg, &rules, err) &&
              model_read(conn, filter, rules, &plan->model, err);
    table_filter_free(filter);
    table_rules_free(rules);
    return ok;
}

static const char *server_text(struct schema_plan *plan, struct pg_conn *conn)
{
    int version = pg_server_version(conn);
    return model_textf(&plan->model, "PostgreSQL %d.%d, database %s", version / 10000, version % 10000,
                       pg_database(conn));
}

/* --- PostgreSQL --- */

static bool check_versions(const char *program, struct pg_conn *source, struct pg_conn *target,
                           struct schema_plan *plan, struct err *err)
{
    int major = 0, from = pg_server_version(source) / 10000;
    if (!dump_program_major(program, &major, err))
        return false;
    if (major < from)
        return err_set(err, ERR_CONFIG,
                       "schema.pg_dump: %s is of version %d, and cannot read PostgreSQL %d: install the "
                       "client programs of %d "
                       "and name their pg_dump",
                       program, major, from, from);
    if (target != NULL && pg_server_version(target) / 10000 < from)
        plan_add_item(
            plan, ITEM_CHANGED, "server", plan->target_text,
            "is older than the source: definitions that it does not know are refused when they are made",
            NULL);
    return true;
}

static bool take_dump(const struct config *cfg, struct pg_conn *source, const char *program, struct dump *ret,
                      struct err *err)
{
    char *snapshot CLEANUP(free_ptr) = NULL;
    struct strbuf text = STRBUF_INIT(DUMP_TEXT_MAX);
    bool ok = pg_query_text(source, "SELECT pg_export_snapshot()", 0, NULL, &snapshot, err) &&
              dump_run(program, config_text(cfg, "source.url"), snapshot, &text, err) &&
              dump_split(text.data, ret, err);
    strbuf_release(&text);
    return ok;
}

/* The target may be away while a plan is made: then it is told. One that has a newer program's control tables, or is too old, is no target of
 * ours. */
static bool may_be_away(struct schema_plan *plan, const struct err *away, struct err *err)
{
    if (away->code == ERR_UNSUPPORTED)
        return *err = *away, false;
    plan_add_item(plan, ITEM_REPORTED, "target", "could not be asked", model_text(&plan->model, away->text),
                  NULL);
    return true;
}

/* *ret NULL: it is away. */
static bool open_target(const struct config *cfg, struct schema_plan *plan, struct pg_conn **ret,
                        struct err *err)
{
    const struct pg_options options = {.application_name = "crossfade schema"};
    struct err away = ERR_INIT;
    *ret = NULL;
    if (pg_open(config_text(cfg, "target.url"), &options, ret, &away)) {
        plan->target_text = server_text(plan, *ret);
        return true;
    }
    plan->target_text = "PostgreSQL, not asked";
    *ret = NULL;
    return may_be_away(plan, &away, err);
}

static bool build_postgres(const struct config *cfg, struct pg_conn *source, struct pg_conn *target,
                           struct schema_plan *plan, struct err *err)
{
    struct dump dump = {0};
    const char *program = config_text(cfg, "schema.pg_dump");
    struct postgres_request req = {
        .source = source, .target = target, .dump = &dump, .indexes_later = schema_indexes_later(cfg)};
    req.keys_later = req.indexes_later && strcmp(config_text(cfg, "capture.snapshot_path"), "direct") == 0;
    req.exclude = config_list(cfg, "schema.exclude", &req.exclude_count);
    size_t types = 0;
    (void)config_list(cfg, "types", &types);
    if (types > 0)
        return err_set(err, ERR_CONFIG,
                       "types: is for a target with other types; PostgreSQL keeps the source's");
    bool ok = check_versions(program, source, target, plan, err) &&
              take_dump(cfg, source, program, &dump, err) && plan_postgres(plan, &req, err) &&
              side_postgres_source(source, plan, &plan->objects, err);
    dump_release(&dump);
    return ok;
}

static bool plan_for_postgres(const struct config *cfg, struct pg_conn *source, struct schema_plan *plan,
                              struct err *err)
{
    struct pg_conn *target = NULL;
    plan->dialect = DIALECT_POSTGRES;
    bool ok = open_target(cfg, plan, &target, err) && build_postgres(cfg, source, target, plan, err);
    pg_close(target);
    return ok;
}

/* --- MariaDB --- */

static bool plan_for_mariadb(const struct config *cfg, struct schema_plan *plan, struct err *err)
{
    struct maria_url url = {0};
    struct side *side = NULL;
    struct err away = ERR_INIT;
    size_t type_count = 0;
    const char *const *types = config_list(cfg, "types", &type_count);
    plan->dialect = DIALECT_MARIADB;
    if (!maria_url_parse(config_text(cfg, "target.url"), &url, err))
        return false;
    plan->url_database = model_text(&plan->model, url.database);
    plan->target_text = model_textf(&plan->model, "MariaDB, database %s", url.database);
    maria_url_release(&url);
    if (side_mariadb_open(config_text(cfg, "target.url"), plan, &side, &away)) {
        plan->folds_names = side_mariadb_folds_names(side);
        side->ops->close(side);
    } else if (!may_be_away(plan, &away, err)) {
        return false;
    }
    return plan_mariadb(plan, types, type_count, schema_indexes_later(cfg), err);
}

/* Questions to the catalog are long, and are asked once: compiling them would take longer than they do. */
static bool make(const struct config *cfg, struct pg_conn *source, struct schema_plan *plan, struct err *err)
{
    if (!pg_exec(source,
                 "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = pg_catalog; SET "
                 "LOCAL jit = off",
                 err) ||
        !read_model(cfg, source, plan, err))
        return false;
    plan->pipeline = model_text(&plan->model, config_text(cfg, "pipeline"));
    plan->source_text = server_text(plan, source);
    bool ok = maria_is_url(config_text(cfg, "target.url")) ? plan_for_mariadb(cfg, plan, err)
                                                           : plan_for_postgres(cfg, source, plan, err);
    return ok && (!plan->model.failed || err_set(err, ERR_NO_MEMORY, "the plan does not fit into memory"));
}

bool schema_indexes_later(const struct config *cfg)
{
    return strcmp(config_text(cfg, "schema.indexes"), "after_snapshot") == 0;
}

bool schema_plan_make(const struct config *cfg, struct schema_plan **ret, struct err *err)
{
    const struct pg_options options = {.application_name = "crossfade schema"};
    struct pg_conn *source = NULL;
    if (!pg_open(config_text(cfg, "source.url"), &options, &source, err))
        return err_wrap(err, "source");
    struct schema_plan *plan = xcalloc(1, sizeof *plan);
    bool ok = make(cfg, source, plan, err);
    pg_close(source);
    if (!ok) {
        schema_plan_free(plan);
        return false;
    }
    *ret = plan;
    return true;
}

void schema_plan_free(struct schema_plan *plan)
{
    if (plan == NULL)
        return;
    sch_plan_release(plan);
    free(plan);
}

bool schema_finish(const struct config *cfg, const struct schema_request *req, struct schema_result *ret,
                   struct err *err)
{
    struct schema_request later = *req;
    struct schema_plan *plan = NULL;
    later.execute = later.indexes = true;
    *ret = (struct schema_result){0};
    if (!schema_indexes_later(cfg))
        return true;
    bool ok = schema_plan_make(cfg, &plan, err) && schema_create(cfg, plan, &later, ret, err);
    schema_plan_free(plan);
    return ok;
}

size_t schema_plan_decisions(const struct schema_plan *plan)
{
    return plan_count(plan, ITEM_DECIDE);
}

void schema_plan_each_decision(const struct schema_plan *plan, schema_each_decision *each, void *ctx)
{
    for (size_t i = 0; i < plan->item_count; i++) {
        const struct plan_item *item = &plan->items[i];
        if (item->state == ITEM_DECIDE)
            each(ctx, item->kind, item->name, item->text, item->line);
    }
}

void schema_rules_markdown(struct strbuf *out)
{
    rules_markdown(out);
}
