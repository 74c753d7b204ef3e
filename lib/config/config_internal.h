/* What a loaded configuration holds. Private to this module. */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config/config.h"
#include "config/option.h"

enum origin { ORIGIN_UNKNOWN = 0, ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_FLAG };

struct setting {
    struct option_value value;
    enum origin origin;
    int line; /* in the file */
};

struct config {
    char *file;                /* "" = none */
    struct config *forward;    /* reverse.c: what this one was turned round from; NULL = it was not */
    struct setting settings[]; /* parallel to option_table */
};

#endif
