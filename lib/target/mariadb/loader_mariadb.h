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
    unsigned shards; /* of apply, as the transaction at hand has found them */
    bool open;       /* a transaction */
    struct md_known {
        const struct loader_table *of;
        const struct table_schema *rows; /* its schema then */
        struct md_table *tab;
    } known[LOADER_TABLES]; /* as they were asked for together */
    size_t known_count;
    struct md_table *tab; /* the one at hand; NULL = none */
    bool as_file;         /* LOAD DATA LOCAL; else arrays of INSERT */
    struct md_stmt *st;   /* of the chunk at hand */
    struct md_file file;
    int64_t count;
};

/* These tables as the target has them, and no others: known[i] is that of tables[i]. Nothing is asked if they are known. */
bool mdl_tables(struct md_loader *ld, const struct loader_table *const *tables, size_t count,
                struct err *err) MUST_CHECK;
/* The table at hand is this one, known or not. */
bool mdl_table(struct md_loader *ld, const struct loader_table *t, struct err *err) MUST_CHECK;
void mdl_forget_tables(struct md_loader *ld);
void mdl_add_pipeline(struct strbuf *sb, const struct md_loader *ld);
/* "pipeline = '…' AND source_oid = …" */
void mdl_add_ours(struct strbuf *sb, const struct md_loader *ld, uint32_t oid);
/* sb is released. */
bool mdl_exec(struct md_loader *ld, struct strbuf *sql, struct err *err) MUST_CHECK;

/* loader_look.c */
bool mdl_look(struct loader *base, const struct loader_table *const *tables, size_t count,
              struct loader_seen *ret, struct err *err) MUST_CHECK;

/* loader_letters.c */
bool mdl_save(struct loader *base, struct err *err) MUST_CHECK;
bool mdl_restore(struct loader *base, struct err *err) MUST_CHECK;
bool mdl_hold(struct loader *base, const struct loader_letter *letter, struct err *err) MUST_CHECK;

/* loader_file.c */
bool mdl_file_allowed(struct md_loader *ld, bool *ret, struct err *err) MUST_CHECK;
void mdl_file_start(struct md_loader *ld);
bool mdl_file_add(struct md_loader *ld, const struct target_row *row, struct err *err) MUST_CHECK;
bool mdl_file_flush(struct md_loader *ld, struct err *err) MUST_CHECK;
void mdl_file_release(struct md_loader *ld);

#endif
