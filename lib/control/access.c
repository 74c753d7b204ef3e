/* See access.h. */
#include "control/access.h"

#include <string.h>

struct http_access http_access_of(const struct config *cfg)
{
    return (struct http_access){.tls = config_text(cfg, "control.tls_cert") != NULL,
                                .token_file = config_text(cfg, "control.token_file"),
                                .ca = config_text(cfg, "control.ca"),
                                .cert = config_text(cfg, "control.client_cert"),
                                .key = config_text(cfg, "control.client_key")};
}

struct http_settings http_settings_of(const struct config *cfg)
{
    return (struct http_settings){
        .token_file = config_text(cfg, "control.token_file"),
        .tls_cert = config_text(cfg, "control.tls_cert"),
        .tls_key = config_text(cfg, "control.tls_key"),
        .client_ca = config_text(cfg, "control.client_ca"),
        .read_needs_auth = strcmp(config_text(cfg, "control.read"), "authenticated") == 0,
        .refuse_exposed = strcmp(config_text(cfg, "control.exposed"), "refuse") == 0};
}
