/* What the files of cutover/dossier share. */
#ifndef CUTOVER_DOSSIER_INTERNAL_H
#define CUTOVER_DOSSIER_INTERNAL_H

#include "cutover/cutover_internal.h"
#include "cutover/dossier/dossier.h"
#include "cutover/history.h"
#include "json/text.h"

struct dossier {
    const struct config *cfg;
    const struct dossier_request *req;
    struct cutover co;        /* its sessions: target, and source if that is there */
    char source_away[1200];   /* why the source could not be asked; "" = it was */
    bool recorded;            /* there is a cutover to be told of */
    struct cutover_past past; /* if recorded */
    int64_t began_us;         /* the run, by the target's clock; 0 = none */
    int64_t ended_us;         /* … done or aborted; 0 = not yet */
    json_t *doc;
};

/* What a server or a person has said, fit to be shown; null for NULL and "". */
json_t *dossier_say(const struct dossier *d, const char *text);
json_t *dossier_time(int64_t wall_us); /* null for 0 */
json_t *dossier_ms(int64_t us);        /* null below 0 */
int64_t dossier_int(const json_t *object, const char *key, int64_t otherwise);
static inline void dossier_put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

/* The sections; each puts its own members into the document. */
bool dossier_run(struct dossier *d, struct err *err) MUST_CHECK;       /* run.c: timeline, pause, poolers */
bool dossier_gates(struct dossier *d, struct err *err) MUST_CHECK;     /* gates.c: gates, estimates */
bool dossier_approvals(struct dossier *d, struct err *err) MUST_CHECK; /* approvals.c */
bool dossier_verdicts(struct dossier *d, struct err *err) MUST_CHECK;  /* proof.c */
bool dossier_rollback(struct dossier *d, struct err *err) MUST_CHECK;
bool dossier_audit(struct dossier *d, struct err *err) MUST_CHECK;
void dossier_ready(struct dossier *d); /* ready.c: yes or no, and why; the last */

/* Parts of the page; each adds nothing where it has nothing to say. */
void dossier_page_gates(struct strbuf *out, const json_t *doc);
void dossier_page_plan(struct strbuf *out, const json_t *doc);     /* page_plan.c: expected times */
void dossier_page_timeline(struct strbuf *out, const json_t *doc); /* page_timeline.c */
void dossier_page_pause(struct strbuf *out, const json_t *doc);    /* page_pause.c */
void dossier_page_proof(struct strbuf *out,
                        const json_t *doc); /* page_proof.c: verdicts, approvals, way back, audit */
/* page.c: what they share. "–" stands for null. */
void dossier_page_ms(struct strbuf *out, const json_t *object, const char *key);
void dossier_page_time(struct strbuf *out, const char *iso);
void dossier_page_prose(struct strbuf *out, const char *text); /* what stands in `…` is code */
/* label: the column's head, which stands in the cell where the screen is too narrow for a table. */
void dossier_page_td(struct strbuf *out, const char *class, const char *label);
void dossier_page_cell(struct strbuf *out, const char *class, const char *label, const char *text);
void dossier_page_term(struct strbuf *out, const char *label, const char *text); /* <dt>, <dd> */

#endif
