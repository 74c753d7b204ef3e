/* Owns: what of a server's error may be shown, and from a refused statement to the GRANT that would let it pass. See message.h. */
#include "pg/message.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/attr.h"
#include "pg/conn.h"

/* In these classes the server's details are about objects, sessions and limits, never about values of rows ("Failing row
 * contains (…)", "Key (mail)=(…) already exists"). Documentation: "PostgreSQL Error Codes". */
bool pg_detail_is_harmless(const char *state)
{
    static const char classes[][3] = {"08", "0A", "25", "26", "28", "2B", "3D", "3F",
                                      "40", "42", "53", "54", "55", "57", "58"};
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    }
    return false;
}

/* The primary message as it may stand in a log. Of data exceptions it quotes the value (invalid input syntax for type integer:
 * "hush"), which may hold quotation marks itself, or shows its bytes behind a colon. */
void pg_safe_message(const char *state, const char *text, char *out, size_t size)
{
    const char *first = strncmp(state, "22", 2) == 0 ? strchr(text, '"') : NULL;
    const char *last = first != NULL ? strrchr(text, '"') : NULL;
    if (first == NULL)
        (void)snprintf(out, size, "%s", text);
    else
        (void)snprintf(out, size, "%.*s\"…\"%.*s", (int)(first - text), text, (int)strcspn(last + 1, ":"),
                       last > first ? last + 1 : "");
}

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

static void add_role(struct strbuf *sb, const char *role)
{
    if (role != NULL)
        pg_quote_ident(sb, role);
    else
        strbuf_adds(sb, "our role");
    strbuf_addc(sb, ';');
}

/* Refusals that name no object as others do. Server: acl_check and ereport() of slot.c, walsender.c, signalfuncs.c, namespace.c, in
 * the words of 14 to 18. */
static bool special_hint(const char *role, const char *message, struct strbuf *sb)
{
    static const struct {
        const char *words, *before, *after;
    } cases[] = {
        {"replication role to use replication slots", "ALTER ROLE ", " REPLICATION"},
        {"permission denied to use replication slots", "ALTER ROLE ", " REPLICATION"},
        {"replication role to start walsender", "ALTER ROLE ", " REPLICATION"},
        {"permission denied to start WAL sender", "ALTER ROLE ", " REPLICATION"},
        {"member of pg_signal_backend", "GRANT pg_signal_backend TO ", ""},
        {"permission denied to terminate process", "GRANT pg_signal_backend TO ", ""},
        {"must be owner of", "that takes its owner's role: GRANT that to ", ""},
    };
    static const char temporary[] = "permission denied to create temporary tables in database ";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (strstr(message, cases[i].words) == NULL)
            continue;
        strbuf_addf(sb, " Hint: %s", cases[i].before);
        if (*cases[i].after != '\0' && role != NULL) {
            pg_quote_ident(sb, role);
            strbuf_addf(sb, "%s;", cases[i].after);
        } else {
            add_role(sb, role);
        }
        return true;
    }
    if (strncmp(message, temporary, sizeof temporary - 1) != 0)
        return false;
    strbuf_addf(sb, " Hint: GRANT TEMPORARY ON DATABASE %s TO ", message + sizeof temporary - 1);
    add_role(sb, role);
    return true;
}

/* One of our control tables: not all that a writer of rows needs, only what the statement wants. */
static const char *control_rights(const char *statement, const char *name)
{
    char whole[80];
    (void)snprintf(whole, sizeof whole, "crossfade.%s", name);
    if (strstr(statement, whole) == NULL)
        return NULL;
    return strncmp(statement, "INSERT", 6) == 0 ? "SELECT, INSERT"
           : writes(statement)                  ? "SELECT, INSERT, UPDATE, DELETE"
                                                : "SELECT";
}

void pg_privilege_hint(const char *role, const char *statement, const char *message, struct strbuf *sb)
{
    static const char denied[] = "permission denied for ";
    char kind[24] = "";
    const char *rights = NULL, *name = NULL, *schema = "";
    if (message != NULL && strncmp(message, denied, sizeof denied - 1) == 0) {
        const char *object = message + sizeof denied - 1;
        name = strrchr(object, ' ');
        size_t len = name != NULL ? (size_t)(name - object) : 0;
        if (len > 0 && len < sizeof kind) {
            memcpy(kind, object, len);
            rights = rights_on(kind, statement);
        }
    }
    const char *control =
        rights != NULL && strcmp(kind, "table") == 0 ? control_rights(statement, name + 1) : NULL;
    if (control != NULL) {
        rights = control;
        schema = "crossfade.";
    }
    if (rights != NULL) {
        for (char *p = kind; *p != '\0'; p++)
            *p = (char)toupper((unsigned char)*p);
        strbuf_addf(sb, " Hint: GRANT %s ON %s %s%s TO ", rights, kind, schema, name + 1);
        add_role(sb, role);
    } else if (message == NULL || !special_hint(role, message, sb)) {
        strbuf_adds(sb, " Hint:");
    }
    strbuf_adds(sb, " crossfade check names what is missing, docs/PRIVILEGES.md has it all");
}

void pg_connect_hint(const char *role, const char *database, const char *text, struct strbuf *sb)
{
    bool walsender = strstr(text, "replication role to start walsender") != NULL ||
                     strstr(text, "permission denied to start WAL sender") != NULL; /* 16 and later */
    bool connect = strstr(text, "permission denied for database") != NULL;
    if (role == NULL || database == NULL || (!walsender && !connect))
        return;
    strbuf_adds(sb, " Hint: ");
    strbuf_adds(sb, walsender ? "ALTER ROLE " : "GRANT CONNECT ON DATABASE ");
    if (!walsender) {
        pg_quote_ident(sb, database);
        strbuf_adds(sb, " TO ");
    }
    pg_quote_ident(sb, role);
    strbuf_addf(sb, "%s (docs/PRIVILEGES.md)", walsender ? " REPLICATION" : "");
}
