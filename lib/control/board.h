/* What the writers of /status and /metrics see: one consistent copy of a board, and what follows from it.
 * Private. */
#ifndef CONTROL_BOARD_H
#define CONTROL_BOARD_H

#include "control/status_tables.h"

#define BOARD_TROUBLE_MAX 600

struct board_view {
    struct role_status status;
    struct table_status *tables; /* = status.tables, owned; status.table_count of them */
    enum status_tables tables_wanted;
    int64_t now_us;       /* wall */
    int64_t published_us; /* wall; when the role spoke last, 0 = never */
    char trouble[BOARD_TROUBLE_MAX];
    int64_t rate_asked; /* desk_rate_asked() */
    bool drains, pause_asked;
    double changes_per_s, rows_per_s, bytes_per_s; /* over the last 10 s */
};

void board_look(struct status_board *board, struct board_view *ret);
void board_look_with(struct status_board *board, enum status_tables tables, struct board_view *ret);
void board_view_release(struct board_view *view);

/* Bytes of WAL between the stage before and this one: capture source − journaled, apply journaled − applied.
 * False: not known. */
bool board_view_lag_bytes(const struct board_view *view, uint64_t *ret);
/* Seconds since the latest of: the commit at the role's position; the moment it last had nothing to do; the
 * moment it last said that no WAL lies between. So the figure grows when a role hangs, and an idle pipeline
 * has none. */
bool board_view_lag_seconds(const struct board_view *view, double *ret);
/* Percent of the copy; seconds left, -1 = not known. False: no estimate. */
bool board_view_eta(const struct board_view *view, double *ret_percent, double *ret_eta_s);

#endif
