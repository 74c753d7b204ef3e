/* Owns: from a refused statement to the GRANT that would let it pass. See privilege.h. */
#include "pg/privilege.h"

#include <ctype.h>
#include <string.h>

#include "pg/conn.h"

/* What a role needs that writes a table at all, so that it is not told one by one. */
#define WRITER_RIGHTS "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"

static bool writes(const char *statement)
{
    static const char *const words[] = {"INSERT", "UPDATE", "DELETE", "TRUNCATE", "MERGE", "WITH"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strncmp(statement, words[i], strlen(words[i])) == 0)
            return true;
    }
    return strncmp(statement, "COPY ", 5) == 0 && strstr(statement, " TO STDOUT") == NULL &&
           strncmp(statement, "COPY (", 6) != 0;
}

static const char *rights_on(const char *kind, const char *statement)
{
    static const struct {
        const char *kind, *rights;
    } others[] = {{"schema", "USAGE"},     {"database", "CREATE"},     {"sequence", "SELECT, UPDATE"},
                  {"function", "EXECUTE"}, {"type", "USAGE"},          {"language", "USAGE"},
                  {"parameter", "SET"},    {"foreign server", "USAGE"}};
    if (strcmp(kind, "schema") == 0 && strncmp(statement, "CREATE", 6) == 0)
        return "USAGE, CREATE";
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(kind, others[i].kind) == 0)
            return others[i].rights;
    }
    return strcmp(kind, "table") != 0 ? NULL : writes(statement) ? WRITER_RIGHTS : "SELECT";
}

void pg_privilege_hint(const char *role, const char *statement, const char *message, struct strbuf *sb)
{
    static const char denied[] = "permission denied for ";
    char kind[24] = "";
    const char *rights = NULL, *name = NULL;
    if (message != NULL && strncmp(message, denied, sizeof denied - 1) == 0) {
        const char *object = message + sizeof denied - 1;
        name = strrchr(object, ' ');
        size_t len = name != NULL ? (size_t)(name - object) : 0;
        if (len > 0 && len < sizeof kind) {
            memcpy(kind, object, len);
            rights = rights_on(kind, statement);
        }
    }
    if (rights != NULL) {
        for (char *p = kind; *p != '\0'; p++)
            *p = (char)toupper((unsigned char)*p);
        strbuf_addf(sb, " Hint: GRANT %s ON %s %s TO ", rights, kind, name + 1);
        if (role != NULL)
            pg_quote_ident(sb, role);
        strbuf_adds(sb, ";");
    } else {
        strbuf_adds(sb, " Hint:");
    }
    strbuf_adds(sb, " crossfade check names what is missing, docs/PRIVILEGES.md has it all");
}
