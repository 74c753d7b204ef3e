/* Requests and answers of a schema registry. See registry_protocol.h. */
#include "registry_protocol.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/strbuf.h"

#define PATH_BYTES_MAX    ((size_t)4096) /* a topic's name has at most 249 bytes */
#define MESSAGE_SHOWN_MAX 400
#define CODE_NO_SCHEMA    40403

/* --- the address --- */

static int hex_digit(char c)
{
    if (!isxdigit((unsigned char)c))
        return -1;
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Resolves %xx; NULL if that makes no text. malloc'd. */
static char *decode_percent(const char *p, size_t len)
{
    char *out = xmalloc(len + 1), *to = out;
    for (const char *end = p + len; p < end; p++) {
        char c = *p;
        if (c == '%') {
            int high = end - p >= 3 ? hex_digit(p[1]) : -1, low = end - p >= 3 ? hex_digit(p[2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0)) {
                free(out);
                return NULL;
            }
            c = (char)(high << 4 | low);
            p += 2;
        }
        *to++ = c;
    }
    *to = '\0';
    return out;
}

static bool read_user(const char *p, const char *at, struct registry_address *ret, struct err *err)
{
    const char *colon = memchr(p, ':', (size_t)(at - p));
    ret->user = decode_percent(p, (size_t)((colon != NULL ? colon : at) - p));
    if (colon != NULL)
        ret->password = decode_percent(colon + 1, (size_t)(at - colon - 1));
    return (ret->user != NULL && (colon == NULL || ret->password != NULL)) ||
           err_set(err, ERR_CONFIG,
                   "journal.registry: user or password in the URL: a %% must stand before two hex "
                   "digits (a %% itself is %%25)");
}

static void take(char **to, const char *text)
{
    if (text == NULL)
        return;
    free(*to);
    *to = xstrdup(text);
}

bool registry_address_read(const char *url, const char *user, const char *password,
                           struct registry_address *ret, struct err *err)
{
    struct registry_address address = {0};
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    const char *host = url + scheme;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    if (scheme == 0)
        return err_set(err, ERR_CONFIG, "journal.registry: expected http://… or https://…");
    if (at != NULL && !read_user(host, at, &address, err)) {
        registry_address_release(&address);
        return false;
    }
    host = at != NULL ? at + 1 : host;
    size_t len = strlen(host);
    while (len > 0 && host[len - 1] == '/')
        len--;
    if (len == 0 || strcspn(host, "/") == 0 || strcspn(host, "?#@ ") < len) {
        registry_address_release(&address);
        return err_set(
            err, ERR_CONFIG,
            "journal.registry: expected http(s)://host:port/path without \"?\", \"#\" and blanks (in user "
            "and password @ is %%40, / is %%2F)");
    }
    address.base = xasprintf("%.*s%.*s", (int)scheme, url, (int)len, host);
    take(&address.user, user);
    take(&address.password, password);
    *ret = address;
    return true;
}

void registry_address_release(struct registry_address *address)
{
    free(address->base);
    free(address->user);
    free(address->password);
    *address = (struct registry_address){0};
}

/* --- requests --- */

char *registry_versions_path(const char *subject)
{
    struct strbuf sb = STRBUF_INIT(PATH_BYTES_MAX);
    strbuf_adds(&sb, "/subjects/");
    for (const char *p = subject; *p != '\0'; p++) {
        if (isalnum((unsigned char)*p) || strchr("._-~", *p) != NULL)
            strbuf_addc(&sb, *p);
        else
            strbuf_addf(&sb, "%%%02X", (unsigned char)*p);
    }
    strbuf_adds(&sb, "/versions");
    return strbuf_detach(&sb);
}

char *registry_id_path(uint32_t id)
{
    return xasprintf("/schemas/ids/%u", id);
}

char *registry_put_body(const char *schema_json)
{
    json_t *root = json_pack("{s:s}", "schema", schema_json);
    char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

/* --- answers --- */

static json_t *parse(const char *body, size_t len)
{
    return json_loadb(body, len, JSON_ALLOW_NUL, NULL);
}

/* A text of an object as malloc'd C string; NULL if it is not there, no text, or holds U+0000. */
static char *text_of(const json_t *root, const char *name)
{
    const json_t *value = json_object_get(root, name);
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? xstrdup(text) : NULL;
}

bool registry_read_id(const char *body, size_t len, uint32_t *ret, struct err *err)
{
    json_t *root = parse(body, len);
    const json_t *value = json_object_get(root, "id");
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : 0;
    json_decref(root);
    if (id < 1 || id > INT32_MAX) /* the framing has 4 bytes, and Java readers take them for an int */
        return err_set(err, ERR_PROTOCOL, "the answer has no id from 1 to 2147483647");
    *ret = (uint32_t)id;
    return true;
}

bool registry_read_schema(const char *body, size_t len, char **ret_json, struct err *err)
{
    json_t *root = parse(body, len);
    char *type = text_of(root, "schemaType"), *schema = text_of(root, "schema");
    size_t references = json_array_size(json_object_get(root, "references"));
    bool ok = false;
    if (schema == NULL)
        err_set(err, ERR_PROTOCOL, "the answer has no schema");
    else if (type != NULL && strcmp(type, "AVRO") != 0)
        err_set(err, ERR_PROTOCOL, "it is a schema of type %.40s, not AVRO", type);
    else if (references > 0)
        err_set(err, ERR_UNSUPPORTED, "it refers to other schemas, which is not built");
    else
        ok = true;
    json_decref(root);
    free(type);
    if (ok)
        *ret_json = schema;
    else
        free(schema);
    return ok;
}

bool registry_read_level(const char *body, size_t len, char **ret, struct err *err)
{
    json_t *root = parse(body, len);
    char *level = text_of(root, "compatibilityLevel");
    json_decref(root);
    if (level == NULL)
        return err_set(err, ERR_PROTOCOL, "the answer has no compatibilityLevel");
    *ret = level;
    return true;
}

struct refusal {
    const char *base, *subject;
    uint32_t id;
    int status;
    json_int_t code;
    const char *message; /* with "; " in front, or "" */
};

static bool refused_login(const struct refusal *r, struct err *err)
{
    return err_set(
        err, ERR_AUTH,
        "schema registry %s refused %s (%d): mend journal.registry_user and journal.registry_password, "
        "or the user's rights there%s",
        r->base, r->status == 401 ? "the login" : "the request", r->status, r->message);
}

/* 404 with the registry's own code, and 404 because nothing of the kind is served there. */
static bool refused_as_missing(const struct refusal *r, struct err *err)
{
    if (r->subject == NULL && r->code == CODE_NO_SCHEMA)
        return err_set(
            err, ERR_PROTOCOL,
            "schema id=%u is not in the registry %s: the schema was deleted there, or the record was "
            "written with another registry, or by another producer; restore it or mend "
            "journal.registry, then start again: nothing was skipped%s",
            r->id, r->base, r->message);
    return err_set(err, ERR_CONFIG,
                   "schema registry %s has nothing there (404, error_code %lld): is its path complete? "
                   "(Apicurio: /apis/ccompat/v7)%s",
                   r->base, (long long)r->code, r->message);
}

static bool refused_schema(const struct refusal *r, struct err *err)
{
    if (r->status == 409)
        return err_set(
            err, ERR_SCHEMA,
            "subject=%s: the schema registry %s refuses the new schema as incompatible with the earlier "
            "ones (409). Nothing was written with it. Allow it there (PUT %s/config/%s "
            "with compatibility NONE) and start again, or begin a new copy with another "
            "journal.topic_prefix%s",
            r->subject, r->base, r->base, r->subject, r->message);
    return err_set(
        err, ERR_SCHEMA,
        "subject=%s: the schema registry %s refuses the schema (%d, error_code %lld). Nothing was written "
        "with it%s",
        r->subject, r->base, r->status, (long long)r->code, r->message);
}

static bool refuse(const struct refusal *r, struct err *err)
{
    if (r->status >= 500 || r->status == 408 || r->status == 429)
        return err_set(err, ERR_CONNECT, "schema registry %s answered %d, tried again until it serves%s",
                       r->base, r->status, r->message);
    if (r->status == 401 || r->status == 403)
        return refused_login(r, err);
    if (r->status == 404)
        return refused_as_missing(r, err);
    if (r->subject != NULL && (r->status == 409 || r->status == 422))
        return refused_schema(r, err);
    if (r->status >= 300 && r->status < 400)
        return err_set(
            err, ERR_CONFIG,
            "schema registry %s answers with a redirect (%d), which is not followed: put the address that "
            "it leads to into journal.registry",
            r->base, r->status);
    return err_set(err, ERR_PROTOCOL, "schema registry %s answered %d: is journal.registry right?%s", r->base,
                   r->status, r->message);
}

bool registry_refusal(const char *base, const char *subject, uint32_t id, int status, const char *body,
                      size_t len, struct err *err)
{
    json_t *root = parse(body, len);
    char *text = text_of(root, "message");
    char *message = text != NULL ? xasprintf("; it says: %.*s", MESSAGE_SHOWN_MAX, text) : xstrdup("");
    struct refusal r = {.base = base,
                        .subject = subject,
                        .id = id,
                        .status = status,
                        .code = json_integer_value(json_object_get(root, "error_code")),
                        .message = message};
    refuse(&r, err);
    free(message);
    free(text);
    json_decref(root);
    return false;
}
