/*
 * Configuration: one YAML file behind one option table (options.c) that also drives command-line flags, environment and
 * docs/CONFIG.md. Values are read by their dotted key; asking for a key that is not in the table is a BUG.
 *
 * Order of precedence: flag --source.url=…, then the file (with ${VAR} from the environment), then the default.
 * Errors say file:line:column, what was found, what was expected.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/strbuf.h"

struct config;

/* path NULL: $CROSSFADE_CONFIG, else ./crossfade.yaml, else $XDG_CONFIG_HOME/crossfade/crossfade.yaml, else
 * /etc/crossfade/crossfade.yaml. overrides: "key=value" texts from flags. */
bool config_load(const char *path, const char *const *overrides, size_t override_count, struct config **ret,
                 struct err *err) MUST_CHECK;
void config_free(struct config *cfg); /* NULL allowed */

/* Owned by cfg. config_text gives NULL for an option that is not set and has no default. */
const char *config_text(const struct config *cfg, const char *key);
int64_t config_int(const struct config *cfg, const char *key); /* sizes in bytes, times in the unit of the key's name */
bool config_bool(const struct config *cfg, const char *key);
const char *const *config_list(const struct config *cfg, const char *key, size_t *ret_count);
/* ERR_CONFIG if one of the keys is not set (the command needs it). */
bool config_require(const struct config *cfg, struct err *err, const char *key, ...) MUST_CHECK __attribute__((sentinel));

/* docs/CONFIG.md from the option table. */
void config_reference_markdown(struct strbuf *out);
/* All options with value and origin; secrets masked. */
void config_dump(const struct config *cfg, struct strbuf *out);

#endif
