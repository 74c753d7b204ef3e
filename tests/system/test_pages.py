"""The commands of the tutorial and of the how-to guides, as their readers type them."""

import os

import pytest

from rig import Workdir
from rig.pages import ROOT, programs_of, run_page

PORTS = ("OLD_PORT", "NEW_PORT", "CAPTURE_PORT", "APPLY_PORT", "BACK_CAPTURE_PORT", "BACK_APPLY_PORT")
PAGES = {"TUTORIAL.md": 2, "howto/another-provider.md": 1, "howto/rollback.md": 2, "howto/postgresql-upgrade.md": 1,
         "howto/postgresql-to-mariadb.md": 2}  # and how many comparisons of it pass


def test_all_are_run():
    found = {"TUTORIAL.md"} | {f"howto/{name}" for name in os.listdir(os.path.join(ROOT, "docs", "howto"))}
    assert found == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_page(page):
    with Workdir("page") as folder:
        env = {"OLD_BIN": programs_of(14, folder), "NEW_BIN": programs_of(17, folder)} if "upgrade" in page else {}
        said = run_page(page, folder, PORTS, env)
        assert said.count("PASS") >= PAGES[page], said
