/* Completion for shells, written from the command and option tables (crossfade docs bash, crossfade docs zsh). */
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H

#include "core/strbuf.h"

void completion_bash(struct strbuf *out);
void completion_zsh(struct strbuf *out);

#endif
