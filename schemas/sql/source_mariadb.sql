-- Markers on a source that is MariaDB: whoever inserts here speaks to capture at a place of the binlog (docs/ARCHITECTURE.md).
-- The format: MARIA_CONTROL_FORMAT.
CREATE TABLE IF NOT EXISTS crossfade_marker (
    id          bigint      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    pipeline    varchar(64) NOT NULL,
    nonce       varchar(40) NOT NULL,
    kind        varchar(16) NOT NULL,
    cut_lsn     bigint      NULL,
    deadline_ms bigint      NOT NULL DEFAULT 0,
    detail      longtext    NULL,
    created_at  datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='who inserts here speaks to capture; format 1'
