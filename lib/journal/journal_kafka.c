/* Placeholder until the Kafka journal is in: says so. */
#include "journal_impl.h"

static bool stub_writer_open(const struct journal_config *config, struct journal_writer **ret,
                             struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "kafka:// is not built yet");
}

static bool stub_reader_open(const struct journal_config *config, const char *reader_name,
                             struct journal_reader **ret, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "kafka:// is not built yet");
}

static const struct journal_writer_ops writer_ops = {.name = "kafka", .open = stub_writer_open};
static const struct journal_reader_ops reader_ops = {.name = "kafka", .open = stub_reader_open};
const struct journal_impl journal_impl_kafka = {"kafka", &writer_ops, &reader_ops};
