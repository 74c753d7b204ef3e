/*
 * Owns: what a configuration becomes for the way back. Everything that is not named here is the same both ways; options that only mean
 * something forwards (a standby of the old source, what is written on both sides until the cutover) are taken away. See config.h.
 */
#include "config/reverse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_internal.h"
#include "core/alloc.h"

#define NAME_MAX_LEN 31 /* of a pipeline: its pattern in the option table */
#define LMDB_SUFFIX  "-reverse"
#define NAME_SUFFIX  "_reverse"

static struct setting *setting_of(struct config *cfg, const char *key)
{
    int index = option_find(key);
    if (index < 0)
        BUG("option %s is not in the table", key);
    return &cfg->settings[index];
}

static void copy_value(const struct option_value *from, struct option_value *ret)
{
    *ret = (struct option_value){.set = from->set, .number = from->number};
    ret->text = from->text != NULL ? xstrdup(from->text) : NULL;
    for (size_t i = 0; i < from->list_count; i++)
        option_value_add(ret, NULL, from->list[i]);
}

static struct config *copy_of(const struct config *cfg)
{
    struct config *ret = xcalloc(1, sizeof *ret + option_count * sizeof ret->settings[0]);
    ret->file = xstrdup(cfg->file);
    for (size_t i = 0; i < option_count; i++) {
        ret->settings[i] = cfg->settings[i];
        copy_value(&cfg->settings[i].value, &ret->settings[i].value);
    }
    return ret;
}

static void set_text(struct config *cfg, const char *key, const char *text)
{
    if (!option_value_parse(&option_table[option_find(key)], text, &setting_of(cfg, key)->value))
        BUG("%s: %s does not fit it", key, text);
}

static void set_number(struct config *cfg, const char *key, int64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    set_text(cfg, key, text);
}

static void take_from(struct config *cfg, const char *key, const char *other)
{
    option_value_release(&setting_of(cfg, key)->value);
    copy_value(&setting_of(cfg, other)->value, &setting_of(cfg, key)->value);
}

static void swap(struct config *cfg, const char *a, const char *b)
{
    struct setting *x = setting_of(cfg, a), *y = setting_of(cfg, b), kept = *x;
    *x = *y;
    *y = kept;
}

static void set_suffixed(struct config *cfg, const char *key, const char *suffix)
{
    char *text CLEANUP(free_ptr) = xasprintf("%s%s", config_text(cfg, key), suffix);
    set_text(cfg, key, text);
}

static bool names_mariadb(const char *url)
{
    return strncmp(url, "mariadb://", 10) == 0 || strncmp(url, "mysql://", 8) == 0;
}

/* Values that were put in place of others are what MariaDB has: they would come back as the row's own. */
static bool keeps_all_values(const struct config *cfg, struct err *err)
{
    size_t count;
    (void)config_list(cfg, "target.unfit_columns", &count);
    const char *key = count > 0                                               ? "target.unfit_columns"
                      : strcmp(config_text(cfg, "target.unfit"), "halt") != 0 ? "target.unfit"
                                                                              : NULL;
    return key == NULL ||
           err_set(err, ERR_CONFIG,
                   "%s: such a pipeline cannot be turned round: values that it has put in place "
                   "of others would come back over them. Hint: only `halt` can",
                   key);
}

/* What cannot go back by the same rules by which it went. */
static bool can_be_turned(const struct config *cfg, struct err *err)
{
    static const char *const one_way[] = {"source.filters", "source.debezium.topics"};
    const char *url = config_text(cfg, "target.url");
    for (size_t i = 0; i < ARRAY_LEN(one_way); i++) {
        size_t count;
        (void)config_list(cfg, one_way[i], &count);
        if (count > 0)
            return err_set(err, ERR_CONFIG,
                           "%s: such a pipeline cannot be turned round: what it leaves out or changes on the "
                           "way cannot be put back",
                           one_way[i]);
    }
    if (url == NULL || config_text(cfg, "source.url") == NULL)
        return err_set(err, ERR_CONFIG,
                       "source.url and target.url must both be set for a pipeline to be turned round");
    if (names_mariadb(url))
        return keeps_all_values(cfg, err);
    bool wrapped = strncmp(url, "fault:", 6) == 0; /* by a test: lib/target/fault.c */
    return strncmp(url, "postgres", 8) == 0 || (wrapped && strstr(url, ":postgres") != NULL) ||
           err_set(err, ERR_CONFIG,
                   "target.url is neither PostgreSQL nor MariaDB: there is no way back from it");
}

static bool name_it(struct config *cfg, struct err *err)
{
    const char *forward = config_text(cfg, "pipeline"), *said = config_text(cfg, "reverse.pipeline");
    if (forward == NULL)
        return err_set(err, ERR_CONFIG, "pipeline is not set, and its way back has its name from it");
    char *name CLEANUP(free_ptr) = said != NULL ? xstrdup(said) : xasprintf("%s" NAME_SUFFIX, forward);
    if (strlen(name) > NAME_MAX_LEN)
        return err_set(err, ERR_CONFIG,
                       "%s is too long a name for the way back. Hint: set reverse.pipeline (at most %d "
                       "characters)",
                       name, NAME_MAX_LEN);
    if (strcmp(name, forward) == 0)
        return err_set(err, ERR_CONFIG, "reverse.pipeline is the name of the pipeline itself");
    bool prefix_is_name = strcmp(config_text(cfg, "journal.topic_prefix"), forward) == 0;
    if (!prefix_is_name && strlen(config_text(cfg, "journal.topic_prefix")) + sizeof NAME_SUFFIX > 100)
        return err_set(err, ERR_CONFIG, "journal.topic_prefix is too long for a way back");
    if (prefix_is_name)
        set_text(cfg, "journal.topic_prefix", name);
    else
        set_suffixed(cfg, "journal.topic_prefix", NAME_SUFFIX);
    set_text(cfg, "pipeline", name);
    return true;
}

/* One folder holds one journal; a Kafka holds many, by their prefix. */
static void journal_of_its_own(struct config *cfg)
{
    const char *url = config_text(cfg, "journal.url");
    if (config_text(cfg, "reverse.journal") != NULL)
        take_from(cfg, "journal.url", "reverse.journal");
    else if (url != NULL && strstr(url, "kafka://") == NULL)
        set_suffixed(cfg, "journal.url", LMDB_SUFFIX);
    if (config_text(cfg, "journal.claim_store") != NULL)
        set_suffixed(cfg, "journal.claim_store", LMDB_SUFFIX);
}

/* Approvals were for the way there; that it is this database is asked for both ways. */
static void approve_back(struct config *cfg)
{
    bool confirm = false;
    struct option_value *approval = &setting_of(cfg, "cutover.approval")->value;
    for (size_t i = 0; i < approval->list_count; i++)
        confirm = confirm || strcmp(approval->list[i], "confirm") == 0;
    option_value_release(approval);
    if (confirm)
        option_value_add(approval, NULL, "confirm");
}

static void turn_cutover(struct config *cfg)
{
    static const char *const events[] = {"on_freeze", "on_verified", "on_switch", "on_abort", "on_done"};
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        char there[40], back[40];
        (void)snprintf(there, sizeof there, "cutover.%s", events[i]);
        (void)snprintf(back, sizeof back, "reverse.%s", events[i]);
        take_from(cfg, there, back);
    }
    approve_back(cfg);
    set_number(cfg, "cutover.clean_for", 0);
    set_text(cfg, "cutover.grants", "ignore"); /* the old source served with its own */
    set_number(cfg, "compare.watch.shadow", 0);
    /* What was equal at the switch is where the way back begins, for as long as there is one. */
    if (config_int(cfg, "cutover.verdict_max_age_s") < config_int(cfg, "cutover.rollback_window"))
        set_number(cfg, "cutover.verdict_max_age_s", config_int(cfg, "cutover.rollback_window"));
}

/* Topics beside the tables' that only a capture of PostgreSQL fills. Foreign readers have those of the way there. */
static void without_metadata_topics(struct config *cfg)
{
    static const char *const topics[] = {"journal.transaction_topic", "journal.heartbeat_topic",
                                         "journal.message_topic"};
    for (size_t i = 0; i < ARRAY_LEN(topics); i++)
        set_text(cfg, topics[i], "false");
}

static void turn(struct config *cfg)
{
    static const char *const forward_only[] = {"source.standby_url", "apply.conflicts",
                                               "apply.dual_write_until", "apply.schedule",
                                               "cutover.postpone_file"};
    for (size_t i = 0; i < ARRAY_LEN(forward_only); i++)
        option_value_release(&setting_of(cfg, forward_only[i])->value);
    swap(cfg, "source.url", "target.url");
    swap(cfg, "compare.where", "compare.target_where");
    take_from(cfg, "capture.listen", "reverse.capture_listen");
    take_from(cfg, "apply.listen", "reverse.apply_listen");
    set_text(cfg, "capture.snapshot", "never");
    set_text(cfg, "capture.snapshot_path", "journal");
    set_text(cfg, "capture.origin", "not_crossfade");
    if (names_mariadb(config_text(cfg, "source.url")))
        without_metadata_topics(cfg);
    journal_of_its_own(cfg);
    turn_cutover(cfg);
}

bool config_reversed(const struct config *cfg, struct config **ret, struct err *err)
{
    if (cfg->forward != NULL) {
        *ret = copy_of(cfg->forward);
        return true;
    }
    if (!can_be_turned(cfg, err))
        return err_wrap(err, "the way back");
    struct config *turned = copy_of(cfg);
    if (!name_it(turned, err)) {
        config_free(turned);
        return err_wrap(err, "the way back");
    }
    turn(turned);
    turned->forward = copy_of(cfg);
    *ret = turned;
    return true;
}

bool config_comes_from_mariadb(const struct config *cfg)
{
    const char *url = config_text(cfg, "source.url");
    return cfg->forward != NULL && url != NULL && names_mariadb(url);
}

bool config_is_reversed(const struct config *cfg)
{
    return cfg->forward != NULL;
}

void config_other_pipeline(const struct config *cfg, char ret[64])
{
    struct config *turned = NULL;
    struct err none = ERR_INIT;
    ret[0] = '\0';
    if (!config_reversed(cfg, &turned, &none))
        return;
    (void)snprintf(ret, 64, "%s", config_text(turned, "pipeline"));
    config_free(turned);
}
