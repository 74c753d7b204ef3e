/*
 * Approvals of a cutover: rows of the audit chain (event "approval.given"), each signed by the Ed25519 key of one of cutover.approvers. An
 * approval is of one kind, for one plan (plan.c: a hash of what the cutover would do), for a time, and for one cutover: with the first step of a
 * cutover a row "approval.used" names those that it rests on, and they hold for no other.
 * @thread owner
 */
#ifndef CUTOVER_APPROVAL_APPROVAL_H
#define CUTOVER_APPROVAL_APPROVAL_H

#include "audit/audit.h"
#include "config/approvers.h"
#include "core/ed25519.h"
#include "core/nonce.h"

#define APPROVAL_NOTE_MAX 400
#define APPROVAL_GIVEN    "approval.given"
#define APPROVAL_USED     "approval.used"
#define APPROVAL_REVOKED  "approval.revoked"
#define REHEARSED         "rollback.rehearsed"

struct cutover;

/* One approval, as it was signed. */
struct approval {
    enum approval_kind kind;
    char pipeline[64];
    char plan[SHA256_HEX];
    char approver[AUDIT_NAME_MAX];
    char os_user[AUDIT_NAME_MAX], db_user[AUDIT_NAME_MAX], host[AUDIT_NAME_MAX];
    int64_t issued_us, expires_us; /* the target's clock */
    char nonce[NONCE_MAX];
    char note[APPROVAL_NOTE_MAX + 1];
    char signature[ED25519_SIGNATURE_MAX];
};

/* --- signed.c --- */
bool approval_sign(struct approval *a, const struct ed25519_key *key, struct err *err) MUST_CHECK;
/* Whether this public key has signed all of it. */
bool approval_holds(const struct approval *a, const char *public_key, struct err *err, bool *ret) MUST_CHECK;
/* The detail of its row (a new reference), and back; false: the row is none. */
json_t *approval_json(const struct approval *a);
bool approval_parse(const struct audit_row *row, struct approval *ret);

/* --- plan.c --- */
/* SHA-256 of what a cutover would do: version, both databases, tables, steps, settings. The same as long as none of them changes. */
bool approval_plan_hash(struct cutover *co, char ret[SHA256_HEX], struct err *err) MUST_CHECK;

/* --- look.c --- */
struct approval_state {
    bool wanted, met;
    char by[AUDIT_NAME_MAX]; /* whose approval it is */
    char nonce[NONCE_MAX];
    char why[240]; /* why the newest one does not count; "none was given" */
};

struct approvals {
    struct approval_state of[APPROVAL_KINDS]; /* CONFIRM is not among the wanted here */
};

/* Who would run the cutover: for "second_person". */
struct approval_runner {
    const char *os_user, *db_user;
};

/* What of cutover.approval is there for this plan, now. */
bool approvals_look(const struct config *cfg, struct audit *audit, const char *plan,
                    const struct approval_runner *runner, struct approvals *ret, struct err *err) MUST_CHECK;
/* Names what is missing and why ("second_person (own approval)"); "" = nothing is. Returns how many. */
size_t approvals_missing(const struct approvals *all, struct strbuf *out);
/* The nonces that a cutover rests on, for its row "approval.used"; NULL = none. A new reference. */
json_t *approvals_used(const struct approvals *all);

/* --- rehearsed.c --- */
/* The last `crossfade rollback rehearse` that tried a rollback. */
struct rehearsed {
    int64_t seq; /* of its row; 0 = there was none */
    bool passed;
    char text[120];   /* when, with what outcome, how long it took */
    char reason[240]; /* what it found; "" = nothing */
};

bool rehearsed_last(struct audit *audit, const char *pipeline, struct rehearsed *ret,
                    struct err *err) MUST_CHECK;

/* --- give.c --- */
struct approve_request {
    const char *key_file;
    const char *note; /* NULL = none; of a rehearsal: what the audit log tells of the last one */
    const enum approval_kind *kinds;
    size_t kind_count;
    int64_t valid_s;  /* 0 = cutover.approval_valid_s */
    const char *plan; /* the hash that the person has looked at; NULL = what the plan is now */
};

struct approve_result {
    char plan[SHA256_HEX];
    char approver[AUDIT_NAME_MAX];
    int64_t expires_us;
    size_t count;
    struct approval given[APPROVAL_KINDS];
    struct audit_mark mark;
};

bool cutover_approve(const struct config *cfg, const struct approve_request *req, struct approve_result *ret,
                     struct err *err) MUST_CHECK;
/* An approval that is taken back holds no more. */
bool cutover_revoke(const struct config *cfg, const char *nonce, struct audit_mark *ret,
                    struct err *err) MUST_CHECK;
/* What there is now, for the plan as it is now. */
bool cutover_approvals(const struct config *cfg, char ret_plan[SHA256_HEX], struct approvals *ret,
                       struct err *err) MUST_CHECK;

#endif
