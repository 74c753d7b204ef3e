/*
 * Log: messages to people and machines, never the change log (that is the journal). One event = one line on
 * stderr: time, level, role, stable event name, key=value pairs; or the same as JSON. No row values above
 * debug, no secrets. Events are in one table (log_events.h), which also limits how often each is written.
 * @thread any
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>

#include "core/attr.h"

enum log_level { LOG_LEVEL_UNKNOWN = 0, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* role: "capture", "apply", … (kept by pointer). Call once, before threads start. */
void log_init(const char *role, enum log_level least, bool json);
/* fmt makes "key=value key=value …"; values with blanks are quoted by the caller ("text=\"%s\"") or come
 * last. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool log_enabled(enum log_level level);

/* Writes a URL or conninfo into out (always terminated; out_size >= 1) with "***" for each secret: passwords
 * of scheme://user:password@host, values of ?password=…, &sslpassword=…, conninfo's password = …, and of any
 * other name that ends like one (secret, token, …). Returns out. */
char *log_mask_url(const char *url, char *out, unsigned long out_size);
/* The same for a sentence in which such things may stand, word by word: what is around them stays readable. For texts whose parts were masked
 * where they came from: of a connection string in pieces (blanks around '=' or in a password) it would miss some. Returns out. */
char *log_mask_text(const char *text, char *out, unsigned long out_size);

#endif
