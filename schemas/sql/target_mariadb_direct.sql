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
