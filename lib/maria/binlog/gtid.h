/*
 * MariaDB's global transaction ids, and positions: for each replication domain the last transaction that is behind us. Written as the
 * server does: "0-1-100,5-7-3". Inside of a domain numbers rise (gtid_strict_mode), whatever server wrote them; domains have no order
 * among each other.
 * @thread: one owner at a time.
 */
#ifndef MARIA_BINLOG_GTID_H
#define MARIA_BINLOG_GTID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

#define GTID_DOMAINS_MAX 10000
#define GTID_TEXT_MAX    48

struct gtid {
    uint32_t domain, server;
    uint64_t seq; /* 0 = none */
};

/* Sorted by domain, one entry for each. Zeroed = empty. */
struct gtid_list {
    struct gtid *items;
    size_t count;
};

/* An empty text is an empty list. ERR_CONFIG: not a list of GTIDs, or two of one domain. */
bool gtid_list_parse(const char *text, struct gtid_list *ret, struct err *err) MUST_CHECK;
/* Replaces what the list has for that domain. ERR_NO_MEMORY: more than GTID_DOMAINS_MAX domains. */
bool gtid_list_set(struct gtid_list *list, struct gtid gtid, struct err *err) MUST_CHECK;
const struct gtid *gtid_list_find(const struct gtid_list *list, uint32_t domain); /* NULL = none of it */
/* Whether the transaction is at or before the position. */
bool gtid_list_covers(const struct gtid_list *list, struct gtid gtid);
/* Whether all that `part` is behind, `list` is behind as well. */
bool gtid_list_includes(const struct gtid_list *list, const struct gtid_list *part);
void gtid_list_add_text(const struct gtid_list *list, struct strbuf *out);
void gtid_list_copy(const struct gtid_list *from, struct gtid_list *ret); /* releases what *ret had */
void gtid_list_release(struct gtid_list *list);
/* "0-1-100"; returns out. */
const char *gtid_text(struct gtid gtid, char out[GTID_TEXT_MAX]);

#endif
