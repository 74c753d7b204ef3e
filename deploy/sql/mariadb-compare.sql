CREATE USER IF NOT EXISTS 'crossfade_compare'@'%' IDENTIFIED BY 'secret';
GRANT SELECT ON `shop`.* TO 'crossfade_compare'@'%';
GRANT INSERT, DELETE ON `shop`.`crossfade_release` TO 'crossfade_compare'@'%';
GRANT INSERT, DELETE ON `shop`.`crossfade_verdict` TO 'crossfade_compare'@'%';
GRANT INSERT, DELETE ON `shop`.`crossfade_comparison` TO 'crossfade_compare'@'%';
GRANT INSERT, UPDATE, DELETE ON `shop`.`crossfade_compared` TO 'crossfade_compare'@'%';
GRANT INSERT ON `shop`.`crossfade_audit` TO 'crossfade_compare'@'%';
