"""What it takes to command a running role over HTTP."""

import json
import os
import secrets
import ssl
import urllib.error
import urllib.request


def token_file(folder, name):
    """A file with one token, made once; its path."""
    path = os.path.join(str(folder), f"{name}-tokens")
    if not os.path.exists(path):
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as f:
            f.write(f"# tokens of a test\ntest {secrets.token_hex(32)}\n")
    return path


def token_of(path):
    with open(path, encoding="utf-8") as f:
        return [line.split()[-1] for line in f if line.strip() and not line.startswith("#")][0]


def send(url, token=None, body=b"{}", method="POST", context=None, **headers):
    """(status, text) of a request as a script would make it; headers with '_' for '-'; None takes one away."""
    sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    request = urllib.request.Request(url, method=method, data=body, headers={k: v for k, v in sent.items() if v is not None})
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def said(answer):
    return json.loads(answer[1])["text"]


def tls(ca, certificate=None):
    """A client's context; certificate: (PEM, key)."""
    context = ssl.create_default_context(cafile=ca)
    if certificate:
        context.load_cert_chain(*certificate)
    return context
