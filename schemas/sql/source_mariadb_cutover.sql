CREATE TABLE IF NOT EXISTS crossfade_decision (
    pipeline   varchar(64) NOT NULL,
    cutover_id varchar(64) NOT NULL,
    state      varchar(16) NOT NULL CHECK (state IN ('open', 'switched', 'aborted', 'returned')),
    changed_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    PRIMARY KEY (pipeline)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='the decision of a rollback: one row, compare-and-set; triggers crossfade_freeze_* read it; format 1';
