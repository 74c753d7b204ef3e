/* What a configuration that is read again says otherwise than the one that runs. Pure. */
#ifndef CONFIG_CHANGES_H
#define CONFIG_CHANGES_H

#include "config/config.h"

/* The options that this command ("apply") reads and that differ, by name, divided by ", ": live: those that a running role takes up; fixed: the
 * others. */
void config_changes(const struct config *was, const struct config *now, const char *command,
                    struct strbuf *live, struct strbuf *fixed);

#endif
