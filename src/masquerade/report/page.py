"""A run, or a demo of several, as one HTML file that needs no network and no JavaScript.

Runs side by side are `comparison`.
"""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.jobs import painting
from masquerade.report import comparison, curves, embedding, hiding, reconstructions, tables, tasks
from masquerade.report.details import budgets, details
from masquerade.report.groups import grouped, with_baselines
from masquerade.report.headline import against, data, headline, outline
from masquerade.report.read import Story, story
from masquerade.report.settings import sections
from masquerade.report.template import rendered
from masquerade.report.troubles import embeddings, masks

PAGE = "report.html"
SPLITS = (
    "test: objects and backgrounds that training never showed. "
    "seen: trained objects on backgrounds that training never showed."
)


def write(run: RunDir, others: Sequence[RunDir] = ()) -> Path:
    """Write `report.html` into a run's folder and say where it lies.

    Args:
        run: The run the page is about. Only its config.json must be there; what else is missing
            is left out or said in a sentence.
        others: Runs to compare with. Then the page is `comparison.html`, with all runs side by
            side, and the run's own is left as it is.

    Raises:
        MissingData: One of the folders holds no run.
    """
    here = run.path.resolve()
    if any(other.path.resolve() != here for other in others):
        return comparison.write([run, *others])
    return run.write_text(PAGE, rendered("page.html.jinja", content(story(run), ())))


def write_demo(folder: RunDir) -> Path:
    """Write `report.html` into the folder of a demo: its table, and its main run in full.

    Raises:
        MissingData: There is no demo.json, or its main run is not there.
    """
    demo = folder.read_json("demo.json")
    runs = {p.parent.name: RunDir(p.parent) for p in sorted(folder.path.glob("*/config.json"))}
    if not isinstance(demo, dict) or demo.get("main") not in runs:
        there = ", ".join(runs) or "none"
        raise MissingData(
            f"{folder.path / 'demo.json'} must name one of its runs as main; there are: {there}"
        )
    main = story(runs.pop(demo["main"]))
    page = content(main, [story(run) for run in runs.values()])
    listed = demo.get("table")
    own = (demo["main"], main.name)
    table = tables.demo(listed, own) if isinstance(listed, dict) else None
    if table:
        page["results"] = table._replace(note=page["results"].note if page["results"] else "")
    page["kind"] = "demo, main run"
    page["measurement"] += [str(n) for n in demo.get("notes", []) if n not in page["measurement"]]
    return folder.write_text(PAGE, rendered("page.html.jinja", page))


def content(main: Story, rivals: Sequence[Story]) -> dict[str, Any]:
    """What the template is filled with, for a run and those beside it."""
    main = with_baselines(main, rivals)
    groups = grouped([main, *rivals])
    own, rest = groups[0], groups[1:]
    laid = main.embedding
    troubles = [t for group in groups for s in group for t in blamed(s, main)]
    predicted = reconstructions.moments(main.run, troubles)
    drawn = curves.charts(main, [*own[1:], *(s for group in rest for s in group)])
    return {
        "name": main.name,
        "path": shlex.quote(str(main.run.path)),
        "kind": "run",
        "top": headline(groups),
        "rivals": [s for g in rest if (s := against(own, g, g[0].name))] if main.finished else [],
        "finished": main.finished,
        "charts": drawn[: curves.FIRST],
        "more": drawn[curves.FIRST :],
        "times": curves.times(main),
        "results": tables.results(groups),
        "tasks": tasks.results(groups),
        "details": details(main),
        "budgets": budgets(main),
        "splits": SPLITS if "toybox" in data(main) else "",
        "measured": bool(main.results),
        "confusion": tables.confusion(main),
        "health": [v for v in (embeddings(main), *masks(main)) if v],
        "outline": hiding.judged(main) or outline(main.mask_scores),
        **hiding.shown(main),
        "reconstructions": predicted,
        "colours": painting.COLOURS,
        "map": embedding.laid_out(laid) if laid else None,
        "classes": laid.classes if laid else (),
        "map_notes": [str(n) for n in laid.about.get("notes", [])] if laid else [],
        "queries": embedding.queries(laid) if laid else [],
        "settings": sections(main.config),
        "config": json.dumps(main.config, indent=2, ensure_ascii=False),
        "environment": json.dumps(main.environment, indent=2, ensure_ascii=False),
        "notes": [str(n) for n in main.summary.get("notes", [])],
        "measurement": [str(n) for r in main.results.values() for n in r.get("notes", [])],
        "troubles": troubles,
    }


def blamed(told: Story, main: Story) -> list[str]:
    """The troubles of a run, with its name where it is not the page's own."""
    prefix = "" if told is main else f"{told.name}: "
    return [prefix + text for text in told.troubles]
