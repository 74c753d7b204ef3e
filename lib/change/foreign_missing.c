/* Owns: telling the values of Debezium's records that stand for large ones that the source did not send. See foreign.h. */
#include "change/foreign_missing.h"

#include <stdlib.h>
#include <string.h>

#include "change/json_write.h"
#include "change/nested.h"
#include "core/alloc.h"
#include "core/strbuf.h"

#define FORMS          4
#define FORM_MAX_BYTES ((size_t)1 << 20)

/* As text: as it is, as hstore's JSON, and as binary.handling.mode writes bytes. */
struct missing_forms {
    char *text[FORMS];
    size_t len[FORMS];
    bool is_default;
};

static void add_form(struct missing_forms *mf, size_t at, struct strbuf *sb)
{
    mf->text[at] = xstrndup(sb->len > 0 ? sb->data : "", sb->len);
    mf->len[at] = sb->len;
    strbuf_clear(sb);
}

struct missing_forms *missing_forms_new(const char *placeholder)
{
    struct missing_forms *mf = xcalloc(1, sizeof *mf);
    struct strbuf sb = STRBUF_INIT(FORM_MAX_BYTES), quoted = STRBUF_INIT(FORM_MAX_BYTES);
    const char *text = placeholder != NULL ? placeholder : UNAVAILABLE_TEXT;
    size_t len = strlen(text);
    mf->is_default = strcmp(text, UNAVAILABLE_TEXT) == 0;
    strbuf_add(&sb, text, len);
    add_form(mf, 0, &sb);
    json_put_string(&quoted, text, len);
    strbuf_addf(&sb, "{%s:%s}", quoted.data, quoted.data);
    add_form(mf, 1, &sb);
    strbuf_clear(&quoted);
    json_put_base64(&quoted, text, len);
    strbuf_add(&sb, quoted.data + 1, quoted.len - 2); /* without its quotes */
    add_form(mf, 2, &sb);
    for (size_t i = 0; i < len; i++)
        strbuf_addf(&sb, "%02x", (unsigned char)text[i]);
    add_form(mf, 3, &sb);
    strbuf_release(&sb);
    strbuf_release(&quoted);
    return mf;
}

void missing_forms_free(struct missing_forms *mf)
{
    for (size_t i = 0; mf != NULL && i < FORMS; i++)
        free(mf->text[i]);
    free(mf);
}

static bool is_form(const struct missing_forms *mf, size_t at, const struct datum *d)
{
    return d->state == DATUM_VALUE && d->s.len == mf->len[at] &&
           memcmp(d->s.p, mf->text[at], mf->len[at]) == 0;
}

/* One element that is the text, or its bytes as numbers. */
static bool is_array(const struct missing_forms *mf, const struct field *f, const struct datum *d)
{
    bool numbers = f->elem == PHYS_INT16 || f->elem == PHYS_INT32 || f->elem == PHYS_INT64;
    size_t want = numbers ? mf->len[0] : 1, count = 0;
    struct nested_reader r;
    struct datum x;
    if (!numbers && f->elem != PHYS_STRING && f->elem != PHYS_BYTES)
        return false;
    for (nested_open(&r, d->s.p, d->s.len); nested_next(&r, f, &x); count++) {
        bool same = count < want && x.state == DATUM_VALUE &&
                    (numbers ? x.i == (signed char)mf->text[0][count] : is_form(mf, 0, &x));
        if (!same)
            return false;
    }
    return count > 0 && count == want && r.failed == NULL;
}

static bool is_map(const struct missing_forms *mf, const struct datum *d)
{
    struct nested_reader r;
    struct datum key, value;
    nested_open(&r, d->s.p, d->s.len);
    return nested_next_entry(&r, &key, &value) && is_form(mf, 0, &key) && is_form(mf, 0, &value);
}

static bool is_missing(const struct missing_forms *mf, const struct field *f, const struct datum *d)
{
    bool found = false;
    switch (f->phys) {
    case PHYS_STRING:
        for (size_t i = 0; i < FORMS && !found; i++)
            found = is_form(mf, i, d);
        return found;
    case PHYS_BYTES:
        return is_form(mf, 0, d);
    case PHYS_ARRAY:
        return is_array(mf, f, d) || (mf->is_default && nested_is_stand_in(f, d)); /* (uuids) */
    case PHYS_MAP:
        return is_map(mf, d);
    default:
        return false;
    }
}

void missing_forms_mark(const struct missing_forms *mf, const struct table_schema *schema,
                        struct datum *image)
{
    for (size_t i = 0; image != NULL && i < schema->field_count; i++) {
        if (image[i].state == DATUM_VALUE && is_missing(mf, &schema->fields[i], &image[i]))
            image[i].state = DATUM_UNAVAILABLE;
    }
}
