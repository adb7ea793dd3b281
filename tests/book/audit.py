"""Lighthouse and axe on every page of the built book: ``python -m tests.book.audit [PAGES]``.

Optional, for it needs Node.js: both tools come through npm, into ``_build/audit``. Lighthouse runs
its mobile profile against a server that compresses, three times a page; the median counts.
Exits with 1 when a page misses a bound.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from typing import Any

from tests.book.browser import FLAGS, ROOT, chromium, launch, pages, serve

TOOLS = ROOT / "_build" / "audit"
RUNS = 3
BOUNDS = {"performance": 0.95, "accessibility": 1.0, "best-practices": 1.0, "seo": 1.0}
KILOBYTES, LAYOUT_SHIFT = 400, 0.02

# As a reader does: what scrolls in itself is found, and made focusable, when it comes near.
SCROLL_THROUGH = """async () => {
  for (let y = 0; y < document.body.scrollHeight; y += 400) {
    scrollTo(0, y);
    await new Promise(requestAnimationFrame);
  }
}"""


def install() -> None:
    """Get Lighthouse and axe with npm, unless they are there."""
    if (TOOLS / "node_modules" / "lighthouse").exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm not found: the audit needs Node.js 20 or later")
    TOOLS.mkdir(parents=True, exist_ok=True)
    subprocess.run([npm, "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error",
                    f"--prefix={TOOLS}", "lighthouse@13", "axe-core@4"], check=True)


def lighthouse(url: str, executable: str) -> dict[str, Any]:
    """Return one report on a page."""
    command = ["npx", f"--prefix={TOOLS}", "lighthouse", url, "--quiet", "--output=json",
               f"--chrome-flags={' '.join(FLAGS)}"]
    environment = {**os.environ, "CHROME_PATH": executable}
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8",
                          env=environment, cwd=TOOLS)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def audit(url: str, executable: str) -> tuple[str, list[str]]:
    """Return a line of figures on a page, and what misses its bound."""
    reports = [lighthouse(url, executable) for _ in range(RUNS)]

    def median(value: Any) -> float:
        return statistics.median(value(report) for report in reports)

    def measured(key: str) -> float:
        return median(lambda report: report["audits"][key]["numericValue"])

    scores = {key: median(lambda report, key=key: report["categories"][key]["score"])
              for key in BOUNDS}
    size, shift = measured("total-byte-weight") / 1000, measured("cumulative-layout-shift")
    misses = [f"{key} {score:.2f} < {BOUNDS[key]:.2f}" for key, score in scores.items()
              if score < BOUNDS[key]]
    misses += [f"{size:.0f} kB > {KILOBYTES} kB"] * (size > KILOBYTES)
    misses += [f"layout shift {shift:.3f} > {LAYOUT_SHIFT}"] * (shift > LAYOUT_SHIFT)
    misses += sorted({
        f"{name}: {item['title']}" for name in ("accessibility", "best-practices", "seo")
        for reference in reports[0]["categories"][name]["auditRefs"]
        if reference["weight"] and (item := reports[0]["audits"][reference["id"]])["score"] == 0
    })
    line = "  ".join(f"{score:6.2f}" for score in scores.values())
    return (f"{line}  {size:6.0f}  {measured('largest-contentful-paint') / 1000:6.1f}"
            f"  {measured('total-blocking-time'):6.0f}  {shift:6.3f}"), misses


def axe(browser: Any, url: str) -> list[str]:
    """Return the violations that axe finds on a page, in light and in dark, all boxes open."""
    script = (TOOLS / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    found = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme, reduced_motion="reduce")
        page.goto(url)
        page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
        page.evaluate(SCROLL_THROUGH)
        page.evaluate(script)
        for violation in page.evaluate("axe.run().then((result) => result.violations)"):
            nodes = violation["nodes"]
            found.append(f"axe, {scheme}: {violation['id']} ({len(nodes)} times), first "
                         f"{nodes[0]['html'][:160]} {nodes[0]['failureSummary'][:300]}")
        page.close()
    return found


def main() -> None:
    executable = chromium()
    if executable is None:
        sys.exit("no Chromium found: install one, or name it in CHROMIUM")
    install()
    names = sys.argv[1:] or pages()
    width = max(map(len, names))
    failed = False
    print(f"{'page':{width}}    perf    a11y    best     seo      kB   LCP s  TBT ms     CLS")
    with serve() as address, launch(executable) as browser:
        for name in names:
            line, misses = audit(f"{address}/{name}.html", executable)
            misses += axe(browser, f"{address}/{name}.html")
            print(f"{name:{width}}  {line}", *misses, sep="\n    ", flush=True)
            failed = failed or bool(misses)
    sys.exit(failed)


if __name__ == "__main__":
    main()
