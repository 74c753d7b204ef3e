/*
 * All that is to be told of a cutover, as one JSON document (schemas/cutover-report.schema.json): from what is recorded on the target
 * (crossfade.cutover, crossfade.audit, crossfade.verdict) and from what a command has measured just now. Page and text say what the
 * document says, and nothing else. No secrets: URLs lose their passwords, hooks are told by number (one that failed is named by the reason), what servers quote goes where
 * compare.redact is set. Reads only. @thread any
 */
#ifndef CUTOVER_DOSSIER_DOSSIER_H
#define CUTOVER_DOSSIER_DOSSIER_H

#include <jansson.h>

#include "cutover/cutover.h"

#define DOSSIER_FORMAT 1

struct dossier_request {
    const char *command;              /* "plan", "run", …: who asks */
    const char *id;                   /* which cutover; NULL = that of `now`, without it the newest */
    const struct cutover_report *now; /* what the command has found; NULL = from records alone */
    const char *failed;               /* why the command did not end in good order; NULL = it did */
};

/* A new reference. ERR_REFUSED: no such cutover is recorded. */
bool dossier_make(const struct config *cfg, const struct dossier_request *req, json_t **ret,
                  struct err *err) MUST_CHECK;
/* One page without outside parts. data: the file that holds the document, NULL = none. */
bool dossier_page(const json_t *doc, const char *data, struct strbuf *out, struct err *err) MUST_CHECK;
/* place: a file (….html, ….json), or a folder: then <place>/<id>/report.{html,json} as compare.report_formats says, and the link
 * <place>/cutover-latest points there. *ret_file: what a person opens; malloc'd. */
bool dossier_write(const struct config *cfg, const json_t *doc, const char *place, char **ret_file,
                   struct err *err) MUST_CHECK;

/* False for a file of a kind that is not written ("report.pdf"), which would become a folder of that name. */
bool dossier_place_fits(const char *place);

/* Reading the document: "" and -1 for what is not there. */
const char *dossier_text(const json_t *object, const char *key);
double dossier_number(const json_t *object, const char *key);

#endif
