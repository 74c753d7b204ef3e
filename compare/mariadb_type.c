/* Owns: types of MariaDB by name. See mariadb_type.h. */
#include "mariadb_type.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/attr.h"

static const struct {
    const char *name;
    enum maria_kind kind;
    long long most; /* bytes, where the type has no length of its own */
} kinds[] = {
    {"tinyint", MARIA_INT, 0},
    {"smallint", MARIA_INT, 0},
    {"mediumint", MARIA_INT, 0},
    {"int", MARIA_INT, 0},
    {"bigint", MARIA_INT, 0},
    {"decimal", MARIA_DECIMAL, 0},
    {"float", MARIA_FLOAT, 0},
    {"double", MARIA_DOUBLE, 0},
    {"bit", MARIA_BIT, 0},
    {"char", MARIA_CHAR, 0},
    {"varchar", MARIA_TEXT, 0},
    {"tinytext", MARIA_TEXT, 255},
    {"text", MARIA_TEXT, 65535},
    {"mediumtext", MARIA_TEXT, 16777215},
    {"longtext", MARIA_TEXT, 0},
    {"enum", MARIA_ENUM, 0},
    {"binary", MARIA_BINARY, 0},
    {"varbinary", MARIA_BYTES, 0},
    {"tinyblob", MARIA_BYTES, 255},
    {"blob", MARIA_BYTES, 65535},
    {"mediumblob", MARIA_BYTES, 16777215},
    {"longblob", MARIA_BYTES, 0},
    {"date", MARIA_DATE, 0},
    {"time", MARIA_TIME, 0},
    {"datetime", MARIA_DATETIME, 0},
    {"timestamp", MARIA_DATETIME, 0},
    {"uuid", MARIA_UUID, 0},
    {"inet4", MARIA_INET4, 0},
    {"inet6", MARIA_INET6, 0},
};

static void take_numbers(struct mariadb_column *col, const char *open)
{
    char *end = NULL;
    int first = open != NULL ? (int)strtol(open + 1, &end, 10) : 0;
    int second = end != NULL && *end == ',' ? (int)strtol(end + 1, NULL, 10) : 0;
    switch (col->kind) {
    case MARIA_DECIMAL:
    case MARIA_BIT:
        col->precision = first;
        col->scale = second;
        break;
    case MARIA_CHAR:
    case MARIA_TEXT:
    case MARIA_BINARY:
    case MARIA_BYTES:
        if (open != NULL)
            col->most = first;
        break;
    case MARIA_TIME:
    case MARIA_DATETIME:
        col->digits = first;
        break;
    default:
        break;
    }
}

void mariadb_column_describe(struct mariadb_column *col)
{
    size_t len = 0;
    while (isalnum((unsigned char)col->type[len]))
        len++;
    col->kind = MARIA_OTHER;
    col->most = 0;
    col->precision = col->scale = col->digits = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, col->type, len) == 0) {
            col->kind = kinds[i].kind;
            col->most = kinds[i].most;
        }
    }
    col->bytes = col->most > 0 || col->kind == MARIA_BINARY || col->kind == MARIA_BYTES;
    take_numbers(col, col->type[len] == '(' ? col->type + len : NULL);
}

bool mariadb_column_is_utf8mb4(const struct mariadb_column *col)
{
    return col->collation != NULL && strncmp(col->collation, "utf8mb4_", 8) == 0;
}
