/* Owns: dates and times. PostgreSQL's text form ("2024-02-29 11:14:15.5+00", "… BC", "infinity") becomes MariaDB's, which has the
 * years 1 to 9999 (a TIMESTAMP 1970 to 2038, of newer servers 2106), no infinities, and cuts digits that a column has no room for in silence. */
#include <stdio.h>
#include <string.h>

#include "mariadb.h"

#define DAY_MAX       "9999-12-31"
#define DAY_MIN       "0001-01-01"
#define SECOND_MIN    " 00:00:00"
#define SECOND_MAX    " 23:59:59"
#define TIMESTAMP_MIN "1970-01-01 00:00:01" /* 0 is the zero date */

/* Zeros behind what the column keeps go; others do not fit. `text` = hh:mm:ss[.f]. */
static bool cut_fraction(const char *text, size_t len, int digits, size_t *ret_len)
{
    const char *point = memchr(text, '.', len);
    *ret_len = len;
    if (point == NULL)
        return true;
    size_t keep = (size_t)(point - text) + (digits > 0 ? 1 + (size_t)digits : 0);
    for (size_t i = keep; i < len; i++) {
        if (i != (size_t)(point - text) && text[i] != '0')
            return false;
    }
    *ret_len = keep < len ? keep : len;
    return true;
}

/* Puts `text` in place of what stands from `start` on. */
static enum md_put replace(struct md_value *out, size_t start, const char *text, size_t len, enum md_put as,
                           struct err *err)
{
    out->bytes->len = start;
    strbuf_add(out->bytes, text, len);
    return strbuf_ok(out->bytes, "row", err) ? as : MD_PUT_FAILED;
}

/* The end of the column's calendar that is nearest. */
static enum md_put nearest(const struct md_column *col, struct md_value *out, size_t start, bool late,
                           struct err *err)
{
    char text[40];
    char fraction[10] = ".999999";
    struct err full = ERR_INIT;
    bool day = col->type == MD_DATE;
    fraction[col->digits > 0 ? 1 + col->digits : 0] = '\0';
    if (day)
        (void)snprintf(text, sizeof text, "%s", late ? DAY_MAX : DAY_MIN);
    else if (late)
        (void)snprintf(text, sizeof text, "%s%s", col->latest != NULL ? col->latest : DAY_MAX SECOND_MAX,
                       fraction);
    else
        (void)snprintf(text, sizeof text, "%s", col->latest != NULL ? TIMESTAMP_MIN : DAY_MIN SECOND_MIN);
    if (col->latest != NULL)
        (void)md_unfit(err, "22008", "%s has the times from %s to %s in UTC, and no infinity", col->type_text,
                       TIMESTAMP_MIN, col->latest);
    else
        (void)md_unfit(err, "22008", "%s has the years 1 to 9999, and no infinity", col->type_text);
    return replace(out, start, text, strlen(text), MD_PUT_NEAREST, &full);
}

/* Where the year's digits end; 0: no such text. */
static size_t year_end(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && text[i] >= '0' && text[i] <= '9')
        i++;
    return i < len && text[i] == '-' ? i : 0;
}

/* 1970 with not a microsecond gone is the zero date, which a TIMESTAMP does not take. */
static bool is_before(const char *text, size_t len)
{
    static const char zero[] = "1970-01-01 00:00:00";
    int order = memcmp(text, zero, sizeof zero - 1);
    return order < 0 || (order == 0 && strspn(text + sizeof zero - 1, ".0") == len - (sizeof zero - 1));
}

static enum md_put put_calendar(const struct md_column *col, const struct datum *value, struct md_value *out,
                                struct err *err)
{
    size_t start = out->bytes->len, len, keep;
    const char *text;
    if (!md_text_form(col, value, out->bytes, &text, &len, err))
        return MD_PUT_FAILED;
    char copy[80] = "";
    if (len >= sizeof copy)
        return err_set(err, ERR_PROTOCOL, "this is no date"), MD_PUT_FAILED;
    memcpy(copy, text, len);
    size_t year = year_end(copy, len);
    if (year == 0 || strstr(copy, " BC") != NULL)
        return nearest(col, out, start, strcmp(copy, "infinity") == 0, err);
    if (year > 4)
        return nearest(col, out, start, true, err);
    if (col->type == MD_DATE)
        return replace(out, start, copy, len, MD_PUT_OK, err);
    len = strcspn(copy, "+"); /* timestamptz: +00, the session's own */
    if (col->latest != NULL && is_before(copy, len))
        return nearest(col, out, start, false, err);
    if (col->latest != NULL && memcmp(copy, col->latest, strlen(col->latest)) > 0)
        return nearest(col, out, start, true, err);
    bool ok = cut_fraction(copy, len, col->digits, &keep);
    if (!ok)
        return md_unfit(err, "22008", "%s has no room for all digits behind the second", col->type_text);
    return replace(out, start, copy, keep, MD_PUT_OK, err);
}

enum md_put md_put_date(const struct md_column *col, const struct datum *value, struct md_value *out,
                        struct err *err)
{
    return put_calendar(col, value, out, err);
}

enum md_put md_put_datetime(const struct md_column *col, const struct datum *value, struct md_value *out,
                            struct err *err)
{
    return put_calendar(col, value, out, err);
}

enum md_put md_put_time(const struct md_column *col, const struct datum *value, struct md_value *out,
                        struct err *err)
{
    size_t start = out->bytes->len, len, keep;
    const char *text;
    char copy[40] = "";
    if (!md_text_form(col, value, out->bytes, &text, &len, err))
        return MD_PUT_FAILED;
    if (len >= sizeof copy)
        return err_set(err, ERR_PROTOCOL, "this is no time"), MD_PUT_FAILED;
    memcpy(copy, text, len);
    if (!cut_fraction(copy, len, col->digits, &keep))
        return md_unfit(err, "22008", "%s has no room for all digits behind the second", col->type_text);
    return replace(out, start, copy, keep, MD_PUT_OK, err);
}
