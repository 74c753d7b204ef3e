/* Owns: lists of GTIDs. See gtid.h. */
#include "maria/binlog/gtid.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

/* Where the domain is, or belongs. */
static size_t place(const struct gtid_list *list, uint32_t domain)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (list->items[mid].domain < domain)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct gtid *gtid_list_find(const struct gtid_list *list, uint32_t domain)
{
    size_t at = place(list, domain);
    return at < list->count && list->items[at].domain == domain ? &list->items[at] : NULL;
}

bool gtid_list_set(struct gtid_list *list, struct gtid gtid, struct err *err)
{
    size_t at = place(list, gtid.domain);
    if (at < list->count && list->items[at].domain == gtid.domain) {
        list->items[at] = gtid;
        return true;
    }
    if (list->count == GTID_DOMAINS_MAX)
        return err_set(err, ERR_NO_MEMORY, "more than %d replication domains", GTID_DOMAINS_MAX);
    list->items = xrealloc(list->items, (list->count + 1) * sizeof *list->items);
    memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof *list->items);
    list->items[at] = gtid;
    list->count++;
    return true;
}

static bool take_number(const char **p, uint64_t max, uint64_t *ret)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**p))
        return false;
    errno = 0;
    unsigned long long v = strtoull(*p, &end, 10);
    *p = end;
    *ret = v;
    return errno == 0 && v <= max;
}

static bool take_gtid(const char **p, struct gtid *ret)
{
    uint64_t domain = 0, server = 0, seq = 0;
    if (!take_number(p, UINT32_MAX, &domain) || *(*p)++ != '-' || !take_number(p, UINT32_MAX, &server) ||
        *(*p)++ != '-' || !take_number(p, UINT64_MAX, &seq))
        return false;
    *ret = (struct gtid){.domain = (uint32_t)domain, .server = (uint32_t)server, .seq = seq};
    return true;
}

static bool parse(const char *text, struct gtid_list *list, struct err *err)
{
    for (const char *p = text; *p != '\0';) {
        struct gtid gtid;
        if (!take_gtid(&p, &gtid) || (*p != ',' && *p != '\0') || gtid_list_find(list, gtid.domain) != NULL)
            return err_set(err, ERR_CONFIG,
                           "not a position of MariaDB: \"%.100s\". Hint: it is a list of GTIDs, one of each "
                           "domain, as SELECT @@gtid_binlog_pos shows it: 0-1-100,5-7-3",
                           text);
        if (!gtid_list_set(list, gtid, err))
            return false;
        p += *p == ',' ? 1 : 0;
        while (*p == ' ' || *p == '\n') /* the server breaks long lists */
            p++;
    }
    return true;
}

bool gtid_list_parse(const char *text, struct gtid_list *ret, struct err *err)
{
    struct gtid_list list = {0};
    if (!parse(text, &list, err)) {
        gtid_list_release(&list);
        return false;
    }
    gtid_list_release(ret);
    *ret = list;
    return true;
}

bool gtid_list_covers(const struct gtid_list *list, struct gtid gtid)
{
    const struct gtid *last = gtid_list_find(list, gtid.domain);
    return last != NULL && gtid.seq <= last->seq;
}

bool gtid_list_includes(const struct gtid_list *list, const struct gtid_list *part)
{
    for (size_t i = 0; i < part->count; i++) {
        if (!gtid_list_covers(list, part->items[i]))
            return false;
    }
    return true;
}

const char *gtid_text(struct gtid gtid, char out[GTID_TEXT_MAX])
{
    (void)snprintf(out, GTID_TEXT_MAX, "%" PRIu32 "-%" PRIu32 "-%" PRIu64, gtid.domain, gtid.server,
                   gtid.seq);
    return out;
}

void gtid_list_add_text(const struct gtid_list *list, struct strbuf *out)
{
    char text[GTID_TEXT_MAX];
    for (size_t i = 0; i < list->count; i++) {
        strbuf_adds(out, i > 0 ? "," : "");
        strbuf_adds(out, gtid_text(list->items[i], text));
    }
}

void gtid_list_copy(const struct gtid_list *from, struct gtid_list *ret)
{
    struct gtid_list copy = {.count = from->count};
    if (from->count > 0) {
        copy.items = xmalloc(from->count * sizeof *copy.items);
        memcpy(copy.items, from->items, from->count * sizeof *copy.items);
    }
    gtid_list_release(ret);
    *ret = copy;
}

void gtid_list_release(struct gtid_list *list)
{
    free(list->items);
    *list = (struct gtid_list){0};
}
