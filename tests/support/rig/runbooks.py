"""What the pages of docs/ tell their readers to type: commands of crossfade, SQL and configuration, in blocks and within the text."""

import glob
import os
import re
import shlex

from .pages import ROOT, blocks

DOCS = os.path.join(ROOT, "docs")
_SQL = re.compile(r"(SELECT|INSERT|UPDATE|DELETE|ALTER|GRANT|REVOKE|CREATE|DROP|SET|SHOW|XA|KILL) ")
# Where a command ends and redirections, `&` or `||` begin: outside of quotes.
_SHELL = re.compile(r"""^((?:"[^"]*"|'[^']*'|[^"'])*?) (?:<(?![a-z]+>)|>|[0-9]>|&|\|\|).*$""")
NO_COMMANDS = {"crossfade audit 1", "crossfade cutover: gates → freeze → drain → verify → decide"}  # text that is hashed, and a drawing
# What stands for something of the reader's.
PLACES = {"FILE": "x.pem", "NAME": "shop", "DATABASE": "shop", "ID": "1", "HASH": "0" * 64, "SEQ:HASH": "1:" + "0" * 64, "12:HASH": "12:" + "0" * 64, "NONCE": "n",
          "schema.name": "public.t", "schema.table": "public.t", "<prefix>.schemas": "shop.schemas"}


def pages():
    """All of docs/, as their names are within it, and the README; evidence is no runbook."""
    found = (os.path.relpath(path, DOCS) for path in [os.path.join(ROOT, "README.md"), *glob.glob(os.path.join(DOCS, "**", "*.md"), recursive=True)])
    return sorted(name for name in found if not name.startswith("evidence"))


def spans(page):
    """[(line, text)]: what stands between backticks in the running text, on one line."""
    with open(os.path.join(DOCS, page), encoding="utf-8") as f:
        text = re.sub(r"^```\w*\n.*?^```$", lambda m: "\n" * m[0].count("\n"), f.read(), flags=re.M | re.S)
    return [(text.count("\n", 0, m.start()) + 1, " ".join(m[1].split())) for m in re.finditer(r"`([^`]+)`", text)]


def indented(page):
    """[(line, text)]: lines of blocks that are set in by four blanks; what stands behind two blanks or more is a remark."""
    with open(os.path.join(DOCS, page), encoding="utf-8") as f:
        lines = f.read().split("\n")
    return [(number, re.split(r"\s{2,}", line.strip())[0]) for number, line in enumerate(lines, 1) if line.startswith("    ")]


def commands(page):
    """[(line, text)]: every `crossfade …` of a page, however it is written there, without what the shell makes of it."""
    found = spans(page) + indented(page)
    for line, language, text in blocks(os.path.join(DOCS, page)):
        if language in ("sh", ""):  # without a language it is what a terminal shows, or a drawing
            found += [(line + n, re.sub(r"\s+#.*", "", one.strip())) for n, one in enumerate(text.replace("\\\n", " \n").split("\n"))]
    cut = ((line, _SHELL.sub(r"\1", re.sub(r"^.*? exec console (?=crossfade )", "", text))) for line, text in found)
    return [(line, text) for line, text in cut if text.startswith("crossfade ") and text not in NO_COMMANDS]


def ways(text):
    """The argument lists that a written command stands for: `a | b` is two, `[--flag]` is taken, and names in capitals get a value."""
    text = re.sub(r"\[(-[^\]]*|[A-Z]+)\]", r"\1", text).replace("-c … ", "").replace("-c /etc/crossfade/shop.yaml ", "")
    first, *others = text.split(" | ")
    words = shlex.split(first)
    if others:
        return [argv for other in (words[-1], *others) for argv in ways(shlex.join(words[:-1] + shlex.split(other)))]
    for n, word in enumerate(words):
        if "|" in word:
            return [argv for one in word.split("|") for argv in ways(shlex.join(words[:n] + [one] + words[n + 1:]))]
    return [[PLACES.get(word, word) for word in words[1:]]]


def statements(page):
    """[(line, text)]: SQL within the text, and set in."""
    return [(line, text.rstrip(";")) for line, text in spans(page) + indented(page) if _SQL.match(text)]


def configurations(page):
    """[(line, text)]: pieces of the configuration in blocks marked `yaml`."""
    return [(line, text) for line, language, text in blocks(os.path.join(DOCS, page)) if language == "yaml"]
