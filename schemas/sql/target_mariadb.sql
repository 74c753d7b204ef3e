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
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='written in the same transaction as the rows it stands for; format 1';

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

CREATE TABLE IF NOT EXISTS crossfade_dead_letter (
    id             bigint          NOT NULL AUTO_INCREMENT COMMENT 'in the order in which they were held',
    chain          bigint          NOT NULL COMMENT 'records that have to be applied together, in order',
    pipeline       varchar(64)     NOT NULL,
    shard          varchar(32)     NOT NULL DEFAULT '1/1',
    state          varchar(12)     NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'applied', 'discarded', 'superseded')),
    request        varchar(12)     NULL CHECK (request IN ('retry', 'discard')),
    behind         boolean         NOT NULL COMMENT 'waits for an earlier record of its key; else the target refused it',
    schema_name    varchar(64)     NOT NULL,
    table_name     varchar(64)     NOT NULL,
    op             char(1)         NOT NULL COMMENT 'as in the envelope: r, c, u, d',
    key_shown      text            NULL,
    `key`          longblob        NULL COMMENT 'null: a table without key',
    other_key      longblob        NULL COMMENT 'of a key change',
    key_shape      text            NULL COMMENT 'how the bytes of a key are made',
    stream         text            NOT NULL,
    `partition`    int             NOT NULL,
    record_offset  bigint unsigned NOT NULL,
    record_time_ms bigint          NOT NULL,
    record_key     longblob        NULL,
    record_value   longblob        NOT NULL,
    record_headers longblob        NULL COMMENT 'of each: name, 0, length in 4 bytes, value',
    commit_lsn     bigint unsigned NOT NULL,
    total_order    bigint unsigned NOT NULL,
    fence_id       bigint unsigned NOT NULL COMMENT 'of the batch that passed it',
    `sqlstate`     char(5)         NULL,
    message        text            NULL,
    attempts       int             NOT NULL DEFAULT 1,
    begun          int             NOT NULL DEFAULT 0 COMMENT 'retries that were begun since one was asked for',
    last_error     text            NULL COMMENT 'of the last retry of its chain',
    first_seen     datetime(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    tried_at       datetime(6)     NULL COMMENT 'UTC',
    settled_at     datetime(6)     NULL COMMENT 'UTC',
    reason         text            NULL COMMENT 'why it was discarded or superseded',
    PRIMARY KEY (id),
    KEY held (pipeline, shard, state, chain)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='records that the target refused, and those behind them; settled by apply alone';

CREATE TABLE IF NOT EXISTS crossfade_verdict (
    id          bigint          NOT NULL AUTO_INCREMENT,
    pipeline    varchar(64)     NOT NULL,
    fence_id    bigint unsigned NULL,
    lsn         varchar(20)     NULL,
    scope       longtext        NOT NULL COMMENT 'full, or what was compared',
    verdict     varchar(12)     NOT NULL CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE')),
    detail      json            NOT NULL DEFAULT '{}',
    started_at  datetime(6)     NOT NULL COMMENT 'UTC',
    finished_at datetime(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    PRIMARY KEY (id),
    KEY of_pipeline (pipeline, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='of comparisons; cutover reads the last one';

CREATE TABLE IF NOT EXISTS crossfade_comparison (
    id          bigint          NOT NULL AUTO_INCREMENT,
    pipeline    varchar(64)     NOT NULL,
    level       varchar(16)     NOT NULL COMMENT 'counts, digests, …',
    every_s     bigint          NOT NULL COMMENT 'as the schedule was then',
    started_at  datetime(6)     NOT NULL COMMENT 'UTC',
    finished_at datetime(6)     NOT NULL COMMENT 'UTC',
    verdict     varchar(12)     NOT NULL CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE')),
    whole       boolean         NOT NULL COMMENT 'all tables of the pipeline',
    fence_id    bigint unsigned NULL,
    lsn         varchar(20)     NULL,
    tables      bigint          NOT NULL COMMENT 'shadow: queries that were compared',
    row_count   bigint          NOT NULL COMMENT 'shadow: their runs',
    differences bigint          NOT NULL COMMENT 'shadow: queries that answer differently or are slower',
    held_us     bigint          NOT NULL COMMENT 'for how long apply was held',
    reason      text            NULL COMMENT 'of what is no PASS; where its report is',
    p95_source_us bigint        NULL COMMENT 'shadow: 95 of 100 answers came within this time',
    p95_target_us bigint        NULL,
    lag_us      bigint          NULL COMMENT 'from the marker on the source until the target stood there',
    PRIMARY KEY (id),
    KEY of_pipeline (pipeline, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what the runs of a window came to (compare watch)';

CREATE TABLE IF NOT EXISTS crossfade_compared (
    pipeline     varchar(64)     NOT NULL,
    schema_name  varchar(64)     NOT NULL,
    table_name   varchar(64)     NOT NULL,
    format       int             NOT NULL DEFAULT 1,
    shape        varchar(64)     NOT NULL COMMENT 'digest of definition, rules and storage: with another one this proves nothing',
    whole        boolean         NOT NULL COMMENT 'all rows; else those whose key is below `upper`',
    `upper`      longtext        NULL COMMENT 'JSON array of texts',
    `rows`       bigint          NOT NULL COMMENT 'on the source, as they were last read',
    fence_id     bigint unsigned NOT NULL,
    fence_offset bigint unsigned NOT NULL COMMENT 'in the fence stream',
    lsn          varchar(20)     NOT NULL,
    attempt      bigint unsigned NOT NULL COMMENT 'of the snapshot',
    read_at      datetime(6)     NOT NULL COMMENT 'UTC; when the comparison began that read the first of them',
    links        int             NOT NULL COMMENT 'fences since, at which only what the source had changed was compared',
    proven_at    datetime(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    PRIMARY KEY (pipeline, schema_name, table_name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what comparisons have proven of a table, for those that build on it';

CREATE TABLE IF NOT EXISTS crossfade_cutover (
    cutover_id varchar(64) NOT NULL,
    pipeline   varchar(64) NOT NULL,
    seq        int         NOT NULL,
    state      varchar(16) NOT NULL,
    detail     json        NOT NULL DEFAULT '{}',
    at         datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    PRIMARY KEY (cutover_id, seq),
    KEY of_pipeline (pipeline, at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='steps of cutovers, written before each is taken';

CREATE TABLE IF NOT EXISTS crossfade_cutover_watch (
    pipeline   varchar(64) NOT NULL,
    state      json        NOT NULL,
    changed_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    PRIMARY KEY (pipeline)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what cutover watch knows; written by one watch at a time';

CREATE TABLE IF NOT EXISTS crossfade_audit (
    seq        bigint       NOT NULL COMMENT 'from 1, without a gap',
    at         datetime(6)  NOT NULL COMMENT 'UTC',
    pipeline   varchar(64)  NOT NULL,
    cutover_id varchar(64)  NOT NULL,
    event      varchar(64)  NOT NULL,
    os_user    varchar(255) NOT NULL,
    db_user    varchar(255) NOT NULL,
    host       varchar(255) NOT NULL,
    detail     longtext     NOT NULL COMMENT 'a JSON object, as it was hashed',
    prev_hash  char(64)     NOT NULL COMMENT 'of the row before; of the first row zeros',
    hash       char(64)     NOT NULL,
    PRIMARY KEY (seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what was decided, by whom: a chain of hashes; never changed';
