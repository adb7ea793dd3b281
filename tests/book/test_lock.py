"""The lock answers to pyproject.toml and names no place to download from."""

import re
import tomllib

from packaging.requirements import Requirement

from tests.book.notebooks import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_lock_satisfies_the_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = {}
    for line in LOCK.splitlines():
        requirement = Requirement(line)
        locked.setdefault(requirement.name.lower(), []).append(next(iter(requirement.specifier)))
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"],
              *extras["verify"], *extras["book"], *extras["test"]]
    for text in wanted:
        requirement = Requirement(text)
        versions = locked.get(requirement.name.lower().replace("_", "-"))
        assert versions, f"requirements.lock lacks {requirement.name}; run `make lock`"
        for pinned in versions:
            assert pinned.operator == "==" and requirement.specifier.contains(pinned.version), (
                f"requirements.lock has {requirement.name} {pinned.version}, pyproject.toml asks "
                f"for {requirement.specifier}; run `make lock`"
            )


def test_lock_names_no_address():
    assert not re.search(r"://|--|\s@\s|\\", LOCK)
