CREATE USER IF NOT EXISTS 'crossfade_cutover'@'%' IDENTIFIED BY 'secret';
GRANT PROCESS ON *.* TO 'crossfade_cutover'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, CREATE TEMPORARY TABLES ON `shop`.* TO 'crossfade_cutover'@'%';
