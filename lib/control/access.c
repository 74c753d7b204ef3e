/* See access.h. */
#include "control/access.h"

#include <string.h>

static bool reads_need_auth(const struct config *cfg)
{
    return strcmp(config_text(cfg, "control.read"), "authenticated") == 0;
}

struct http_access http_access_of(const struct config *cfg)
{
    return (struct http_access){.tls = config_text(cfg, "control.tls_cert") != NULL,
                                .token_file = config_text(cfg, "control.token_file"),
                                .reads_need_token = reads_need_auth(cfg),
                                .ca = config_text(cfg, "control.ca"),
                                .cert = config_text(cfg, "control.client_cert"),
                                .key = config_text(cfg, "control.client_key")};
}

struct http_settings http_settings_of(const struct config *cfg)
{
    return (struct http_settings){.token_file = config_text(cfg, "control.token_file"),
                                  .tls_cert = config_text(cfg, "control.tls_cert"),
                                  .tls_key = config_text(cfg, "control.tls_key"),
                                  .client_ca = config_text(cfg, "control.client_ca"),
                                  .read_needs_auth = reads_need_auth(cfg),
                                  .refuse_exposed =
                                      strcmp(config_text(cfg, "control.exposed"), "refuse") == 0};
}
