/* Whether a source's settings and rights let its binlog be read. @thread owner of the connection */
#ifndef MARIA_BINLOG_CHECKS_H
#define MARIA_BINLOG_CHECKS_H

#include "maria/conn.h"

enum binlog_verdict { BINLOG_CHECK_UNKNOWN = 0, BINLOG_CHECK_PASS, BINLOG_CHECK_WARN, BINLOG_CHECK_FAIL };

/* name: "log_bin"; text: what was found, and for WARN and FAIL what to do ("Hint: …"). Valid during the call. */
typedef void binlog_each_check(void *ctx, enum binlog_verdict verdict, const char *name, const char *text);

/* Every check once, in one order, as the user of `conn`. False: a question could not be asked. */
bool binlog_check(struct maria_conn *conn, binlog_each_check *each, void *ctx, struct err *err) MUST_CHECK;

#endif
