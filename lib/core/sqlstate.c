/* Owns: the table of SQLSTATE classes. See sqlstate.h. */
#include "core/sqlstate.h"

#include <string.h>

/* Longer prefixes before those that they begin with. */
static const struct sqlstate_rule rules[] = {
    /* the connection, or the server: open anew */
    {"08", ERR_CONNECT, FAULT_OTHER, NULL},
    {"57P0", ERR_CONNECT, FAULT_OTHER, NULL},
    {"58", ERR_CONNECT, FAULT_OTHER, NULL},
    /* mostly the lock table, which is as small next time; the server's hint says it */
    {"53200", ERR_SQL, FAULT_OTHER, NULL},
    {"53100", ERR_NO_SPACE, FAULT_OTHER, "the server's disk is full: make room"},
    {"53", ERR_CONNECT, FAULT_OTHER, NULL},
    /* chance: the same work again */
    {"40", ERR_TRANSIENT, FAULT_OTHER, NULL},
    {"55P03", ERR_TRANSIENT, FAULT_OTHER, "another session holds the lock"},
    {"57014", ERR_TRANSIENT, FAULT_OTHER, NULL},
    {"55006", ERR_BUSY, FAULT_OTHER, NULL},
    /* rows against each other. 21000: two keys of the source are one on the target; 428C9: an identity column that
       can only be inserted */
    {"23505", ERR_DATA, FAULT_CONFLICT,
     "a unique index of the target is stricter than the source's, or somebody else writes the table"},
    {"23P01", ERR_DATA, FAULT_CONFLICT,
     "an exclusion constraint of the target is stricter than the source's, or somebody else writes the "
     "table"},
    {"23503", ERR_DATA, FAULT_CONFLICT,
     "the row that it refers to (or that refers to it) differs from the source's: is its table in the "
     "pipeline? "
     "GRANT SET ON PARAMETER session_replication_role lets the source's order do"},
    {"23001", ERR_DATA, FAULT_CONFLICT, NULL}, /* ours as well: rows that may not be taken out for a moment */
    {"21000", ERR_DATA, FAULT_CONFLICT, "two keys of the source are one on the target: compare collations"},
    {"428C9", ERR_SQL, FAULT_CONFLICT, NULL},
    /* a row */
    {"22021", ERR_DATA, FAULT_ROW,
     "the target's text cannot hold these bytes: mend them on the source, or say what becomes of them "
     "(target.unfit, target.unfit_columns)"},
    {"22", ERR_DATA, FAULT_ROW,
     "the target's column cannot hold the value: make its type as wide as the source's"},
    {"23502", ERR_DATA, FAULT_ROW, "ALTER COLUMN … DROP NOT NULL on the target, as on the source"},
    {"23514", ERR_DATA, FAULT_ROW,
     "a CHECK constraint (or the partitions) of the target refuses what the source took"},
    {"23", ERR_DATA, FAULT_ROW, "a constraint of the target refuses what the source took"},
    {"44000", ERR_DATA, FAULT_ROW, NULL},
    {"54000", ERR_DATA, FAULT_ROW, "the row is larger than the target (or an index of it) can hold"},
    {"P0001", ERR_DATA, FAULT_ROW,
     "a trigger of the target refuses the row: disable it there, or GRANT SET ON PARAMETER "
     "session_replication_role"},
    {"P0002", ERR_DATA, FAULT_ROW, NULL}, /* ours: a row to be changed is not there */
    /* a person */
    {"28", ERR_AUTH, FAULT_OTHER, "the login was refused: look at user, password and pg_hba.conf"},
    {"42501", ERR_AUTH, FAULT_OTHER,
     "GRANT the right that is missing (docs/PRIVILEGES.md lists what each role needs)"},
    {"3D000", ERR_CONFIG, FAULT_OTHER, NULL},
    {"42P01", ERR_SCHEMA, FAULT_OTHER, NULL},
    {"42703", ERR_SCHEMA, FAULT_OTHER, NULL},
    {"42804", ERR_SCHEMA, FAULT_OTHER, NULL},
    {"3F000", ERR_SCHEMA, FAULT_OTHER, NULL},
    {"25006", ERR_SQL, FAULT_OTHER, "the server is read-only: a standby, or default_transaction_read_only"},
    {"", ERR_SQL, FAULT_OTHER, NULL},
};

const struct sqlstate_rule *sqlstate_rule(const char *sqlstate)
{
    const struct sqlstate_rule *rule = rules;
    while (strncmp(sqlstate, rule->prefix, strlen(rule->prefix)) != 0)
        rule++;
    return rule;
}

enum sqlstate_fault err_fault(const struct err *err)
{
    if (err->sqlstate[0] == '\0')
        return err->code == ERR_DATA ? FAULT_ROW : FAULT_OTHER;
    return sqlstate_rule(err->sqlstate)->fault;
}
