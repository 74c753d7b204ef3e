/* Which tables of a copy /status tells of: the list is long where there are many. */
#ifndef CONTROL_STATUS_TABLES_H
#define CONTROL_STATUS_TABLES_H

#include "control/status.h"

enum status_tables {
    STATUS_TABLES_NOW = 0, /* those of a copy that runs */
    STATUS_TABLES_NONE,    /* ?tables=no: snapshot has no "tables" */
    STATUS_TABLES_LAST /* ?tables=last: when none runs, those of the last one since the start, as they were at its end */
};

/* As status_board_json(). malloc'd. @thread any */
char *status_board_json_with(struct status_board *board, enum status_tables tables);

#endif
