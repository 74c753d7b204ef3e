/*
 * The target's schema, made from the source's: a plan that a person reads and decides on (plan), and its execution (create).
 * PostgreSQL → PostgreSQL goes by pg_dump's definitions, → MariaDB by rules (rules.h). Nothing is guessed: what has no exact
 * rule is in the plan as a decision, and nothing is made while one is open.
 */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "core/err.h"
#include "core/strbuf.h"

#define SCHEMA_TEXT_BYTES_MAX ((size_t)256 << 20)

struct schema_plan;

/* Reads the source; asks the target what it has, where that can be reached. */
bool schema_plan_make(const struct config *cfg, struct schema_plan **ret, struct err *err) MUST_CHECK;
void schema_plan_free(struct schema_plan *plan); /* NULL allowed */
/* Open decisions: create refuses while there are any. */
size_t schema_plan_decisions(const struct schema_plan *plan);
/* Calls each() for every open decision. line: what to put into the configuration, NULL = something else is to be done. */
typedef void schema_each_decision(void *ctx, const char *kind, const char *name, const char *text,
                                  const char *line);
void schema_plan_each_decision(const struct schema_plan *plan, schema_each_decision *each, void *ctx);

void schema_plan_markdown(const struct schema_plan *plan, struct strbuf *out);
void schema_plan_html(const struct schema_plan *plan, struct strbuf *out);
/* schemas/schema-plan.schema.json; malloc'd, with a newline at the end. */
char *schema_plan_json(const struct schema_plan *plan);
/* The rule table of docs/SCHEMA.md. */
void schema_rules_markdown(struct strbuf *out);

enum schema_event {
    SCHEMA_EVENT_UNKNOWN = 0,
    SCHEMA_WOULD_MAKE,
    SCHEMA_THERE,
    SCHEMA_DIFFERS,
    SCHEMA_MAKING,
    SCHEMA_MADE,
    SCHEMA_WAITING /* for the copy to be complete: once, kind and name say for what */
};

struct schema_progress {
    enum schema_event event;
    const char *kind, *name, *sql;
    const char *why; /* DIFFERS */
    size_t done, total;
};

/* What schema_request.indexes does about a copy that is under way. */
enum schema_copy {
    SCHEMA_COPY_REFUSE = 0, /* ERR_REFUSED */
    SCHEMA_COPY_WAIT,       /* waits until every shard's position on the target is at a complete fence */
    SCHEMA_COPY_IS_DONE     /* the caller has loaded the rows itself */
};

struct schema_request {
    bool execute;
    bool indexes; /* what schema.indexes has put off until the copy is complete */
    enum schema_copy copy;
    int stop_fd; /* readable = stop; -1 = never */
    /* @thread any, one at a time */
    void (*progress)(void *ctx, const struct schema_progress *p);
    void *ctx;
};

struct schema_result {
    size_t made, there, differ, todo;
};

/* Without `execute` only looks. ERR_REFUSED: decisions are open, something differs (nothing was made then), or the copy is not
 * complete; ret counts are filled also then. */
bool schema_create(const struct config *cfg, const struct schema_plan *plan, const struct schema_request *req,
                   struct schema_result *ret, struct err *err) MUST_CHECK;

/* Only looks, at all of it, whether or not indexes were put off, and although decisions are open (schema_plan_each_decision()): what the
 * target has otherwise, and what it lacks. req: progress and stop_fd alone. */
bool schema_look(const struct config *cfg, const struct schema_plan *plan, const struct schema_request *req,
                 struct schema_result *ret, struct err *err) MUST_CHECK;

/* Whether the configuration puts indexes and foreign keys off until the rows are there (schema.indexes: after_snapshot). */
bool schema_indexes_later(const struct config *cfg);
/*
 * The second half of schema.indexes: after_snapshot, in one call, for whoever has loaded the rows (direct load: copy =
 * SCHEMA_COPY_IS_DONE) or waits until apply has (SCHEMA_COPY_WAIT): reads the source once more and makes the indexes and foreign
 * keys that are missing, on schema.workers connections. Does nothing unless schema_indexes_later(). What is there stays, so after
 * a kill or a stop the same call goes on where it was. req->execute and req->indexes are taken as set.
 * Errors as schema_plan_make() and schema_create(). @thread any, blocks until done.
 */
bool schema_finish(const struct config *cfg, const struct schema_request *req, struct schema_result *ret,
                   struct err *err) MUST_CHECK;

#endif
