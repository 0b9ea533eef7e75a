"""Fills the tables of README.md from docs/results/*.json, so that no figure is typed by hand.

Between `<!-- results:demo -->` and `<!-- /results -->` goes what benchmarks/foundation.py
measured, between `<!-- results:goals -->` and `<!-- /results -->` how many of the goals of
each page of results are met, and which are not. `--check` writes nothing and fails where README.md
is not up to date.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.foundation import summed, words
from benchmarks.machine import RESULTS, ROOT, table

Results = dict[str, dict[str, Any]]


def main() -> int:
    """Write README.md anew, or say that it is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    told = parser.parse_args()
    place = ROOT / "README.md"
    old = place.read_text(encoding="utf-8")
    new = filled(old, results(RESULTS))
    if told.check:
        print("README.md is up to date" if new == old else "run python benchmarks/readme_table.py")
        return int(new != old)
    place.write_text(new, encoding="utf-8")
    return 0


def results(folder: Path) -> Results:
    """Every results file by its name."""
    files = sorted(folder.glob("*.json"))
    return {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in files}


def filled(text: str, found: Results) -> str:
    """A text with its marked tables written anew."""
    parts = {"demo": demo(found), "goals": goals(found)}
    for name, body in parts.items():
        pattern = rf"(<!-- results:{name} -->\n).*?(<!-- /results -->)"
        text, count = re.subn(pattern, lambda m, b=body: m[1] + b + "\n" + m[2], text, flags=re.S)  # type: ignore[misc]  # a default holds the loop's value
        if count != 1:
            raise ValueError(f"README.md has {count} places for results:{name}, not one")
    return text


def demo(found: Results) -> str:
    """The table of each data set of benchmarks/foundation.py."""
    if "foundation" not in found:
        return "Not measured yet: `python benchmarks/foundation.py`."
    content = found["foundation"]
    parts = []
    for data, demos in content.items():
        if isinstance(demos, list) and demos and "table" in demos[0]:
            parts += [f"**{data}**", summed(demos), *words(demos)]
    return "\n\n".join([*parts, machine_line(content)])


def goals(found: Results) -> str:
    """How many goals of each page hold, and every one that does not."""
    rows = []
    for name, content in found.items():
        told = content.get("goals", [])
        missed = [g["text"] for g in told if not g["met"]]
        title = (RESULTS / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0]
        page = f"[{title.removeprefix('# ')}](docs/results/{name}.md)"
        if told:
            rows.append((page, f"{len(told) - len(missed)} of {len(told)}", "; ".join(missed)))
    if not rows:
        return "Not measured yet: `make bench`."
    return table(("what is measured", "goals met", "not met"), rows)


def machine_line(content: dict[str, Any]) -> str:
    """Where the figures come from."""
    where = content["machine"]
    gpu = where["gpu"] or "no GPU"
    return f"Measured on {where['device']}, {gpu}, {where['utc']}."


if __name__ == "__main__":
    sys.exit(main())
