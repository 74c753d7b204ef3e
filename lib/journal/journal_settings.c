/* Owns: from the options to a journal_config. See journal_settings.h. */
#include "journal/journal_settings.h"

#include <stdlib.h>
#include <string.h>

#include "change/table.h"
#include "core/alloc.h"

void journal_settings(const struct config *cfg, struct journal_config *ret)
{
    size_t count;
    const char *const *properties = config_list(cfg, "journal.kafka", &count);
    *ret = (struct journal_config){
        .url = config_text(cfg, "journal.url"),
        .pipeline = config_text(cfg, "pipeline"),
        .topic_prefix = config_text(cfg, "journal.topic_prefix"),
        .partitions = (int)config_int(cfg, "journal.partitions"),
        .replication_factor = (int)config_int(cfg, "journal.replication_factor"),
        .retention_ms = config_int(cfg, "journal.keep"),
        .registry = config_text(cfg, "journal.registry"),
        .registry_user = config_text(cfg, "journal.registry_user"),
        .registry_password = config_text(cfg, "journal.registry_password"),
        .registry_ca = config_text(cfg, "journal.registry_ca"),
        .kafka_properties = count > 0 ? properties : NULL,
        .idempotent = strcmp(config_text(cfg, "journal.delivery"), "idempotent") == 0,
        .topics_must_exist = !config_bool(cfg, "journal.create_topics"),
        .claim_store = config_text(cfg, "journal.claim_store"),
        .claim_large = strcmp(config_text(cfg, "journal.large_records"), "claim") == 0,
        .claim_encrypt = config_bool(cfg, "capture.spill_encryption"),
    };
}

char *journal_topic(const struct topic_routing *routing, const char *prefix, const char *schema,
                    const char *table, bool *ret_shared)
{
    char *rest CLEANUP(free_ptr) = topic_routing_find(routing, schema, table);
    if (ret_shared != NULL)
        *ret_shared = rest != NULL;
    return rest != NULL ? topic_name_of(prefix, rest) : topic_name(prefix, schema, table);
}
