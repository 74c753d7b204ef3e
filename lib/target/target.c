/* Owns: the choice of an implementation by URL, and the only way to call one. */
#include "target/target.h"

#include <string.h>

#include "core/log.h"
#include "target/target_impl.h"

static const struct {
    const char *prefix;
    const struct target_ops *ops;
} implementations[] = {
    {"postgresql://", &target_postgres},
    {"postgres://", &target_postgres},
    {"mariadb://", &target_mariadb},
    {"mysql://", &target_mariadb},
    {"fault:", &target_fault},
};

bool target_open(const struct target_options *options, struct target **ret, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(implementations); i++) {
        if (strncmp(options->url, implementations[i].prefix, strlen(implementations[i].prefix)) == 0)
            return implementations[i].ops->open(options, ret, err);
    }
    char masked[200];
    return err_set(err, ERR_CONFIG, "target.url: %s: postgresql://… or mariadb://… is expected",
                   log_mask_url(options->url, masked, sizeof masked));
}

bool target_prepare(struct target *tgt, const struct table_schema *schema, struct target_table **ret,
                    struct err *err)
{
    return tgt->ops->prepare(tgt, schema, ret, err);
}

bool target_begin(struct target *tgt, uint64_t attempt, struct err *err)
{
    return tgt->ops->begin(tgt, attempt, err);
}

bool target_write(struct target *tgt, enum target_mode mode, const struct target_batch *batches, size_t count,
                  struct err *err)
{
    BUG_UNLESS(mode != TARGET_MODE_UNKNOWN && (mode != TARGET_RESET || count == 0));
    return tgt->ops->write(tgt, mode, batches, count, err);
}

bool target_commit(struct target *tgt, const struct target_position *position, struct err *err)
{
    return tgt->ops->commit(tgt, position, err);
}

bool target_position(struct target *tgt, struct target_position *ret, bool *ret_found, struct err *err)
{
    return tgt->ops->position(tgt, ret, ret_found, err);
}

void target_cancel(struct target *tgt)
{
    tgt->ops->cancel(tgt);
}

void target_close(struct target *tgt)
{
    if (tgt != NULL)
        tgt->ops->close(tgt);
}
