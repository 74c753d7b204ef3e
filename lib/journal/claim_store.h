/*
 * Where records lie that are too large for the journal's own server (claims.h): named objects, written whole and once,
 * read whole, by other machines too. Implementations are chosen by what `where` looks like; there is one, a directory
 * that all share (NFS or the like). An object store would be another table of functions.
 *
 * Names: letters, digits, - and . only, not beginning with a dot, at most CLAIM_NAME_MAX bytes.
 * @thread: one at a time
 */
#ifndef JOURNAL_CLAIM_STORE_H
#define JOURNAL_CLAIM_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

#define CLAIM_NAME_MAX 120

struct claim_store;

/* An object's bytes, piece by piece; *ret_len = 0: that was all. The memory is the source's, valid until the next call. */
struct claim_source {
    bool (*next)(void *ctx, const void **ret_piece, size_t *ret_len, struct err *err);
    void *ctx;
};

/* A text as a source, once: {claim_text_next, &text}. */
struct claim_text {
    const char *text;
    size_t len;
};
bool claim_text_next(void *ctx, const void **ret_piece, size_t *ret_len, struct err *err);

struct claim_store_ops {
    const char *name;
    /* folder: a pipeline's own part of the store. Nothing is looked at or made yet. */
    struct claim_store *(*open)(const char *where, const char *folder);
    /* Replaces an object of that name. True: it is durable, and whole for whoever sees it. */
    bool (*put)(struct claim_store *cs, const char *name, const struct claim_source *source, struct err *err);
    /* The same unless there is an object of that name already: *ret_put false. */
    bool (*put_new)(struct claim_store *cs, const char *name, const struct claim_source *source,
                    bool *ret_put, struct err *err);
    /* All of it into `out`, which has room for `size` bytes. ERR_GAP: it is not there; ERR_PROTOCOL: it has another size. */
    bool (*get)(struct claim_store *cs, const char *name, void *out, size_t size, struct err *err);
    /* *ret = -1: it is not there. */
    bool (*size)(struct claim_store *cs, const char *name, long long *ret, struct err *err);
    /* Also where there is none. */
    bool (*remove)(struct claim_store *cs, const char *name, struct err *err);
    /* Names in no order; objects may be put and removed by each(). Frees what a killed writer left half-written, and nothing that
     * a living one is at. */
    bool (*list)(struct claim_store *cs, bool (*each)(void *ctx, const char *name, struct err *err),
                 void *ctx, struct err *err);
    /* For messages: the path or address of an object. malloc'd. */
    char *(*path)(const struct claim_store *cs, const char *name);
    void (*close)(struct claim_store *cs);
};

/* Every implementation's struct begins with this. */
struct claim_store {
    const struct claim_store_ops *ops;
};

/* ERR_CONFIG: `where` is nothing that any implementation takes. */
bool claim_store_open(const char *where, const char *folder, struct claim_store **ret,
                      struct err *err) MUST_CHECK;
bool claim_name_ok(const char *name);

static inline bool MUST_CHECK claim_store_put(struct claim_store *cs, const char *name,
                                              const struct claim_source *source, struct err *err)
{
    BUG_UNLESS(claim_name_ok(name));
    return cs->ops->put(cs, name, source, err);
}
static inline bool MUST_CHECK claim_store_put_new(struct claim_store *cs, const char *name,
                                                  const struct claim_source *source, bool *ret_put,
                                                  struct err *err)
{
    BUG_UNLESS(claim_name_ok(name));
    return cs->ops->put_new(cs, name, source, ret_put, err);
}
static inline bool MUST_CHECK claim_store_get(struct claim_store *cs, const char *name, void *out,
                                              size_t size, struct err *err)
{
    BUG_UNLESS(claim_name_ok(name));
    return cs->ops->get(cs, name, out, size, err);
}
static inline bool MUST_CHECK claim_store_size(struct claim_store *cs, const char *name, long long *ret,
                                               struct err *err)
{
    BUG_UNLESS(claim_name_ok(name));
    return cs->ops->size(cs, name, ret, err);
}
static inline bool MUST_CHECK claim_store_remove(struct claim_store *cs, const char *name, struct err *err)
{
    BUG_UNLESS(claim_name_ok(name));
    return cs->ops->remove(cs, name, err);
}
static inline bool MUST_CHECK claim_store_list(struct claim_store *cs,
                                               bool (*each)(void *ctx, const char *name, struct err *err),
                                               void *ctx, struct err *err)
{
    return cs->ops->list(cs, each, ctx, err);
}
static inline char *claim_store_path(const struct claim_store *cs, const char *name)
{
    return cs->ops->path(cs, name);
}
static inline void claim_store_close(struct claim_store *cs) /* NULL allowed */
{
    if (cs != NULL)
        cs->ops->close(cs);
}

extern const struct claim_store_ops claim_store_dir_ops;

#endif
