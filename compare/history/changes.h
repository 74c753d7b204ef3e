/*
 * Which keys changed between two fences, read from the journal as an unregistered reader: nothing is confirmed, nothing is held.
 * What cannot be told for certain (records that are no longer kept, another journal, a TRUNCATE, a copy by another way, a key that
 * is not the comparison's) loses the table: then it has to be read whole. Private to compare.
 */
#ifndef COMPARE_HISTORY_CHANGES_H
#define COMPARE_HISTORY_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "core/err.h"
#include "core/lsn.h"

/* A fence and where it stands. */
struct fence_place {
    uint64_t id, offset; /* of the fence stream */
    lsn_t lsn;
    uint64_t attempt; /* of the snapshot */
};

struct changed_table {
    const char *schema, *table, *topic; /* the caller's */
    const char *const *keys;            /* columns, as the journal names them */
    size_t key_count;
    struct fence_place since;
    void *ctx;
    char *lost;                /* why its changes are not known (malloc'd); NULL = they are */
    uint64_t changes;          /* records that named a key of it */
    struct key_reader *reader; /* changes.c's own */
};

struct changes {
    const struct config *cfg;
    struct changed_table *tables;
    size_t table_count;
    struct fence_place until;
    /* One key (the texts of its columns, a NUL behind each); may come again and again. Not called for a table that is lost; may
     * set `lost` itself. False ends the reading. */
    bool (*key)(void *ctx, struct changed_table *table, const char *key, size_t len, struct err *err);
    void *ctx;
};

/* Tells the keys of all changes behind each table's `since`, up to and with `until`. False only where key() was. A journal that cannot
 * be read loses all tables. @thread any */
bool changes_read(struct changes *changes, struct err *err) MUST_CHECK;
void changed_table_release(struct changed_table *table);

#endif
