/*
 * What is said to a schema registry and what its answers mean, as bytes: no I/O here. The protocol is that of
 * Confluent's Schema Registry (developer documentation, "Schema Registry API Reference"): POST
 * /subjects/S/versions {"schema": TEXT} gives {"id": N}; GET /schemas/ids/N gives {"schema": TEXT,
 * "schemaType": …}; errors are {"error_code": N, "message": TEXT} with an HTTP status. What answers is not
 * trusted: every text and number is checked.
 */
#ifndef JOURNAL_REGISTRY_PROTOCOL_H
#define JOURNAL_REGISTRY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct registry_address {
    char *base;            /* without credentials and trailing '/': may be shown */
    char *user, *password; /* NULL = none; never shown */
};

/* user and password (may be NULL) win over those in the URL. ERR_CONFIG if the URL is none. */
bool registry_address_read(const char *url, const char *user, const char *password,
                           struct registry_address *ret, struct err *err) MUST_CHECK;
void registry_address_release(struct registry_address *address);

/* "/subjects/<subject>/versions" and the like, percent-encoded. malloc'd. */
char *registry_versions_path(const char *subject);
char *registry_id_path(uint32_t id);
/* Body of a registration, malloc'd; NULL if the text is not UTF-8. */
char *registry_put_body(const char *schema_json);

/* Answers with status 2xx. *ret_json is malloc'd. */
bool registry_read_id(const char *body, size_t len, uint32_t *ret, struct err *err) MUST_CHECK;
bool registry_read_schema(const char *body, size_t len, char **ret_json, struct err *err) MUST_CHECK;
/* The word for the compatibility level in an answer of /config ("BACKWARD"), malloc'd. */
bool registry_read_level(const char *body, size_t len, char **ret, struct err *err) MUST_CHECK;

/* Any other status, as an error that says what to do. Of a registration: subject; of a lookup: id with
 * subject NULL. Always false. */
bool registry_refusal(const char *base, const char *subject, uint32_t id, int status, const char *body,
                      size_t len, struct err *err);

#endif
