/* Owns: which statements a session's server takes. See control.h. */
#include "control.h"

const struct control *control_of(const struct session *target)
{
    return session_dialect(target) == DIALECT_MARIADB ? &control_mariadb : &control_postgres;
}

bool control_delete_old(struct session *s, const char *sql, const char *pipeline, struct err *err)
{
    ROWSET_AUTO res = NULL;
    struct err found = ERR_INIT;
    if (session_ask(s, sql, 1, &pipeline, &res, &found) || found.code == ERR_AUTH)
        return true;
    *err = found;
    return false;
}
