/* A set of names, for catalogs with tens of thousands of them. Private to this module. @thread: one owner at a time. */
#ifndef SCHEMA_NAME_SET_H
#define SCHEMA_NAME_SET_H

#include <stdbool.h>
#include <stddef.h>

struct name_set {
    char **slots;
    size_t size, count;
};

/* Takes name (malloc'd) over. False: it was there. */
bool name_set_add(struct name_set *set, char *name);
bool name_set_has(const struct name_set *set, const char *name);
void name_set_release(struct name_set *set);

#endif
