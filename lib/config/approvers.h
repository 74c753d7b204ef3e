/*
 * Who may approve a cutover, and what has to be approved: cutover.approvers, cutover.approval.
 * @thread any
 */
#ifndef CONFIG_APPROVERS_H
#define CONFIG_APPROVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum approval_kind {
    APPROVAL_CONFIRM = 0, /* whoever runs it types the database's name: no row, no key */
    APPROVAL_TICKET,
    APPROVAL_SECOND_PERSON,
    APPROVAL_BACKUP,
    APPROVAL_REHEARSAL,
    APPROVAL_KINDS
};

const char *approval_kind_name(enum approval_kind kind);
/* APPROVAL_KINDS: it is none. */
enum approval_kind approval_kind_parse(const char *name);
bool approval_kind_fits(const char *name);
/* Whether cutover.approval asks for it. */
bool approval_is_wanted(const struct config *cfg, enum approval_kind kind);
/* Whether it asks for anything. */
bool approval_is_on(const struct config *cfg);

struct approver {
    char *name;
    char *key;    /* Ed25519, base64 (core/ed25519.h) */
    char **users; /* of the operating system or of a database that are this person, too */
    size_t user_count;
};

/* Whether one of cutover.approvers reads. */
bool approver_check(const char *text, struct err *err) MUST_CHECK;
/* All of them; ERR_CONFIG where two have one name or one key. */
bool approvers_read(const struct config *cfg, struct approver **ret, size_t *ret_count,
                    struct err *err) MUST_CHECK;
void approvers_free(struct approver *approvers, size_t count); /* NULL allowed */

#endif
