/* Owns: roles in pg_dump's statements, and those that the target does not have. See plan_postgres.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "plan_postgres.h"

int roles_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool roles_has(const char *const *known, size_t count, const char *name)
{
    return strcmp(name, "PUBLIC") == 0 || bsearch(&name, known, count, sizeof *known, roles_compare) != NULL;
}

char *roles_identifier(const char *p, const char **ret_end)
{
    struct strbuf name = STRBUF_INIT(1000);
    if (*p == '"') {
        for (p++; *p != '\0' && (*p != '"' || p[1] == '"'); p++) {
            p += *p == '"';
            strbuf_addc(&name, *p);
        }
        p += *p == '"';
    } else {
        while (isalnum((unsigned char)*p) || *p == '_' || *p == '$')
            strbuf_addc(&name, *p++);
    }
    *ret_end = p;
    return strbuf_detach(&name);
}

static const char *last_of(const char *text, const char *word)
{
    const char *found = NULL;
    for (const char *p = strstr(text, word); p != NULL; p = strstr(p + 1, word))
        found = p;
    return found;
}

/* The roles behind each of these words in a statement of fixed form are there. */
static bool roles_known(const char *statement, const char *const *words, const char *const *known,
                        size_t count)
{
    for (; *words != NULL; words++) {
        const char *at = last_of(statement, *words), *end = NULL;
        if (at == NULL)
            continue;
        char *name CLEANUP(free_ptr) = roles_identifier(at + strlen(*words), &end);
        if (!roles_has(known, count, name))
            return false;
    }
    return true;
}

static bool keeps_statement(const char *s, const char *const *known, size_t count)
{
    static const char *const owner[] = {" OWNER TO ", NULL}, *const grant[] = {" TO ", NULL},
                             *const revoke[] = {" FROM ", NULL},
                             *const defaults[] = {" FOR ROLE ", " TO ", " FROM ", NULL};
    if (strncmp(s, "ALTER DEFAULT PRIVILEGES ", 25) == 0)
        return roles_known(s, defaults, known, count);
    if (strncmp(s, "ALTER ", 6) == 0)
        return roles_known(s, owner, known, count);
    if (strncmp(s, "GRANT ", 6) == 0)
        return roles_known(s, grant, known, count);
    if (strncmp(s, "REVOKE ", 7) == 0)
        return roles_known(s, revoke, known, count);
    return true;
}

bool plan_drop_roles(const char *sql, const char *const *known, size_t known_count, struct strbuf *out)
{
    const char *at = sql, *from = NULL;
    size_t len = 0;
    bool dropped = false;
    while (dump_next_statement(&at, &from, &len)) {
        char *statement CLEANUP(free_ptr) = xstrndup(from, len);
        if (!keeps_statement(statement, known, known_count)) {
            dropped = true;
            continue;
        }
        strbuf_add(out, from, len);
        strbuf_addc(out, '\n');
    }
    return dropped;
}
