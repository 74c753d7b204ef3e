CREATE TABLE IF NOT EXISTS crossfade_direct_load (
    pipeline   varchar(64)     NOT NULL,
    attempt    bigint unsigned NOT NULL COMMENT 'of the snapshot',
    owner      varchar(40)     NOT NULL COMMENT 'of several loaders only the last one may write',
    done       boolean         NOT NULL DEFAULT false,
    started_at datetime(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    ended_at   datetime(6)     NULL COMMENT 'UTC',
    PRIMARY KEY (pipeline)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='who loads, and whether all rows are there: apply waits for it';

CREATE TABLE IF NOT EXISTS crossfade_direct_table (
    pipeline    varchar(64)     NOT NULL,
    source_oid  bigint unsigned NOT NULL,
    schema_name varchar(64)     NOT NULL,
    table_name  varchar(64)     NOT NULL,
    shape       varchar(40)     NOT NULL COMMENT 'hash of its columns and key, as they were read',
    PRIMARY KEY (pipeline, source_oid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS crossfade_direct_chunk (
    pipeline   varchar(64)     NOT NULL,
    source_oid bigint unsigned NOT NULL,
    part_oid   bigint unsigned NOT NULL,
    number     int             NOT NULL,
    upper      longtext        NULL COMMENT 'its last key as 1:a,2:bc, or the block behind it; null: to the end. It begins where the one before ends',
    lsn        varchar(20)     NULL COMMENT 'rows are those of this position, exactly',
    `rows`     bigint          NULL,
    done       boolean         NOT NULL DEFAULT false COMMENT 'set in the transaction that has its rows',
    PRIMARY KEY (pipeline, source_oid, part_oid, number)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS crossfade_direct_letter (
    id             bigint          NOT NULL AUTO_INCREMENT,
    pipeline       varchar(64)     NOT NULL,
    shard          varchar(32)     NOT NULL,
    source_oid     bigint unsigned NOT NULL,
    stream         text            NOT NULL,
    record_time_ms bigint          NOT NULL,
    record_key     longblob        NULL COMMENT 'null: a table without key',
    record_value   longblob        NOT NULL,
    record_headers longblob        NULL,
    lsn            varchar(20)     NOT NULL,
    `sqlstate`     char(5)         NULL,
    message        text            NOT NULL,
    PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='rows that the target refused, in the transaction of their chunk: apply takes them up before it goes on';
