/* A cutover as a person reads it at a terminal, from its document (cutover/dossier/dossier.h). */
#ifndef CLI_CUTOVER_TEXT_H
#define CLI_CUTOVER_TEXT_H

#include <jansson.h>

#include "terminal.h"

/* All of it: the answer and why, gates, steps, the pause, what it rests on. */
void cutover_text_report(const struct terminal *term, const json_t *doc, struct strbuf *out);
/* Where it stands: each step with a bar, what is left and for about how long. */
void cutover_text_status(const struct terminal *term, const json_t *doc, struct strbuf *out);
/* "1.2 s", "340 ms", "?" below 0. */
void cutover_text_ms(struct strbuf *out, double ms);

#endif
