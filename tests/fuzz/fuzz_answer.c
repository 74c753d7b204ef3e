/*
 * What our own commands make of a role's answers, or of whatever else listens at its address: nothing in a text leads the terminal, numbers of
 * any size can be shown, and a picture has no more lines than the window.
 *
 * Input: a byte each of width, height and what is asked, then up to three answers, each behind a zero byte: of capture, apply, /page/facts.
 */
#include <jansson.h>

#include "config/config.h"
#include "control/access.h"
#include "core/alloc.h"
#include "core/utf8.h"
#include "fleet.h"
#include "fuzz.h"
#include "status_picture.h"

#define ANSWERS        3
#define TEXT_BYTES_MAX ((size_t)256 << 10)

static const char *answers[ANSWERS];
static struct config *cfg;

/* --- in place of a connection --- */

struct http_access http_access_of(const struct config *config)
{
    (void)config;
    return (struct http_access){0};
}

bool http_get(const struct http_access *access, const char *listen, const char *path, int timeout_ms,
              char **ret_body, int *ret_status, struct err *err)
{
    size_t which = strstr(path, "facts") != NULL ? 2 : strcmp(listen, "127.0.0.1:1") != 0;
    (void)access, (void)timeout_ms;
    if (answers[which] == NULL)
        return err_set(err, ERR_CONNECT, "http://%s%s: nobody is there", listen, path);
    *ret_body = xstrdup(answers[which]);
    *ret_status = 200;
    return true;
}

/* --- what must hold --- */

static void check_lines(const struct strbuf *out, size_t most)
{
    size_t lines = 0, n;
    for (const char *c = out->data; *c != '\0'; c += n) {
        n = utf8_char_len(c, strnlen(c, 4));
        FUZZ_REQUIRE(n > 0, "no UTF-8 at byte %zu", (size_t)(c - out->data));
        FUZZ_REQUIRE(*c == '\n' || ((unsigned char)*c >= ' ' && *c != 0x7f), "character %d", *c);
        FUZZ_REQUIRE(n == 1 || !utf8_is_sly(utf8_code_point(c, n)), "U+%04lX", utf8_code_point(c, n));
        lines += *c == '\n';
    }
    FUZZ_REQUIRE(lines <= most, "%zu lines", lines);
}

static void draw(const struct status_picture *p, int width, int height)
{
    struct strbuf out = STRBUF_INIT(TEXT_BYTES_MAX);
    struct terminal term = {.is_terminal = true, .width = width, .height = height};
    status_picture_draw(&term, p, &out);
    if (!out.failed)
        check_lines(&out, height > 2 ? (size_t)height : 41);
    strbuf_clear(&out);
    status_picture_line(p, &out);
    if (!out.failed)
        check_lines(&out, 1);
    strbuf_release(&out);
}

static void show(int width, int height)
{
    char *body = NULL;
    int status;
    struct err err = ERR_INIT;
    json_t *all = fleet_status(cfg), *plain = fleet_plain(all);
    json_t *facts =
        http_get(NULL, "", "/page/facts", 1, &body, &status, &err) ? json_loads(body, 0, NULL) : NULL;
    json_t *plain_facts = facts != NULL ? fleet_plain(facts) : NULL;
    FUZZ_REQUIRE(json_is_object(all) && *fleet_text(all, "phase") != '\0', "no phase");
    struct status_picture p = {.all = plain,
                               .facts = plain_facts,
                               .gates = json_object_get(plain_facts, "gates"),
                               .now = "2026-01-31T12:34:56.123456Z",
                               .lags = {fleet_number(all, "lag_seconds"), -1, 3},
                               .lag_count = 3,
                               .events = json_object_get(plain_facts, "events")};
    draw(&p, width, height);
    free(body);
    json_decref(facts);
    json_decref(plain_facts);
    json_decref(plain);
    json_decref(all);
}

static void start_once(void)
{
    static const char text[] =
        "pipeline: shop\ncapture: { listen: \"127.0.0.1:1\" }\napply: { listen: \"127.0.0.1:2\" }\n";
    struct err err = ERR_INIT;
    if (cfg == NULL)
        FUZZ_REQUIRE(config_load_text("fuzz", text, strlen(text), NULL, 0, NULL, &cfg, &err), "%s", err.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    start_once();
    if (len < 3)
        return 0;
    char *text = xmalloc(len + 1), *at = text + 2;
    memcpy(text, bytes, len);
    text[len] = '\0';
    for (size_t i = 0; i < ANSWERS; i++) { /* an answer ends at a zero byte, or with the input */
        at = at != NULL ? memchr(at, '\0', (size_t)(text + len - at)) : NULL;
        answers[i] = at != NULL ? ++at : NULL;
    }
    show(40 + bytes[0], bytes[1] & 127);
    free(text);
    return 0;
}
