/* Log sequence numbers of PostgreSQL: 64 bits, written X/X. A variable is named <state>_lsn (received_lsn,
 * commit_lsn, commit_end_lsn, journaled_lsn, applied_lsn …). 0 means "none". */
#ifndef CORE_LSN_H
#define CORE_LSN_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t lsn_t;

#define LSN_TEXT_MAX 20
/* printf helper: log_event(…, "lsn=" LSN_FMT, LSN_ARGS(lsn)) */
#define LSN_FMT       "%X/%X"
#define LSN_ARGS(lsn) (unsigned)((lsn) >> 32), (unsigned)((lsn)&0xffffffffu)

/* "16/B374D848" into out; returns out. */
char *lsn_format(lsn_t lsn, char out[LSN_TEXT_MAX]);
/* Strict: the whole string must be an LSN. */
bool lsn_parse(const char *text, lsn_t *ret_lsn);

#endif
