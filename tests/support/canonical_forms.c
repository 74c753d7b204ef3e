/*
 * canonical-forms: prints the forms in which columns are compared across PostgreSQL and MariaDB, for the system tests. One line of standard
 * input for each, fields split by tabs: name, type, its object id, modifier, domain (0 or 1), plain (0 or 1), the column's type on MariaDB,
 * its collation (may be empty), json (0 or 1), target.unfit. Prints: form of the source, of the target, rule; or "-", "-", reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/canonical_mariadb.h"

#define FIELDS 10

static bool split(char *line, char *fields[FIELDS])
{
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = strsep(&line, "\t");
        if (fields[i] == NULL)
            return false;
    }
    return line == NULL;
}

static void print(char *f[FIELDS])
{
    struct cat_column source = {.name = f[0],
                                .type = f[1],
                                .type_oid = (uint32_t)strtoul(f[2], NULL, 10),
                                .typmod = (int32_t)strtol(f[3], NULL, 10),
                                .domain = f[4][0] == '1',
                                .plain = f[5][0] == '1'};
    struct mariadb_column target = {
        .name = f[0], .type = f[6], .collation = f[7][0] != '\0' ? f[7] : NULL, .json = f[8][0] == '1'};
    mariadb_column_describe(&target);
    struct canonical made = {0};
    char *reason = NULL;
    if (canonical_forms_mariadb(&source, &target, target_unfit_named(f[9]), &made, &reason))
        printf("%s\t%s\t%s\n", made.form[0], made.form[1], made.rule);
    else
        printf("-\t-\t%s\n", reason);
    canonical_release(&made);
    free(reason);
}

int main(void)
{
    char *line = NULL, *fields[FIELDS];
    size_t room = 0;
    int ret = 0;
    while (ret == 0 && getline(&line, &room, stdin) > 0) {
        ret = split(line, fields) ? 0 : 2;
        if (ret == 0)
            print(fields);
    }
    free(line);
    return ret;
}
