/* What the files of the MariaDB loader share: loader.c (life, claim, chunks), loader_look.c (does a table fit, what is there),
 * loader_file.c (rows as LOAD DATA LOCAL). */
#ifndef TARGET_MARIADB_LOADER_H
#define TARGET_MARIADB_LOADER_H

#include "mariadb.h"
#include "target/loader_impl.h"

/* Rows that wait for one LOAD DATA, in its text form. */
struct md_file {
    char *sql; /* of the table at hand */
    struct strbuf rows, value;
    int64_t count;
    size_t given; /* bytes that the server has got */
};

struct md_loader {
    struct loader base;
    struct md_target *mt;
    unsigned shards;                 /* of apply, as the transaction at hand has found them */
    bool open;                       /* a transaction */
    const struct loader_table *of;   /* whose `tab` is */
    const struct table_schema *rows; /* … and its schema */
    struct md_table *tab;
    bool as_file;       /* LOAD DATA LOCAL; else arrays of INSERT */
    struct md_stmt *st; /* of the chunk at hand */
    struct md_file file;
    int64_t count;
};

/* The table as the target has it; one is kept at a time. */
bool mdl_table(struct md_loader *ld, const struct loader_table *t, struct err *err) MUST_CHECK;
void mdl_forget_table(struct md_loader *ld);
/* "pipeline = '…' AND source_oid = …" */
void mdl_add_ours(struct strbuf *sb, const struct md_loader *ld, uint32_t oid);
/* sb is released. */
bool mdl_exec(struct md_loader *ld, struct strbuf *sql, struct err *err) MUST_CHECK;

/* loader_look.c */
bool mdl_fits(struct loader *base, const struct loader_table *t, enum loader_form *ret,
              struct err *err) MUST_CHECK;
bool mdl_look(struct loader *base, const struct loader_table *t, struct loader_chunk **ret, size_t *ret_count,
              bool *ret_same, bool *ret_mixable, struct err *err) MUST_CHECK;
/* An upper bound in a column of text: "3:abc,2:de,"; any text may be in it. */
void mdl_put_upper(struct strbuf *sb, const struct loader_chunk *chunk);

/* loader_file.c */
bool mdl_file_allowed(struct md_loader *ld, bool *ret, struct err *err) MUST_CHECK;
void mdl_file_start(struct md_loader *ld);
bool mdl_file_add(struct md_loader *ld, const struct target_row *row, struct err *err) MUST_CHECK;
bool mdl_file_flush(struct md_loader *ld, struct err *err) MUST_CHECK;
void mdl_file_release(struct md_loader *ld);

#endif
