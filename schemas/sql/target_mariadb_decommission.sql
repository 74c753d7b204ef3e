CREATE TABLE IF NOT EXISTS crossfade_connection_seen (
    pipeline    varchar(64) NOT NULL,
    role        varchar(64) NOT NULL,
    address     varchar(64) NOT NULL COMMENT 'local: by a socket',
    application varchar(64) NOT NULL,
    first_seen  datetime(6) NOT NULL COMMENT 'UTC, by the old side''s clock',
    last_seen   datetime(6) NOT NULL,
    connections bigint      NOT NULL COMMENT 'that began since the sample before',
    PRIMARY KEY (pipeline, role, address, application)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='who has connected to the old database (decommission watch)';

CREATE TABLE IF NOT EXISTS crossfade_tombstone (
    pipeline varchar(64) NOT NULL,
    method   varchar(16) NOT NULL CHECK (method IN ('login', 'preload', 'connect')),
    state    varchar(16) NOT NULL CHECK (state IN ('raising', 'up', 'lowering')),
    message  text        NOT NULL,
    saved    json        NOT NULL,
    at       datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'UTC',
    PRIMARY KEY (pipeline)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='of the old database: how it was put up, and what was there before';
