/* Dead letters of the MariaDB target (target/dead_letter.h): what letters.c (apply's side) and letters_desk.c (people's side) share. */
#ifndef TARGET_MARIADB_LETTERS_H
#define TARGET_MARIADB_LETTERS_H

#include "mariadb.h"
#include "target/dead_letter.h"

/* letters.c */
/* Bytes of a cell of the row at hand; NULL for null. */
const void *md_cell_bytes(const struct md_rows *rows, size_t column, size_t *ret_len);
/* Text of a cell, "" for null. */
const char *md_cell_text(const struct md_rows *rows, size_t column);

extern const struct target_narrow_ops md_narrow;
extern const struct target_letters_ops md_letters;
/* letters_desk.c: on a connection of its own. */
/* Nothing but a connection, to be closed with md_close; *ret_there: this control table is. NULL: *err. */
struct md_target *md_desk_open(const char *url, const char *table, bool *ret_there, struct err *err);
extern const struct target_desk_ops md_desk;

#endif
