/* Which records of tables' shapes count, in a journal that was written without transactions (shapes.h): a unit that never got its
 * fence has left them all the same. @thread owner */
#ifndef CAPTURE_SHAPE_VOIDS_H
#define CAPTURE_SHAPE_VOIDS_H

#include <jansson.h>

#include "journal/journal.h"

/* Zeroed: nothing is known. */
struct shape_voids {
    struct shape_void_range {
        uint64_t from, to; /* offsets [from, to) */
    } * ranges;
    size_t count;
    uint64_t fenced_next; /* behind it nothing is under a fence */
    bool unfenced;        /* such a one was met */
};

void shape_voids_release(struct shape_voids *voids);
/* The record says what is void. */
bool shape_voids_is(const json_t *root);
void shape_voids_take(struct shape_voids *voids, const json_t *root, const struct journal_record *rec);
/* The record means nothing. Asked when all that says so has been noted. */
bool shape_voids_has(struct shape_voids *voids, const json_t *root, const struct journal_record *rec);
/* The text that makes shapes from this offset on void; malloc'd. */
char *shape_voids_text(uint64_t from);

#endif
