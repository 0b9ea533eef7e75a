"""`masquerade table NAME` for tables of certificates."""

from masquerade import sheets
from masquerade.cli import show
from masquerade.cli.words import Words
from masquerade.recipes.sheets import full
from masquerade.report import sheet as pages


def run(told: Words, as_json: bool) -> None:
    """Compute what is missing of a sheet and print it."""
    for key, text in (
        ("seeds", "certificates have no seed: a model follows from its images"),
        (
            "devices",
            "runtime.accelerator= says where models are computed, workers= how many at once",
        ),
        ("dry_run", "what networks cost follows from learner.epochs=, parts= and the images"),
    ):
        if key in told.reserved:
            raise ValueError(f"a table of certificates takes no {key}=: {text}")
    name = full(told.targets[0])
    given = told.reserved
    wanted = sheets.Wanted(
        name, given.get("scale", "small"), given.get("only", ""), tuple(told.settings)
    )
    short = name if wanted.scale == "small" else f"{name}-{wanted.scale}"
    done = sheets.run(wanted, given.get("out", f"runs/tables/{short}"), show.say)
    content = done.read_json(sheets.CONTENT)
    if as_json:
        show.as_json(content)
        return
    grid = pages.grid(content)
    show.heading(content["title"])
    show.table(grid.heads, grid.rows)
    for text in pages.said(content):
        show.result(text)
    show.result(done.path / "table.html")
