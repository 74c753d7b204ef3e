/*
 * The stream's relation cache: what pgoutput's Relation messages announced → a table_writer per version. A
 * message that announces the same shape again (after each reconnect, after an invalidation) keeps the
 * version. @thread owner
 */
#ifndef CAPTURE_RELATION_H
#define CAPTURE_RELATION_H

#include "capture/publish/table_writer.h"

struct cap_relation {
    uint32_t oid;
    char *schema, *table;
    char replica_identity;
    bool is_marker;                /* crossfade.marker: interpreted, never published */
    bool unwanted;                 /* published by somebody else's doing: not in source.tables */
    struct source_column *columns; /* as announced, but for those that source.filters leaves out */
    size_t column_count;
    uint16_t *kept;   /* their places in a row as it comes; NULL = all are kept */
    char **announced; /* all names; NULL = no rule fits the table */
    size_t announced_count;
    size_t *key; /* indexes into columns */
    size_t key_count;
    bool key_waits; /* the catalog's key is younger than the rows (identity FULL): the journal's holds … */
    uint32_t key_xid;                /* … up to this transaction, which made the other … */
    lsn_t key_lsn;                   /* … and no longer than up to here */
    struct cap_table_writer *writer; /* NULL until a change needs it, and for the marker table */
    bool stale;         /* announced again: key and NOT NULL are to be looked up anew before the next use */
    bool *relaxed;      /* columns in which a NULL was met although the catalog says NOT NULL now */
    char *shape_record; /* to go into the journal before the next record (shapes.h); NULL = none */
    char *shape_change; /* what is different, if anything was before; for the log */
    uint64_t txn_serial, txn_changes; /* order within the transaction at hand */
    uint64_t meta_serial; /* meta.c: the transaction in which it has a place among the changed tables … */
    size_t meta_index;    /* … this one */
};

struct cap_relations;

struct cap_relations *cap_relations_new(const struct cap_session *s);
void cap_relations_free(struct cap_relations *rels); /* NULL allowed */
/* A Relation message came. */
void cap_relations_announce(struct cap_relations *rels, const struct pgoutput_message *m);
/* The relation for a change of transaction xid at lsn, its writer ready (but for the marker table, and one that is not wanted).
 * NULL with an err; ERR_PROTOCOL if it was never announced, ERR_SCHEMA if its shape has changed and that needs a person. */
struct cap_relation *cap_relations_use(struct cap_relations *rels, uint32_t oid, uint32_t xid, lsn_t lsn,
                                       struct err *err);
/* Takes what is left out out of the message's rows; *m is then the relation's. */
void cap_relation_narrow(const struct cap_relation *rel, struct pgoutput_message *m);
/* From now on this column may be NULL: makes a new version. */
bool cap_relations_relax(struct cap_relations *rels, struct cap_relation *rel, size_t column,
                         struct err *err) MUST_CHECK;

#endif
