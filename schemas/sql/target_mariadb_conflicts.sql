CREATE TABLE IF NOT EXISTS crossfade_dual_write (
    id          int         NOT NULL AUTO_INCREMENT,
    pipeline    varchar(64) NOT NULL,
    schema_name varchar(64) NOT NULL,
    table_name  varchar(64) NOT NULL,
    columns     longtext    NOT NULL COMMENT 'what the hashes stand for: columns of the key, and all',
    since       datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    PRIMARY KEY (id),
    UNIQUE KEY of_table (pipeline, schema_name, table_name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='tables that the application writes on both sides (apply.conflicts)';

CREATE TABLE IF NOT EXISTS crossfade_applied (
    dual_write int        NOT NULL,
    `key`      binary(16) NOT NULL,
    state      binary(16) NOT NULL,
    PRIMARY KEY (dual_write, `key`)
) ENGINE=InnoDB COMMENT='their rows as apply last knew them from the source: hashes of key and row, moved with the position';

CREATE TABLE IF NOT EXISTS crossfade_conflict (
    id          bigint      NOT NULL AUTO_INCREMENT,
    pipeline    varchar(64) NOT NULL,
    schema_name varchar(64) NOT NULL,
    table_name  varchar(64) NOT NULL,
    `key`       json        NOT NULL,
    key_hash    binary(16)  NOT NULL,
    kind        varchar(20) NOT NULL CHECK (kind IN ('insert', 'update', 'source_deleted', 'target_deleted')),
    policy      text        NOT NULL,
    state       varchar(10) NOT NULL CHECK (state IN ('open', 'decided', 'resolved')),
    decision    varchar(10) NULL COMMENT 'none: both sides agree by now' CHECK (decision IN ('source', 'target', 'none')),
    request     varchar(10) NULL COMMENT 'what a person has said of an open one' CHECK (request IN ('source', 'target')),
    source_row  json        NULL COMMENT 'null: not there, or too large',
    target_row  json        NULL,
    target_hash binary(16)  NULL COMMENT 'of target_row; zeros: not there. The source may come to it yet',
    commit_lsn  varchar(20) NOT NULL COMMENT 'of the change on the source',
    seen_at     datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    settled_at  datetime(6) NULL COMMENT 'UTC',
    open_hash   binary(16)  AS (IF(state = 'open', key_hash, NULL)) PERSISTENT,
    PRIMARY KEY (id),
    UNIQUE KEY open (pipeline, schema_name, table_name, open_hash),
    KEY of_key (pipeline, schema_name, table_name, key_hash)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='rows that both sides have changed, each in its own way; open ones wait for a person';
