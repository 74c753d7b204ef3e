/* A loader's implementations, and what is the same in all of them. */
#ifndef TARGET_LOADER_IMPL_H
#define TARGET_LOADER_IMPL_H

#include "target/loader.h"
#include "target/shard.h"

/* Every loader struct begins with these; strings are its own. */
struct loader {
    const struct loader_ops *ops;
    char *pipeline, *owner;
    uint64_t attempt, source_system_id;
    lsn_t begin_lsn;
    bool truncate_nonempty;
    int64_t index_memory_bytes;
};

/* A row of the control table of positions. */
struct loader_place {
    char shard[32]; /* "1/3" */
    uint64_t attempt, source_system_id;
    lsn_t lsn;
    bool complete; /* of this attempt: the load was over before */
};
#define LOADER_PLACES_MAX 1024

struct loader_table_ops {
    bool (*look)(struct loader *ld, const struct loader_table *const *tables, size_t count,
                 struct loader_seen *ret, struct err *err);
    bool (*begin)(struct loader *ld, const struct loader_table *const *tables, size_t count, struct err *err);
    bool (*end)(struct loader *ld, const struct loader_table *const *tables, size_t count, struct err *err);
};

struct loader_chunk_ops {
    bool (*plan)(struct loader *ld, const struct loader_chunk *chunk, struct err *err);
    bool (*begin)(struct loader *ld, const struct loader_table *const *tables, size_t count, struct err *err);
    bool (*start)(struct loader *ld, const struct loader_table *t, enum loader_form form, struct err *err);
    bool (*put)(struct loader *ld, const void *bytes, size_t len, struct err *err);
    bool (*put_row)(struct loader *ld, const struct datum *row, lsn_t lsn, struct err *err);
    bool (*stop)(struct loader *ld, int64_t *ret_rows, struct err *err);
    bool (*save)(struct loader *ld, struct err *err);
    bool (*restore)(struct loader *ld, struct err *err);
    bool (*hold)(struct loader *ld, const struct loader_letter *letter, struct err *err);
    bool (*end)(struct loader *ld, const struct loader_chunk *chunks, size_t count, lsn_t lsn,
                struct err *err);
};

struct loader_ops {
    /* The struct, its first member filled by loader_base(). */
    bool (*open)(const struct loader_options *options, struct loader **ret, struct err *err);
    void (*close)(struct loader *ld); /* all but the base's strings */
    void (*cancel)(struct loader *ld);
    /* Positions of the pipeline's shards: room for LOADER_PLACES_MAX. */
    bool (*places)(struct loader *ld, struct loader_place *ret, size_t *ret_count, struct err *err);
    bool (*claim)(struct loader *ld, bool *ret_done, struct err *err);
    bool (*finish)(struct loader *ld, struct err *err);
    const struct loader_table_ops *tables;
    const struct loader_chunk_ops *chunks;
};

extern const struct loader_ops loader_postgres, loader_mariadb;

void loader_base(struct loader *ld, const struct loader_ops *ops, const struct loader_options *options);
void loader_base_release(struct loader *ld);
/* Do all shards of one layout stand at the attempt? *ret_shards: how many there are. ERR_FENCED: one is behind it. ERR_IDENTITY: one was
 * filled from another source. */
bool loader_places_ready(const struct loader *ld, const struct loader_place *places, size_t count,
                         unsigned *ret_shards, bool *ret_ready, struct err *err) MUST_CHECK;
/* As many refused rows are kept as may be. Always false. */
bool loader_too_many_letters(const struct loader_letter *letter, struct err *err);
/* There are more than LOADER_PLACES_MAX. Always false. */
bool loader_too_many_places(struct err *err);
/* An upper bound in one text: "3:abc,2:de,"; any text may be in it. False: it does not parse. */
bool loader_upper_read(const char *text, struct loader_chunk *chunk);
void loader_upper_write(struct strbuf *sb, const struct loader_chunk *chunk);
/* "2/3": whose table it is. */
void loader_shard_of(unsigned shards, const char *schema, const char *name, char ret[32]);
/* Of a transaction whose claim, or whose shards, are no longer there. Always false. */
bool loader_taken_over(struct err *err);

#endif
