/* Private to lib/change: pieces of Kafka Connect's schema JSON that are the same wherever Debezium has them. */
#ifndef CHANGE_CONNECT_BLOCKS_H
#define CHANGE_CONNECT_BLOCKS_H

#include "change/envelope.h"

/* clang-format off */
#define FIELD(type, optional, name) "{\"type\":\"" type "\",\"optional\":" optional ",\"field\":\"" name "\"}"
#define NEED(type, name)            FIELD(type, "false", name)
#define MAY(type, name)             FIELD(type, "true", name)
#define INDEXES(name)                                                                                        \
    "{\"type\":\"array\",\"items\":{\"type\":\"int32\",\"optional\":false},\"optional\":false,\"field\":"    \
    "\"" name "\"}"

/* Both sources' blocks begin alike. */
#define CONNECT_SOURCE_HEAD                                                                                  \
    "{\"type\":\"struct\",\"fields\":["                                                                      \
    NEED("string", "version") "," NEED("string", "connector") "," NEED("string", "name") "," NEED("int64", "ts_ms") "," \
    "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\",\"version\":1,"               \
    "\"parameters\":{\"allowed\":\"" SNAPSHOT_VALUES "\"},\"default\":\"false\",\"field\":\"snapshot\"},"      \
    NEED("string", "db") "," MAY("string", "sequence") "," MAY("int64", "ts_us") "," MAY("int64", "ts_ns") ","
#define CONNECT_SOURCE_TAIL(package)                                                                         \
    "],\"optional\":false,\"name\":\"" package ".Source\",\"version\":1,\"field\":\"source\"}"

#define CONNECT_SOURCE                                                                                       \
    CONNECT_SOURCE_HEAD NEED("string", "schema") "," NEED("string", "table") ","                             \
    MAY("int64", "txId") "," MAY("int64", "lsn") "," MAY("int64", "xmin") CONNECT_SOURCE_TAIL(CONNECTOR_PACKAGE)

#define CONNECT_SOURCE_MARIADB                                                                               \
    CONNECT_SOURCE_HEAD MAY("string", "table") "," NEED("int64", "server_id") "," MAY("string", "gtid") ","  \
    NEED("string", "file") "," NEED("int64", "pos") "," NEED("int32", "row") "," MAY("int64", "thread") ","  \
    MAY("string", "query") CONNECT_SOURCE_TAIL(MARIADB_PACKAGE)

#define CONNECT_TRANSACTION                                                                                  \
    "{\"type\":\"struct\",\"fields\":["                                                                      \
    NEED("string", "id") "," NEED("int64", "total_order") "," NEED("int64", "data_collection_order")         \
    "],\"optional\":true,\"name\":\"event.block\",\"version\":1,\"field\":\"transaction\"}"
/* clang-format on */

#endif
