/*
 * pg_dump's view of a schema: run it, and cut what it prints into its entries. Private to this module.
 */
#ifndef SCHEMA_DUMP_H
#define SCHEMA_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/strbuf.h"

struct dump_entry {
    int id;
    uint32_t class_oid, object_oid; /* 0 = no object of its own (comments, grants, attachments) */
    const char *kind;               /* "TABLE", "FK CONSTRAINT" … */
    const char *schema;             /* "-" = none */
    const char *name;
    const char *owner;
    const int *needs; /* ids of other entries */
    size_t need_count;
    const char *sql; /* statements, and what they need to be set before */
};

struct dump {
    struct arena mem;
    struct dump_entry *entries; /* in an order in which they can be made */
    size_t count;
};

/* Asks program ("pg_dump" is looked for in PATH) for its major version; ERR_CONFIG if it is not there. */
bool dump_program_major(const char *program, int *ret, struct err *err) MUST_CHECK;
/* All definitions of the database at url, as of the exported snapshot. The password travels in the environment. */
bool dump_run(const char *program, const char *url, const char *snapshot, struct strbuf *out,
              struct err *err) MUST_CHECK;
/* Cuts the output of `pg_dump --verbose`. ERR_PROTOCOL if it does not look like one. @thread any */
bool dump_split(const char *text, struct dump *ret, struct err *err) MUST_CHECK;
void dump_release(struct dump *dump);

/* Goes through statements: *at is the place, advanced behind the next one's ';'. False = there is no further one. The span begins at
 * its first word. */
bool dump_next_statement(const char **at, const char **ret_from, size_t *ret_len);

#endif
