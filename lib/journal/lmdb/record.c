/* Bytes of one record in the embedded journal: head, headers, key, value; integers in host order, as LMDB's
 * own are. */
#include <string.h>

#include "journal/lmdb/lmdb.h"

struct header_head {
    uint32_t name_size; /* with its NUL */
    uint32_t value_len;
};

size_t lmdb_record_size(const struct journal_record *rec)
{
    size_t size = sizeof(struct lmdb_record_head);
    size += (rec->key != NULL ? rec->key_len : 0) + (rec->value != NULL ? rec->value_len : 0);
    for (size_t i = 0; i < rec->header_count; i++)
        size += sizeof(struct header_head) + strlen(rec->headers[i].name) + 1 + rec->headers[i].value_len;
    return size;
}

static unsigned char *put_bytes(unsigned char *out, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(out, bytes, len);
    return out + len;
}

void lmdb_record_write(void *out, uint32_t stream, uint64_t offset, unsigned flags,
                       const struct journal_record *rec)
{
    flags |= rec->key == NULL ? LMDB_RECORD_NULL_KEY : 0;
    flags |= rec->value == NULL ? LMDB_RECORD_NULL_VALUE : 0;
    struct lmdb_record_head head = {.stream = stream,
                                    .flags = (uint8_t)flags,
                                    .header_count = (uint8_t)rec->header_count,
                                    .offset = offset,
                                    .timestamp_ms = rec->timestamp_ms,
                                    .key_len = rec->key == NULL ? 0 : (uint32_t)rec->key_len,
                                    .value_len = rec->value == NULL ? 0 : (uint32_t)rec->value_len};
    unsigned char *p = put_bytes(out, &head, sizeof head);
    for (size_t i = 0; i < rec->header_count; i++) {
        const struct journal_header *h = &rec->headers[i];
        struct header_head hh = {.name_size = (uint32_t)strlen(h->name) + 1,
                                 .value_len = (uint32_t)h->value_len};
        p = put_bytes(p, &hh, sizeof hh);
        p = put_bytes(p, h->name, hh.name_size);
        p = put_bytes(p, h->value, h->value_len);
    }
    p = put_bytes(p, rec->key, head.key_len);
    put_bytes(p, rec->value, head.value_len);
}

static bool read_header(const unsigned char **p, const unsigned char *end, struct journal_header *ret)
{
    struct header_head hh;
    if ((size_t)(end - *p) < sizeof hh)
        return false;
    memcpy(&hh, *p, sizeof hh);
    *p += sizeof hh;
    if (hh.name_size == 0 || (uint64_t)hh.name_size + hh.value_len > (uint64_t)(end - *p) ||
        (*p)[hh.name_size - 1] != '\0')
        return false;
    *ret = (struct journal_header){(const char *)*p, *p + hh.name_size, hh.value_len};
    *p += hh.name_size + hh.value_len;
    return true;
}

bool lmdb_record_read(const void *bytes, size_t len, struct journal_record *ret)
{
    struct lmdb_record_head head;
    if (!lmdb_record_head(bytes, len, &head) || head.header_count > JOURNAL_HEADERS_MAX)
        return false;
    const unsigned char *p = bytes, *end = p + len;
    p += sizeof head;
    for (size_t i = 0; i < head.header_count; i++) {
        if (!read_header(&p, end, &ret->headers[i]))
            return false;
    }
    if ((uint64_t)head.key_len + head.value_len != (uint64_t)(end - p))
        return false;
    ret->header_count = head.header_count;
    ret->writer = 0;
    ret->stray = false;
    ret->offset = head.offset;
    ret->timestamp_ms = head.timestamp_ms;
    ret->key = head.flags & LMDB_RECORD_NULL_KEY ? NULL : p;
    ret->key_len = head.key_len;
    ret->value = head.flags & LMDB_RECORD_NULL_VALUE ? NULL : p + head.key_len;
    ret->value_len = head.value_len;
    return true;
}
