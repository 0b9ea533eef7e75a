"""docs/recipes.md says what the code does: every recipe, every table, every released number."""

import inspect
import re
from pathlib import Path
from typing import Any

from masquerade.core import plugins
from masquerade.data.sources import toybox
from masquerade.evaluate import knn, linear
from masquerade.jobs.evaluate import Evaluate
from masquerade.jobs.settings import Pretrain
from masquerade.maskers import adios
from masquerade.recipes import adversarial_masking
from masquerade.recipes.base import Table, recipe, recipes, tables

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def lines(first: str) -> dict[str, list[str]]:
    """The rows of the table whose first heading is this, by their first cell."""
    part = TEXT[TEXT.index(f"| {first} |") :].partition("\n\n")[0]
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in part.splitlines()[2:]]
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
    others = {
        n: f for n, f in recipes().items() if not n.startswith("adios.") and n not in filled()
    }
    assert set(rows) == set(others)
    shown = lines("table")
    assert set(shown) == set(tables())
    for name, function in {**others, **tables()}.items():
        first = (function.__doc__ or "").partition("\n")[0]
        assert [first] in (rows.get(name), shown.get(name)), name


def filled() -> dict[str, str]:
    """The recipes of MixMask's table there, and the number beside each."""
    found: dict[str, str] = {}
    for name, cells in lines("framework").items():
        for suffix, cell in zip(
            ("", "_unmix", "_mixmask", "_star", "_star_same"), cells, strict=True
        ):
            found |= {f"mixmask.{name}{suffix}": cell} if cell else {}
    return found


def test_every_framework_with_masks_stands_there_with_the_number_of_its_docstring() -> None:
    functions = recipes()
    for name, number in filled().items():
        assert f": {number} " in (functions[name].__doc__ or "").partition("\n")[0], name


def test_the_protocols_printed_there_are_those_of_the_tables() -> None:
    run = Evaluate(data=toybox.Config(), protocols={"knn": knn.Config(), "linear": linear.Config()})
    printed = {
        who: [re.findall(r"[a-z]+\.[\w.=-]+", cell) for cell in cells]
        for who, cells in lines("of").items()
    }
    want = {
        "MoCo": (knn.moco(), linear.moco()),
        "SimSiam": (knn.moco("backbone", crop=0.889), linear.simsiam().replace(crop=0.889)),
        "SimCLR, BYOL": (knn.wmse(), linear.wmse()),
    }
    assert set(printed) == set(want)
    for who, words in printed.items():
        told = run.with_words([w for cell in words for w in cell]).protocols
        assert (told["knn"], told["linear"]) == want[who], who


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
