/* A column of MariaDB as a comparison needs to know it, from what information_schema.COLUMNS or SHOW FULL COLUMNS say. Pure. Private to
 * this module. @thread any */
#ifndef COMPARE_MARIADB_TYPE_H
#define COMPARE_MARIADB_TYPE_H

#include <stdbool.h>

enum maria_kind {
    MARIA_OTHER = 0,
    MARIA_INT,
    MARIA_DECIMAL,
    MARIA_FLOAT,
    MARIA_DOUBLE,
    MARIA_BIT,
    MARIA_CHAR,
    MARIA_TEXT, /* varchar, too */
    MARIA_ENUM,
    MARIA_BYTES, /* varbinary, blobs */
    MARIA_BINARY,
    MARIA_DATE,
    MARIA_TIME,
    MARIA_DATETIME, /* timestamp, too */
    MARIA_UUID,
    MARIA_INET4,
    MARIA_INET6
};

/* Texts are the caller's. */
struct mariadb_column {
    const char *name;
    const char *type;      /* COLUMN_TYPE: "decimal(10,2)" */
    const char *collation; /* COLLATION_NAME, which begins with the character set; NULL = no text */
    const char *latest;    /* of a timestamp: the last second that the server keeps; NULL = a datetime's */
    bool json;             /* a longtext with the check json_valid(): MariaDB's type json */
    /* Out of `type`: */
    enum maria_kind kind;
    long long most;       /* characters or bytes that it holds; 0 = as many as a server takes */
    bool bytes;           /* `most` counts bytes */
    int precision, scale; /* of decimal and bit */
    int digits;           /* of a second */
};

/* Fills the rest from name, type, collation and json. */
void mariadb_column_describe(struct mariadb_column *col);
/* Its text is in utf8mb4. */
bool mariadb_column_is_utf8mb4(const struct mariadb_column *col);

#endif
