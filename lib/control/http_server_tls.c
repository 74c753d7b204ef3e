/* Wraps GnuTLS, as libmicrohttpd brings it, for what that leaves to us. See http_server_tls.h. */
#include "control/http_server_tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

#define PEM_MAX ((size_t)1 << 20)

static bool read_pem(const char *option, const char *path, char **ret, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_set(err, ERR_CONFIG, "%s: %s cannot be read: %s", option, path, strerror(errno));
    char *text = xcalloc(1, PEM_MAX + 1);
    size_t len = fread(text, 1, PEM_MAX, file);
    bool whole = !ferror(file) && fgetc(file) == EOF;
    (void)fclose(file);
    if (whole && strlen(text) == len && strstr(text, "-----BEGIN ") != NULL) {
        *ret = text;
        return true;
    }
    free(text);
    return err_set(err, ERR_CONFIG, "%s: %s is no PEM file of up to 1 MiB", option, path);
}

bool http_tls_read(const struct http_settings *settings, struct http_tls *ret, struct err *err)
{
    struct http_tls tls = {0};
    if (read_pem("control.tls_cert", settings->tls_cert, &tls.cert, err) &&
        read_pem("control.tls_key", settings->tls_key, &tls.key, err) &&
        (settings->client_ca == NULL ||
         read_pem("control.client_ca", settings->client_ca, &tls.client_ca, err))) {
        *ret = tls;
        return true;
    }
    http_tls_release(&tls);
    return false;
}

void http_tls_release(struct http_tls *tls)
{
    if (tls->key != NULL)
        gnutls_memset(tls->key, 0, strlen(tls->key));
    free(tls->cert);
    free(tls->key);
    free(tls->client_ca);
    *tls = (struct http_tls){0};
}

bool http_tls_peer(struct MHD_Connection *conn, char *ret_subject, size_t size)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned status = 0, count = 0;
    if (info == NULL || info->tls_session == NULL)
        return false;
    gnutls_session_t session = info->tls_session;
    /* Of a client, where the certificate says what it is for: a role's own does not do. */
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t cert = NULL;
    if (chain == NULL || count == 0 || gnutls_certificate_verify_peers(session, &purpose, 1, &status) != 0 ||
        status != 0 || gnutls_x509_crt_init(&cert) != 0)
        return false;
    size_t len = size;
    bool ok = gnutls_x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER) == 0 &&
              gnutls_x509_crt_get_dn(cert, ret_subject, &len) == 0;
    gnutls_x509_crt_deinit(cert);
    return ok;
}
