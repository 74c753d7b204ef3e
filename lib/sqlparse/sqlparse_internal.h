/* What the files of lib/sqlparse share: the parse tree as JSON. */
#ifndef SQLPARSE_INTERNAL_H
#define SQLPARSE_INTERNAL_H

#include <jansson.h>

#include "sqlparse/sqlparse.h"

/* The only key of a node's object ("SelectStmt") and what stands under it; NULL if it is none. */
const char *sql_node(const json_t *wrapped, json_t **ret_body);
/* The node's body if it is of that type, else NULL. */
json_t *sql_node_of(const json_t *wrapped, const char *type);
const char *sql_text_of(const json_t *object, const char *key); /* "" if there is none */
/* Last name of a list of String nodes, in *ret_before the one before ("" if none). "" for a star. */
const char *sql_last_name(const json_t *list, const char **ret_before);
/* Fills st->params from a statement's tree. False: too many. */
bool sql_find_params(const json_t *tree, struct sql_statement *st);

#endif
