/*
 * Configuration: one YAML file behind one option table (options.c) that also drives command-line flags,
 * environment and docs/CONFIG.md. Values are read by their dotted key; asking for a key that is not in the
 * table is a BUG.
 *
 * Order of precedence: flag --source.url=…, then the file (with ${VAR} from the environment), then the
 * default. Errors say file:line:column, what was found, what was expected. In the file, ${VAR} stands for an
 * environment variable (unset: refused), ${VAR:-text} has a default, $$ is a dollar sign.
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
/* The same, and every problem found (up to 10) as a line of its own in *problems; *err then holds the first.
 */
bool config_load_reporting(const char *path, const char *const *overrides, size_t override_count,
                           struct strbuf *problems, struct config **ret, struct err *err) MUST_CHECK;
/* From a text instead of a file (tests); `name` stands in messages. problems may be NULL. */
bool config_load_text(const char *name, const char *text, size_t len, const char *const *overrides,
                      size_t override_count, struct strbuf *problems, struct config **ret,
                      struct err *err) MUST_CHECK;
void config_free(struct config *cfg); /* NULL allowed */

/* The same pipeline turned round, for the way back: source and target swapped, a name, journal and addresses of its own (section reverse),
 * no first copy, and none of what apply wrote. Of one that is turned: the one it was made from. A copy, to be freed; cfg stays as it is.
 * ERR_CONFIG: it cannot be turned (filters, MariaDB, Debezium's topics). */
bool config_reversed(const struct config *cfg, struct config **ret, struct err *err) MUST_CHECK;
bool config_is_reversed(const struct config *cfg);
/* Turned round, and what was its target is MariaDB: names of tables are PostgreSQL's still, with public for the URL's database. */
bool config_comes_from_mariadb(const struct config *cfg);

/* Owned by cfg. config_text gives NULL for an option that is not set and has no default. */
const char *config_text(const struct config *cfg, const char *key);
int64_t config_int(const struct config *cfg,
                   const char *key); /* sizes in bytes, times in the unit of the key's name */
bool config_bool(const struct config *cfg, const char *key);
/* Lists, and maps as "name=value". NULL-terminated; never NULL itself; ret_count may be NULL. */
const char *const *config_list(const struct config *cfg, const char *key, size_t *ret_count);
bool config_is_set(const struct config *cfg, const char *key); /* given or has a default */
/* ERR_CONFIG if one of the keys is not set (the command needs it). */
bool config_require(const struct config *cfg, struct err *err, const char *key, ...) MUST_CHECK
    __attribute__((sentinel));
/* As config_require, for all options without which this command ("capture") cannot run. */
bool config_require_for(const struct config *cfg, const char *command, struct err *err) MUST_CHECK;
/* The file that was read, or "" if there was none. */
const char *config_file(const struct config *cfg);

/* The whole of it, secrets included, as a text without zero bytes for another process of this executable; and back (text[len] is a zero byte). ERR_DATA: it is no such text. */
void config_pack(const struct config *cfg, struct strbuf *out);
bool config_unpack(const char *text, size_t len, struct config **ret, struct err *err) MUST_CHECK;

/* docs/CONFIG.md from the option table. */
void config_reference_markdown(struct strbuf *out);
/* The OPTIONS section of the man page, in roff. */
void config_reference_man(struct strbuf *out);

/* What a shell's completion has to know of the n-th option. */
struct config_option_shape {
    const char *key, *help;
    const char *choices; /* "a|b|c"; NULL = any value */
    bool is_path;
};
/* False: there is no n-th one. */
bool config_option_shape(size_t n, struct config_option_shape *ret);
bool config_option_is_read_by(size_t n, const char *command);
/* All options with value and origin; secrets masked. */
void config_dump(const struct config *cfg, struct strbuf *out);
/* Options whose key begins so, with their values, a line each, in the table's order: two configurations that say the same give the same
 * text. Passwords are masked, so that another password is no difference; secrets are not told. */
void config_section(const struct config *cfg, const char *prefix, struct strbuf *out);

#endif
