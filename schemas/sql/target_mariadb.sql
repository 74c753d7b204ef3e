CREATE TABLE IF NOT EXISTS crossfade_position (
    pipeline         varchar(64)         NOT NULL,
    shard            varchar(32)         NOT NULL DEFAULT '1/1',
    format           int                 NOT NULL DEFAULT 1,
    fence_id         bigint unsigned     NOT NULL,
    fence_offset     bigint unsigned     NOT NULL COMMENT 'in the fence stream',
    lsn              varchar(20)         NOT NULL,
    source_system_id decimal(20)         NOT NULL,
    attempt          bigint unsigned     NOT NULL COMMENT 'of the snapshot',
    complete         boolean             NOT NULL COMMENT 'the copy is done: the target is a state the source was in',
    commit_time      datetime(6)         NULL COMMENT 'UTC',
    marker_kind      varchar(20)         NULL COMMENT 'of this very fence',
    marker_nonce     varchar(40)         NULL,
    offsets          longtext            NULL COMMENT 'places in topics that others write (docs/DEBEZIUM.md)',
    pending          longtext            NULL COMMENT 'decided, and the rows of some writers are still to be committed',
    applied_at       datetime(6)         NOT NULL COMMENT 'UTC',
    PRIMARY KEY (pipeline, shard)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='written in the same transaction as the rows it stands for';

ALTER TABLE crossfade_position ADD COLUMN IF NOT EXISTS pending longtext NULL COMMENT 'decided, and the rows of some writers are still to be committed' AFTER offsets;

CREATE TABLE IF NOT EXISTS crossfade_loaded (
    pipeline    varchar(64)     NOT NULL,
    shard       varchar(32)     NOT NULL DEFAULT '1/1',
    schema_name varchar(64)     NOT NULL,
    table_name  varchar(64)     NOT NULL,
    attempt     bigint unsigned NOT NULL,
    PRIMARY KEY (pipeline, shard, schema_name, table_name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='tables that a new attempt of the snapshot empties first';

CREATE TABLE IF NOT EXISTS crossfade_release (
    pipeline    varchar(64) NOT NULL,
    nonce       varchar(40) NOT NULL,
    released_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (pipeline, nonce)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='a comparator lets apply go on by inserting its nonce here';
