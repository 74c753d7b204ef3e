/* Owns: the workload of compare.shadow.queries and compare.shadow.file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/query_item.h"
#include "core/alloc.h"
#include "workload.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

static void take_item(void *ctx, const struct query_item *item)
{
    struct workload *w = ctx;
    const struct query_params none = {0};
    size_t runs = item->params_count > 0 ? item->params_count : 1;
    for (size_t i = 0; i < runs; i++) {
        const struct query_params *p = item->params_count > 0 ? &item->params[i] : &none;
        const struct offer offer = {.origin = "list",
                                    .name = item->name,
                                    .sql = item->sql,
                                    .target_sql = item->target_sql,
                                    .params = p->values,
                                    .param_count = p->count,
                                    .weight = 1,
                                    .whole = true};
        workload_offer(w, &offer);
    }
}

static bool read_whole(const char *path, struct strbuf *out, struct err *err)
{
    FILE *f = fopen(path, "rbe");
    char *room = NULL;
    size_t n = 0;
    if (f == NULL)
        return err_set_errno(err, errno, "compare.shadow.file: %s", path);
    do {
        room = strbuf_reserve(out, 65536);
        n = room != NULL ? fread(room, 1, 65536, f) : 0;
        out->len += n;
    } while (n > 0);
    bool bad = ferror(f) != 0;
    int saved = errno;
    (void)fclose(f);
    if (bad)
        return err_set_errno(err, saved, "compare.shadow.file: %s", path);
    strbuf_add(out, "", 1);
    out->len -= !out->failed;
    return strbuf_ok(out, "compare.shadow.file", err);
}

bool workload_read_list(struct workload *w, const struct config *cfg, struct err *err)
{
    size_t count;
    const char *const *items = config_list(cfg, "compare.shadow.queries", &count);
    const char *path = config_text(cfg, "compare.shadow.file");
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        struct query_item item;
        ok = query_item_read(items[i], &item, err);
        if (ok) {
            take_item(w, &item);
            query_item_release(&item);
        }
    }
    if (ok && path != NULL) {
        struct strbuf text = STRBUF_INIT(FILE_BYTES_MAX);
        ok = read_whole(path, &text, err) && query_items_read(path, text.data, text.len, take_item, w, err);
        strbuf_release(&text);
    }
    return ok;
}
