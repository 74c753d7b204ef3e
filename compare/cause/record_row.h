/* Which of the wanted rows a record is about, and what it says of it. Private to cause/. */
#ifndef COMPARE_CAUSE_RECORD_ROW_H
#define COMPARE_CAUSE_RECORD_ROW_H

#include "compare/cause/journal_rows.h"

struct record_rows;

/* The look, sorted, must outlive it. */
struct record_rows *record_rows_new(struct journal_look *look);
/* Adds the images of a change to the rows that it is about. Its schema must live as long as this, or until another one comes. */
void record_rows_take(struct record_rows *rows, const struct change *chg, int32_t partition, uint64_t offset,
                      unsigned part);
/* Every row has what it wants. */
bool record_rows_satisfied(const struct record_rows *rows);
/* Drops rows that were met in this part first. */
void record_rows_forget(struct record_rows *rows, unsigned part);
void record_rows_free(struct record_rows *rows);

#endif
