/* Owns: the table from MariaDB's error numbers to ours, and what of a server's text may be shown. See connect.h. */
#include <stdio.h>
#include <string.h>

#include "core/strbuf.h"
#include "maria/connect.h"

/* The twin of pg_sqlstate_class: what the loop does is decided by code, and how a batch is taken up again by a SQLSTATE as
 * PostgreSQL has it (apply/step.c), since MariaDB says 23000 to nearly everything.
 * Numbers: MariaDB's "Error Codes" page, mysqld_error.h, errmsg.h (2000 and up: the client's own). */
static const struct {
    unsigned number;
    const char *sqlstate;
    enum err_code code;
} errors[] = {
    {1062, "23505", ERR_DATA}, /* duplicate key */
    {1242, "23505", ERR_DATA}, /* an upsert that met another row (sql.c) */
    {1586, "23505", ERR_DATA}, /* … of a named key */
    {1451, "23503", ERR_DATA}, /* foreign keys */
    {1452, "23503", ERR_DATA},      {1216, "23503", ERR_DATA},
    {1217, "23503", ERR_DATA},      {1048, "23502", ERR_DATA}, /* column cannot be null */
    {1364, "23502", ERR_DATA},                                 /* no default value */
    {4025, "23514", ERR_DATA},                                 /* CHECK */
    {1264, "22003", ERR_DATA},                                 /* out of range */
    {1690, "22003", ERR_DATA},      {1406, "22001", ERR_DATA}, /* too long */
    {1265, "22001", ERR_DATA},                                 /* truncated */
    {1366, "22P02", ERR_DATA},                                 /* incorrect value */
    {1367, "22P02", ERR_DATA},      {1292, "22007", ERR_DATA},
    {1411, "22007", ERR_DATA},      {1526, "23514", ERR_DATA}, /* no partition for the value */
    {1118, "54000", ERR_DATA},                                 /* row too large */
    {1153, "54000", ERR_DATA},                                 /* max_allowed_packet */
    {1301, "54000", ERR_DATA},      {2020, "54000", ERR_DATA},
    {1205, "55P03", ERR_TRANSIENT}, /* lock wait timeout */
    {1213, "40P01", ERR_TRANSIENT}, /* deadlock */
    {1020, "40001", ERR_TRANSIENT}, /* record has changed since last read */
    {1317, "57014", ERR_TRANSIENT}, /* interrupted */
    {1969, "57014", ERR_TRANSIENT}, /* max_statement_time */
    {1412, "40001", ERR_TRANSIENT}, /* table definition has changed */
    {1615, "40001", ERR_TRANSIENT}, /* statement needs to be prepared again */
    {1684, "55P03", ERR_TRANSIENT}, /* information_schema has left a table out that is being altered */
    {1021, "53100", ERR_NO_SPACE},  /* disk full */
    {1114, "53100", ERR_NO_SPACE},  /* table is full */
    {1034, "XX002", ERR_SQL},       /* damaged data: an index, … */
    {1712, "XX002", ERR_SQL},       {1194, "XX001", ERR_SQL}, /* … a table */
    {1195, "XX001", ERR_SQL},       {1877, "XX001", ERR_SQL},
    {1932, "XX001", ERR_SQL},       {1146, "42P01", ERR_SCHEMA}, /* no such table */
    {1049, "3D000", ERR_CONFIG},                                 /* no such database */
    {1054, "42703", ERR_SCHEMA},                                 /* no such column */
    {1045, "28000", ERR_AUTH},      {1044, "42501", ERR_AUTH},
    {1142, "42501", ERR_AUTH},      {1143, "42501", ERR_AUTH},
    {1227, "42501", ERR_AUTH},      {1698, "28000", ERR_AUTH},
    {1130, "28000", ERR_AUTH},      {1524, "28000", ERR_AUTH},
    {2059, "28000", ERR_AUTH},      {2061, "28000", ERR_AUTH},
    {1040, "53300", ERR_CONNECT}, /* too many connections */
    {1203, "53300", ERR_CONNECT},   {1226, "53300", ERR_CONNECT},
    {1053, "57P01", ERR_CONNECT}, /* shutdown in progress */
    {1927, "57P01", ERR_CONNECT}, /* connection was killed */
    {1290, "25006", ERR_CONNECT}, /* read_only: a replica, until it is promoted */
    {1836, "25006", ERR_CONNECT},   {1129, "08004", ERR_CONNECT},
    {1152, "08006", ERR_CONNECT},   {1158, "08006", ERR_CONNECT},
    {1159, "08006", ERR_CONNECT},   {1160, "08006", ERR_CONNECT},
    {1161, "08006", ERR_CONNECT},   {1184, "08006", ERR_CONNECT},
    {1402, "XA100", ERR_TRANSIENT}, /* XA: a branch that the server has ended */
    {1613, "XA106", ERR_TRANSIENT}, /* … by a timeout */
    {1614, "XA102", ERR_TRANSIENT}, /* … by a deadlock */
    {1397, "XAE04", ERR_TRANSIENT}, /* … that is not there, or not in the state that it should be in: again, by another name */
    {1398, "XAE05", ERR_TRANSIENT}, {1399, "XAE07", ERR_TRANSIENT},
    {1400, "XAE09", ERR_TRANSIENT}, {1401, "XAE03", ERR_TRANSIENT},
};

/* The server quotes values in some messages ("Duplicate entry 'secret' for key 'u'"): only what follows is kept. */
static const char *without_value(unsigned number, const char *text, char out[200])
{
    static const struct {
        unsigned number;
        const char *what, *from;
    } quoting[] = {{1062, "duplicate entry", " for key "},
                   {1586, "duplicate entry", " for key "},
                   {1366, "incorrect value", " for column "},
                   {1292, "incorrect value", " for column "},
                   {1411, "incorrect value", " for function "},
                   {1526, "no partition for the value", NULL},
                   {1367, "illegal value", NULL},
                   {1690, "a number is out of range", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(quoting); i++) {
        if (quoting[i].number != number)
            continue;
        const char *tail = NULL; /* the last one: a value may hold those words */
        for (const char *p = text; quoting[i].from != NULL && (p = strstr(p, quoting[i].from)) != NULL; p++)
            tail = p;
        (void)snprintf(out, 200, "%s%s", quoting[i].what, tail != NULL ? tail : "");
        return out;
    }
    return text;
}

/* "INSERT command denied to user 'me'@'host' for table `d`.`t`" (1142, 1143), "Access denied for user 'me'@'host' to database 'd'"
 * (1044): what would let it pass. */
static void add_grant(struct strbuf *sb, unsigned number, const char *text)
{
    const char *denied = strstr(text, " command denied to user "), *object = strstr(text, " for table ");
    const char *user = strchr(text, '\''), *end = user != NULL ? strstr(user, "' ") : NULL;
    int user_len = end != NULL ? (int)(end + 1 - user) : 0;
    if (denied != NULL && object != NULL && user_len > 0)
        strbuf_addf(sb, ". Hint: GRANT %.*s ON %s TO %.*s;", (int)(denied - text), text,
                    object + strlen(" for table "), user_len, user);
    else if (number != 1044 && number != 1142 && number != 1143 && number != 1227)
        return;
    else
        strbuf_adds(sb, ". Hint:");
    strbuf_adds(sb, " crossfade check names what is missing, docs/PRIVILEGES.md has it all");
}

bool maria_fail(unsigned number, const char *state, const char *text, const char *what, struct err *err)
{
    char safe[200];
    enum err_code code = number >= 2000 && number < 3000 ? ERR_CONNECT : ERR_SQL;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].number == number) {
            code = errors[i].code;
            state = errors[i].sqlstate;
        }
    }
    struct strbuf hint = STRBUF_INIT(2000);
    const char *shown = without_value(number, text, safe);
    add_grant(&hint, number, text);
    if (strncmp(state, "XX0", 3) == 0) /* as comparisons and cutover watch look for it */
        strbuf_addf(&hint, ": data is damaged (SQLSTATE %.5s)", state);
    err_set(err, code, "%s: %s (error %u)%s%s", what, shown, number,
            number == 1153 || number == 2020 ? ". Hint: raise max_allowed_packet of the server" : "",
            hint.data);
    if (err != NULL && shown != text)
        err_set_detail(err, text);
    if (err != NULL)
        (void)snprintf(err->sqlstate, sizeof err->sqlstate, "%.5s", state);
    strbuf_release(&hint);
    return false;
}
