CREATE USER IF NOT EXISTS 'crossfade_cutover'@'%' IDENTIFIED BY 'secret';
GRANT CONNECTION ADMIN ON *.* TO 'crossfade_cutover'@'%';
GRANT TRIGGER ON `shop`.* TO 'crossfade_cutover'@'%';
