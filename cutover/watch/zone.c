/* Owns: the reading of TZif files, and local times. What holds behind the last transition: zone_rule.c. See zone.h. */
#include "zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/attr.h"
#include "zone_rule.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define HEADER_BYTES   44
#define DAY_S          INT64_C(86400)

struct zone {
    size_t count;
    int64_t *at;           /* when each offset begins, ascending */
    int64_t *offset_s;     /* of each */
    int64_t first_s;       /* before the first of them */
    struct zone_rule rule; /* behind the last */
};

struct reader {
    const unsigned char *p, *end;
};

static const unsigned char *take(struct reader *r, size_t len)
{
    if ((size_t)(r->end - r->p) < len)
        return NULL;
    r->p += len;
    return r->p - len;
}

static int64_t big_endian(const unsigned char *p, size_t len)
{
    uint64_t n = (p[0] & 0x80U) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | p[i];
    return (int64_t)n;
}

struct header {
    char version;
    size_t isutc, isstd, leap, times, types, chars;
};

static bool read_header(struct reader *r, struct header *ret)
{
    const unsigned char *p = take(r, HEADER_BYTES);
    if (p == NULL || memcmp(p, "TZif", 4) != 0)
        return false;
    size_t *const counts[] = {&ret->isutc, &ret->isstd, &ret->leap, &ret->times, &ret->types, &ret->chars};
    ret->version = (char)p[4];
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        *counts[i] = (size_t)(uint32_t)big_endian(p + 20 + 4 * i, 4);
        if (*counts[i] > FILE_BYTES_MAX)
            return false;
    }
    return true;
}

static size_t body_len(const struct header *h, size_t time_len)
{
    return h->times * (time_len + 1) + h->types * 6 + h->chars + h->leap * (time_len + 4) + h->isstd +
           h->isutc;
}

/* The 64-bit part; the one in front of it is for programs of the eighties. */
static bool read_body(struct reader *r, const struct header *h, struct zone *zone)
{
    const unsigned char *times = take(r, h->times * 8), *indexes = take(r, h->times),
                        *types = take(r, h->types * 6);
    if (times == NULL || indexes == NULL || types == NULL || h->types == 0 ||
        take(r, h->chars + h->leap * 12 + h->isstd + h->isutc) == NULL)
        return false;
    zone->count = h->times;
    zone->at = xcalloc(h->times + 1, sizeof *zone->at);
    zone->offset_s = xcalloc(h->times + 1, sizeof *zone->offset_s);
    zone->first_s = big_endian(types, 4);
    for (size_t i = 0; i < h->times; i++) {
        if (indexes[i] >= h->types)
            return false;
        zone->at[i] = big_endian(times + 8 * i, 8);
        zone->offset_s[i] = big_endian(types + (size_t)6 * indexes[i], 4);
    }
    return true;
}

static bool read_footer(struct reader *r, struct zone *zone)
{
    char text[200];
    const unsigned char *begin = take(r, 1);
    const unsigned char *end = begin != NULL ? memchr(r->p, '\n', (size_t)(r->end - r->p)) : NULL;
    size_t len = end != NULL ? (size_t)(end - r->p) : sizeof text;
    if (len >= sizeof text || *begin != '\n')
        return false;
    memcpy(text, r->p, len);
    text[len] = '\0';
    if (len == 0) { /* the last offset holds for ever */
        int64_t last = zone->count > 0 ? zone->offset_s[zone->count - 1] : zone->first_s;
        zone->rule = (struct zone_rule){.standard_s = last};
        return true;
    }
    return zone_rule_parse(text, &zone->rule);
}

bool zone_parse(const char *name, const unsigned char *bytes, size_t len, struct zone **ret, struct err *err)
{
    struct reader r = {bytes, bytes + len};
    struct header h;
    struct zone *zone = xcalloc(1, sizeof *zone);
    if (read_header(&r, &h) && h.version >= '2' && take(&r, body_len(&h, 4)) != NULL && read_header(&r, &h) &&
        read_body(&r, &h, zone) && read_footer(&r, zone)) {
        *ret = zone;
        return true;
    }
    zone_free(zone);
    return err_set(err, ERR_CONFIG, "time zone %s: its file is none of the time zone database (TZif 2)",
                   name);
}

static bool read_file(const char *path, const char *name, struct zone **ret, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_set(err, ERR_CONFIG, "time zone %s: %s: %s; install the time zone database (tzdata)", name,
                       path, strerror(errno));
    unsigned char *bytes = xmalloc(FILE_BYTES_MAX);
    size_t len = fread(bytes, 1, FILE_BYTES_MAX, file);
    bool ok = ferror(file) == 0;
    (void)fclose(file);
    ok = ok ? zone_parse(name, bytes, len, ret, err)
            : err_set(err, ERR_CONFIG, "time zone %s: %s cannot be read", name, path);
    free(bytes);
    return ok;
}

bool zone_open(const char *name, struct zone **ret, struct err *err)
{
    if (strcmp(name, "UTC") == 0) {
        *ret = xcalloc(1, sizeof **ret);
        return true;
    }
    const char *folder = getenv("TZDIR");
    char *path CLEANUP(free_ptr) =
        xasprintf("%s/%s", folder != NULL && *folder == '/' ? folder : "/usr/share/zoneinfo", name);
    return read_file(path, name, ret, err);
}

void zone_free(struct zone *zone)
{
    if (zone == NULL)
        return;
    free(zone->at);
    free(zone->offset_s);
    free(zone);
}

static int64_t offset_at(const struct zone *zone, int64_t unix_s)
{
    size_t low = 0, high = zone->count; /* how many have begun by then */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->at[middle] <= unix_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == zone->count)
        return zone_rule_offset(&zone->rule, unix_s);
    return low > 0 ? zone->offset_s[low - 1] : zone->first_s;
}

struct local_time zone_local(const struct zone *zone, int64_t unix_s)
{
    int64_t offset_s = offset_at(zone, unix_s), local_s = unix_s + offset_s;
    int64_t second = ((local_s % DAY_S) + DAY_S) % DAY_S, day = (local_s - second) / DAY_S;
    return (struct local_time){.weekday = (int)(((day + 4) % 7 + 7) % 7), /* 1970-01-01 was a Thursday */
                               .second_of_day = (int)second,
                               .offset_s = offset_s};
}
