/* Owns: telling the values of Debezium's records that stand for large ones that the source did not send. See foreign.h. */
#include "change/foreign_missing.h"

#include <stdlib.h>
#include <string.h>

#include "change/json_write.h"
#include "change/nested.h"
#include "core/alloc.h"
#include "core/strbuf.h"

#define FORMS          4 /* of one placeholder */
#define PLACEHOLDERS   2
#define FORM_MAX_BYTES ((size_t)1 << 20)

/* As text: as it is, as hstore's JSON, and as binary.handling.mode writes bytes; of the default, then of what is configured. */
struct missing_forms {
    char *text[PLACEHOLDERS * FORMS];
    size_t len[PLACEHOLDERS * FORMS];
    size_t count;
};

static void add_form(struct missing_forms *mf, struct strbuf *sb)
{
    mf->text[mf->count] = xstrndup(sb->len > 0 ? sb->data : "", sb->len);
    mf->len[mf->count++] = sb->len;
    strbuf_clear(sb);
}

static void add_forms(struct missing_forms *mf, const char *text)
{
    struct strbuf sb = STRBUF_INIT(FORM_MAX_BYTES), quoted = STRBUF_INIT(FORM_MAX_BYTES);
    size_t len = strlen(text);
    strbuf_add(&sb, text, len);
    add_form(mf, &sb);
    json_put_string(&quoted, text, len);
    strbuf_addf(&sb, "{%s:%s}", quoted.data, quoted.data);
    add_form(mf, &sb);
    strbuf_clear(&quoted);
    json_put_base64(&quoted, text, len);
    strbuf_add(&sb, quoted.data + 1, quoted.len - 2); /* without its quotes */
    add_form(mf, &sb);
    for (size_t i = 0; i < len; i++)
        strbuf_addf(&sb, "%02x", (unsigned char)text[i]);
    add_form(mf, &sb);
    strbuf_release(&sb);
    strbuf_release(&quoted);
}

struct missing_forms *missing_forms_new(const char *placeholder)
{
    struct missing_forms *mf = xcalloc(1, sizeof *mf);
    add_forms(mf, UNAVAILABLE_TEXT);
    if (placeholder != NULL && strcmp(placeholder, UNAVAILABLE_TEXT) != 0)
        add_forms(mf, placeholder);
    return mf;
}

void missing_forms_free(struct missing_forms *mf)
{
    for (size_t i = 0; mf != NULL && i < mf->count; i++)
        free(mf->text[i]);
    free(mf);
}

static bool is_form(const struct missing_forms *mf, size_t at, const struct datum *d)
{
    return d->state == DATUM_VALUE && d->s.len == mf->len[at] &&
           memcmp(d->s.p, mf->text[at], mf->len[at]) == 0;
}

/* One element that is the text, or its bytes as numbers. */
static bool is_array(const struct missing_forms *mf, size_t at, const struct field *f, const struct datum *d)
{
    bool numbers = f->elem == PHYS_INT16 || f->elem == PHYS_INT32 || f->elem == PHYS_INT64;
    size_t want = numbers ? mf->len[at] : 1, count = 0;
    struct nested_reader r;
    struct datum x;
    if (!numbers && f->elem != PHYS_STRING && f->elem != PHYS_BYTES)
        return false;
    for (nested_open(&r, d->s.p, d->s.len); nested_next(&r, f, &x); count++) {
        bool same = count < want && x.state == DATUM_VALUE &&
                    (numbers ? x.i == (signed char)mf->text[at][count] : is_form(mf, at, &x));
        if (!same)
            return false;
    }
    return count > 0 && count == want && r.failed == NULL;
}

static bool is_map(const struct missing_forms *mf, size_t at, const struct datum *d)
{
    struct nested_reader r;
    struct datum key, value;
    nested_open(&r, d->s.p, d->s.len);
    return nested_next_entry(&r, &key, &value) && is_form(mf, at, &key) && is_form(mf, at, &value);
}

static bool is_text(const struct missing_forms *mf, size_t at, const struct datum *d)
{
    bool found = false;
    for (size_t i = at; i < at + FORMS && !found; i++)
        found = is_form(mf, i, d);
    return found;
}

/* at: of the first form of a placeholder */
static bool is_missing(const struct missing_forms *mf, size_t at, const struct field *f,
                       const struct datum *d)
{
    switch (f->phys) {
    case PHYS_STRING:
        return is_text(mf, at, d);
    case PHYS_BYTES:
        return is_form(mf, at, d);
    case PHYS_ARRAY:
        return is_array(mf, at, f, d) || (at == 0 && nested_is_stand_in(f, d)); /* (uuids) */
    case PHYS_MAP:
        return is_map(mf, at, d);
    default:
        return false;
    }
}

void missing_forms_mark(const struct missing_forms *mf, const struct table_schema *schema,
                        struct datum *image)
{
    for (size_t i = 0; image != NULL && i < schema->field_count; i++) {
        for (size_t at = 0; at < mf->count && image[i].state == DATUM_VALUE; at += FORMS) {
            if (is_missing(mf, at, &schema->fields[i], &image[i]))
                image[i].state = DATUM_UNAVAILABLE;
        }
    }
}
