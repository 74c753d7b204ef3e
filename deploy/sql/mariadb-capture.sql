CREATE USER IF NOT EXISTS 'crossfade_capture'@'%' IDENTIFIED BY 'secret';
GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 'crossfade_capture'@'%';
GRANT SELECT, INSERT, CREATE ON `shop`.* TO 'crossfade_capture'@'%';
