"""docs/recipes.md says what the code does: every recipe, every table, every released number."""

import inspect
import re
from pathlib import Path
from typing import Any

from masquerade.core import plugins
from masquerade.evaluate import linear
from masquerade.jobs.settings import Pretrain
from masquerade.maskers import adios
from masquerade.recipes import adversarial_masking
from masquerade.recipes.base import Table, recipe, recipes, tables

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def lines(first: str) -> dict[str, list[str]]:
    """The rows of the table whose first heading is this, by their first cell."""
    part = TEXT[TEXT.index(f"| {first} |") :].partition("\n\n")[0]
    rows = [[c.strip() for c in line.strip("| ").split("|")] for line in part.splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in rows}


def released(config: Pretrain) -> list[str]:
    """The row of a released script."""
    (masker,) = config.maskers
    assert isinstance(masker, adios.Config)
    encoder, learned = config.optimizers.encoder, config.optimizers.masker
    views = config.augment
    colours = (views.brightness, views.contrast, views.saturation, views.hue)
    weights = (masker.sparsity, masker.entropy)
    return [
        f"{config.epochs}",
        f"{config.batch}",
        f"{encoder.lr:.5g}",
        f"{learned.lr:.5g}",
        f"{encoder.decay:.4g}",
        f"{masker.masks}",
        f"{masker.width} {masker.norm}",
        " ".join(f"{w:.5g}" for w in weights),
        " ".join(f"{c:.3g}" for c in colours),
    ]


def test_every_released_script_stands_there_with_its_numbers() -> None:
    rows = lines("script")
    scripts = [n.partition(".")[2] for n in recipes() if n.startswith("adios.")]
    assert set(rows) == set(scripts) and len(scripts) == 15
    for name in scripts:
        assert rows[name] == released(recipe(f"adios.{name}", "paper")), name


def test_every_other_recipe_and_every_table_stands_there_with_its_sentence() -> None:
    rows = lines("recipe")
    others = {n: f for n, f in recipes().items() if not n.startswith("adios.")}
    assert set(rows) == set(others)
    shown = lines("table")
    assert set(shown) == set(tables())
    for name, function in {**others, **tables()}.items():
        first = (function.__doc__ or "").partition("\n")[0]
        assert [first] in (rows.get(name), shown.get(name)), name


def test_the_table_printed_there_is_one() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {**vars(adversarial_masking), "linear": linear}
    exec(code, names)
    assert [cell.row for cell in names["mine"]().cells] == ["SimCLR", "+ ADIOS"]
    assert inspect.signature(names["mine"]).return_annotation is Table


def test_no_recipe_is_named_that_does_not_exist() -> None:
    named = set(re.findall(r"masquerade pretrain ([\w.]+)", TEXT))
    for name in named:
        recipe(name)
    assert set(re.findall(r"masquerade table ([\w.]+)", TEXT)) - {"NAME"} <= set(tables())
    files = {f.stem for f in plugins.folder("masquerade.recipes").glob("*.py")}
    assert {n.partition(".")[0] for n in (*recipes(), *tables())} <= files
