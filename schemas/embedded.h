/* Texts of this folder, compiled in (cmake/EmbedFiles.cmake). Symbol = path with other characters as '_'. */
#ifndef SQL_EMBEDDED_H
#define SQL_EMBEDDED_H

extern const char embedded_sql_source_sql[];                 /* control tables on the source */
extern const char embedded_sql_source_mariadb_sql[];         /* … where that is MariaDB; one statement */
extern const char embedded_sql_source_mariadb_cutover_sql[]; /* … beside it, for closing that side */
extern const char embedded_sql_target_sql[];                 /* control tables on the target */
extern const char embedded_sql_target_schema_sql[];          /* … of schema create */
extern const char embedded_sql_target_conflicts_sql[];    /* … for tables that are written on both sides */
extern const char embedded_sql_target_mariadb_sql[];      /* … where that is MariaDB */
extern const char embedded_sql_target_decommission_sql[]; /* … for decommissioning the old side */
extern const char embedded_sql_target_mariadb_direct_sql[]; /* … for direct loads of it */
extern const char embedded_sql_cutover_sequences_sql[];     /* those of a source that a cutover takes along */
extern const char embedded_sql_cutover_sequence_twins_sql[]; /* … what keeps their twins from taking over */
extern const char embedded_sql_cutover_sequence_set_sql[];   /* … the twins set */
extern const char embedded_sql_cutover_views_sql[];      /* materialized views, in the order of refreshing */
extern const char embedded_sql_cutover_statistics_sql[]; /* tables whose statistics are missing or old */
extern const char embedded_sql_cutover_grants_sql[];     /* owners and rights as statements */
extern const char embedded_sql_catalog_objects_sql[];    /* what a schema has beside tables */
extern const char embedded_sql_catalog_definition_sql[]; /* how an object is defined, in lines */
extern const char embedded_sql_catalog_database_sql[];   /* what a database has beside schemas */
extern const char embedded_sql_catalog_parity_sql[];     /* which objects belong to a pipeline's tables */
extern const char
    embedded_sql_target_mariadb_conflicts_sql[]; /* … for tables that are written on both sides */
extern const char embedded_sql_target_mariadb_decommission_sql[]; /* … for the old side, after a cutover */

extern const char
    embedded_report_head_html[]; /* comparison report: up to <body>; {{policy}}, {{title}}, {{style}} */
extern const char
    embedded_status_page_html[]; /* status page: up to its script; {{title}}, {{style}}, {{pipeline}} */
extern const char embedded_status_style_css[];   /* … what it has beside the reports' */
extern const char embedded_status_script_html[]; /* … script and end */
extern const char embedded_report_style_css[];
extern const char embedded_report_tail_html[]; /* script and end */

#endif
