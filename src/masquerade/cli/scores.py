"""Results of protocols as tables for people."""

from collections.abc import Iterable
from typing import Any

from masquerade.cli import show

WIDE = 8  # numbers of one encoder; more are shown one below the other
METRICS = {"top1": "top-1", "top5": "top-5", "balanced": "balanced"}
DEMO = {
    "name": "",
    "steps": "steps",
    "cpu_seconds": "CPU-seconds",
    "knn_test": "kNN test",
    "knn_seen": "kNN seen",
    "linear_test": "linear test",
    "linear_seen": "linear seen",
}


def show_all(results: dict[str, dict[str, Any]]) -> None:
    """Each protocol's table with what it was below it; that labels are missing is said once."""
    unmeasured = [
        n for n, r in results.items() if not r.get("rows") and not r.get("labelled", True)
    ]
    if unmeasured:
        show.result(without_labels(results, unmeasured))
    for name, result in results.items():
        if name == "masks":
            show_masks(result)
        elif name not in unmeasured:
            show_protocol(name, result)


def without_labels(results: dict[str, dict[str, Any]], names: list[str]) -> str:
    """Why some protocols gave no numbers."""
    data = results[names[0]]["data"]
    would = "need" if len(names) > 1 else "needs"
    return (
        f"{data} has no labels, and {' and '.join(names)} {would} them. The map (embedding) does "
        "without; data=LABELLED_FOLDER measures on other images"
    )


def show_protocol(name: str, result: dict[str, Any]) -> None:
    """The table of one protocol, and its notes."""
    rows = result["rows"]
    columns = readable({key: None for row in rows.values() for key in row}, rows)
    show.heading(f"{name}, {'fitted on ' if columns else ''}{result['data']}")
    if columns:
        if len(columns) > WIDE:
            cells = [
                [name, *(value(key, row) for row in rows.values())] for key, name in columns.items()
            ]
            show.table(("", *rows), cells)
        else:
            cells = [[who, *(value(key, row) for key in columns)] for who, row in rows.items()]
            show.table(("", *columns.values()), cells, best=len(rows) > 1)
    for note in result["notes"]:
        show.result(note)


def value(key: str, row: dict[str, float]) -> float | str | None:
    """A metric as a cell; budgets are no shares."""
    found = row.get(key)
    return f"{found:g}" if found is not None and key.endswith("_budget") else found


def readable(keys: Iterable[str], rows: dict[str, dict[str, float]]) -> dict[str, str]:
    """The columns worth showing: `test/top1` is "test top-1".

    Without the balanced accuracy where it says nothing new: classes of one size.
    """
    columns = {}
    for key in keys:
        split, slash, metric = key.partition("/")
        twin = f"{split}/{metric.replace('balanced', 'top1')}"
        same = all(abs(row.get(key, 0) - row.get(twin, 0)) < 1e-9 for row in rows.values())
        if slash and not (key != twin and same):
            before, _, last = metric.rpartition("_")
            words = (split, before.replace("_", " "), METRICS.get(last, last))
            columns[key] = " ".join(filter(None, words))
    return columns


def show_masks(found: dict[str, Any]) -> None:
    """How well the best mask finds objects, and what a centred square scores."""
    splits = [key.removesuffix("/square") for key in found if key.endswith("/square")]
    title = f"masks: overlap (IoU) with the objects, chosen on {found['chosen_on']}"
    show.heading(title)
    rows = [
        [f"mask {found['slot'] + 1}", *(found[f"{s}/iou"] for s in splits)],
        ["centred square", *(found[f"{s}/square"] for s in splits)],
    ]
    show.table(("", *splits), rows, best=True)
    if any(f"{s}/ari" in found for s in splits):
        show.heading("all masks against all objects: adjusted Rand index (ARI), 0 is chance")
        rows = [
            ["masks", *(found.get(f"{s}/ari") for s in splits)],
            ["centred square", *(found.get(f"{s}/square_ari") for s in splits)],
        ]
        show.table(("", *splits), rows, best=True)


def show_demo(content: dict[str, Any]) -> None:
    """The table of a demo, the masks below it."""
    columns = content["table"]["columns"]
    rows = [[row.get(c) for c in columns] for row in content["table"]["rows"]]
    show.table([DEMO.get(c, c) for c in columns], rows)
    for note in content["notes"]:
        show.say(note)
    if content["masks"]:
        show_masks(content["masks"])
