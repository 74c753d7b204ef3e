CREATE USER IF NOT EXISTS 'crossfade_rehearse'@'%' IDENTIFIED BY 'secret';
CREATE USER IF NOT EXISTS 'crossfade_rehearse_app'@'%' IDENTIFIED BY 'secret';
GRANT REPLICATION SLAVE, BINLOG MONITOR, PROCESS, CONNECTION ADMIN ON *.* TO 'crossfade_rehearse'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE TEMPORARY TABLES, TRIGGER ON `crossfade\_rehearsal\_%`.* TO 'crossfade_rehearse'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON `crossfade\_rehearsal\_%`.* TO 'crossfade_rehearse_app'@'%';
GRANT SELECT ON `shop`.* TO 'crossfade_rehearse'@'%';
GRANT INSERT ON `shop`.`crossfade_audit` TO 'crossfade_rehearse'@'%';
