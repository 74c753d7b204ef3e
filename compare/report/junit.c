/* Owns: the form of JUnit's XML. What becomes a case of it: junit_compare.c, shadow/report_junit.c. */
#include "report/junit.h"

#include "core/clock.h"
#include "core/html.h"
#include "report/report.h"

void junit_suite_open(struct junit_suite *suite, const char *name)
{
    *suite = (struct junit_suite){.name = name};
    strbuf_init(&suite->cases, REPORT_BYTES_MAX);
}

/* XML has no place for control characters, and a reader shows a message as one line. */
static void add_element(struct strbuf *out, const char *element, const struct junit_case *one)
{
    strbuf_addf(out, "<%s message=\"", element);
    html_add_text(out, one->reason);
    if (one->state == JUNIT_SKIPPED || one->detail[0] == '\0') {
        strbuf_adds(out, "\"/>");
        return;
    }
    strbuf_addf(out, "\" type=\"%s\">", element);
    html_add_text(out, one->detail);
    strbuf_addf(out, "</%s>", element);
}

void junit_suite_add(struct junit_suite *suite, const char *pipeline, const struct junit_case *one)
{
    static const char *const elements[] = {NULL, "failure", "error", "skipped"};
    struct strbuf *out = &suite->cases;
    strbuf_adds(out, "    <testcase classname=\"crossfade.");
    html_add_text(out, pipeline);
    strbuf_addf(out, ".%s\" name=\"", suite->name);
    html_add_text(out, one->name);
    strbuf_addf(out, "\" time=\"%.3f\">", (double)one->duration_us / 1e6);
    if (one->state != JUNIT_PASS) {
        add_element(out, elements[one->state], one);
    } else if (one->detail[0] != '\0') {
        strbuf_adds(out, "<system-out>");
        html_add_text(out, one->detail);
        strbuf_adds(out, "</system-out>");
    }
    strbuf_adds(out, "</testcase>\n");
    suite->counts[one->state]++;
    suite->total++;
    suite->duration_us += one->duration_us;
}

static void add_counts(struct strbuf *out, const struct junit_suite *suite)
{
    strbuf_addf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\"",
                suite->total, suite->counts[JUNIT_FAILURE], suite->counts[JUNIT_ERROR],
                suite->counts[JUNIT_SKIPPED], (double)suite->duration_us / 1e6);
}

static struct junit_suite sum_of(const struct junit_suite *suites, size_t count)
{
    struct junit_suite sum = {.name = ""};
    for (size_t i = 0; i < count; i++) {
        for (size_t s = 0; s < JUNIT_STATES; s++)
            sum.counts[s] += suites[i].counts[s];
        sum.total += suites[i].total;
        sum.duration_us += suites[i].duration_us;
    }
    return sum;
}

bool junit_write(struct junit_suite *suites, size_t count, const char *name, int64_t started_us,
                 struct strbuf *out, struct err *err)
{
    char at[ISO_TIME_MAX];
    struct junit_suite sum = sum_of(suites, count);
    bool ok = true;
    clock_iso(started_us, at);
    strbuf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"");
    html_add_text(out, name);
    strbuf_addc(out, '"');
    add_counts(out, &sum);
    strbuf_adds(out, ">\n");
    for (size_t i = 0; i < count; i++) {
        struct junit_suite *suite = &suites[i];
        if (suite->total > 0) {
            strbuf_addf(out, "  <testsuite name=\"%s\" timestamp=\"%.19s\"", suite->name, at);
            add_counts(out, suite);
            strbuf_adds(out, ">\n");
            strbuf_add(out, suite->cases.data, suite->cases.len);
            strbuf_adds(out, "  </testsuite>\n");
        }
        ok = ok && strbuf_ok(&suite->cases, "the JUnit report", err);
        strbuf_release(&suite->cases);
    }
    strbuf_adds(out, "</testsuites>\n");
    return ok && strbuf_ok(out, "the JUnit report", err);
}
