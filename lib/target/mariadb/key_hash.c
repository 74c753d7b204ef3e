/* Owns: the hash by which messages name a row. */
#include <openssl/sha.h>
#include <stdio.h>

#include "mariadb.h"

void md_key_hash(const struct md_table *tab, const struct target_row *row, char out[17])
{
    const struct datum *values = row->old != NULL ? row->old : row->row;
    struct strbuf text = STRBUF_INIT(MD_TEXT_MAX), room = STRBUF_INIT(MD_TEXT_MAX);
    struct err ignored = ERR_INIT;
    for (size_t i = 0; i < tab->key_count && values != NULL; i++) {
        const struct md_column *col = &tab->columns[tab->key[i]];
        const char *form;
        size_t len;
        strbuf_clear(&room);
        strbuf_adds(&text, i > 0 ? "," : "");
        if (values[col->index].state == DATUM_VALUE &&
            md_text_form(col, &values[col->index], &room, &form, &len, &ignored))
            strbuf_add(&text, form, len);
    }
    unsigned char digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)text.data, text.len, digest);
    for (size_t i = 0; i < 8; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    strbuf_release(&text);
    strbuf_release(&room);
}
