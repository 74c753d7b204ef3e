/* Texts of this folder, compiled in (cmake/EmbedFiles.cmake). Symbol = path with other characters as '_'. */
#ifndef SQL_EMBEDDED_H
#define SQL_EMBEDDED_H

extern const char embedded_sql_source_sql[]; /* control tables on the source */
extern const char embedded_sql_target_sql[]; /* control tables on the target */

#endif
