/* See report_formats.h. */
#include "config/report_formats.h"

#include <string.h>

#include "core/attr.h"

static const struct {
    const char *name;
    enum report_format format;
} formats[] = {{"html", REPORT_HTML}, {"json", REPORT_JSON}, {"junit", REPORT_JUNIT}};

static unsigned format_named(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (strcmp(formats[i].name, text) == 0)
            return formats[i].format;
    }
    return 0;
}

bool report_format_fits(const char *text)
{
    return format_named(text) != 0;
}

unsigned report_formats(const struct config *cfg)
{
    size_t count = 0;
    unsigned all = 0;
    const char *const *names = config_list(cfg, "compare.report_formats", &count);
    for (size_t i = 0; i < count; i++)
        all |= format_named(names[i]);
    return all != 0 ? all : REPORT_HTML | REPORT_JSON;
}
