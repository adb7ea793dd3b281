"""Run every stage of the tests, whichever fail, and close with one line that counts them all.

Started by `make test`.  A stage that is not pytest (the build, a linter) counts as one test.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter

from tests.book.notebooks import ROOT, notebooks

RESULTS = ROOT / "_build" / "tests"
PARALLEL = ("-n", os.environ.get("JOBS", "logical"))


def pytest(*arguments):
    return [sys.executable, "-m", "pytest", "-q", *map(str, arguments)]


def stages():
    yield "package tests", pytest("tests/package", *PARALLEL)
    yield "strict run of the notebooks", pytest(
        "-p", "tests.book.strict", "--strict-notebooks", *PARALLEL, "--dist", "loadfile",
        *(path.relative_to(ROOT) for path in notebooks()),
    )
    yield "build", [os.environ.get("MAKE", "make"), "_build/html/.built"]
    yield "book tests", pytest(
        "tests/book", "--ignore", "tests/book/test_faking.py", *PARALLEL, "--dist", "loadfile"
    )
    yield "ruff", [sys.executable, "-m", "ruff", "check", "."]
    yield "mypy", [sys.executable, "-m", "mypy"]


def run(name, command):
    """Run one stage; a Counter of its passed, failed and skipped tests."""
    print(f"== {name}", flush=True)
    start = time.time()
    report = RESULTS / f"{name.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    is_pytest = "pytest" in command
    if is_pytest:
        command = [*command, f"--junitxml={report}"]
    code = subprocess.run(command, cwd=ROOT).returncode
    counts = Counter(passed=int(code == 0), failed=int(code != 0), skipped=0)
    if is_pytest and report.exists():
        suite = ElementTree.parse(report).getroot()[0].attrib
        failed = int(suite["failures"]) + int(suite["errors"])
        skipped = int(suite["skipped"])
        counts = Counter(passed=int(suite["tests"]) - failed - skipped, skipped=skipped,
                         failed=max(failed, int(code != 0)))
    if name.startswith("strict") and code == 0:
        stamp = ROOT / "_build" / "verified"
        stamp.touch()
        os.utime(stamp, (start, start))
    print(f"== {name}: {time.time() - start:.0f} s", flush=True)
    return counts


def main():
    RESULTS.mkdir(parents=True, exist_ok=True)
    counts = {name: run(name, command) for name, command in stages()}
    total = sum(counts.values(), Counter())
    failing = [name for name, count in counts.items() if count["failed"]]
    if failing:
        print(f"Failing: {', '.join(failing)}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
