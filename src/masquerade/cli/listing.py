"""`masquerade list`: every family, one line per plug-in, read without importing a single one."""

import ast
from difflib import get_close_matches
from pathlib import Path

from masquerade.cli import show
from masquerade.cli.words import most, sorted_out
from masquerade.core import plugins
from masquerade.core.plugins import Plugin

FAMILIES = {
    "sources": "masquerade.data.sources",
    "maskers": "masquerade.maskers",
    "objectives": "masquerade.objectives",
    "optimizers": "masquerade.engine.optimizers",
    "protocols": "masquerade.evaluate",
    "attacks": "masquerade.attacks",
    "rules": "masquerade.certify",
    "learners": "masquerade.certify.learners",
    "networks": "masquerade.certify.nets",
    "strategies": "masquerade.tickets.strategies",
    "problems": "masquerade.tickets.problems",
}
FUNCTIONS = {  # what they give
    "recipes": ("Pretrain",),
    "tables": ("Table", "Sheet"),
    "searches": ("Tickets",),
}


def run(words: list[str], as_json: bool) -> None:
    """Print the families that are named, or all; the user's own modules stand beside ours.

    Modules of the current folder that import a family's `base` are found by themselves; others
    are named by their dotted path after their family.
    """
    known = [*FUNCTIONS, *FAMILIES]
    targets = sorted_out(words).targets
    if targets and targets[0] == "settings":
        show_settings(targets[1:], as_json)
        return
    wanted = [w for w in targets if w in known] or known
    extra = tuple(w for w in targets if w not in known)
    if extra and (len(wanted) != 1 or wanted[0] in FUNCTIONS):
        near = get_close_matches(extra[0], [*known, "settings"], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{extra[0]!r} is no family.{hint} There are: {', '.join(known)}, settings. A module "
            "of your own is listed by masquerade list FAMILY my_package.my_module"
        )
    found = {family: members(family, extra) for family in wanted}
    if as_json:
        show.as_json({f: {p.name: p.summary for p in rows} for f, rows in found.items()})
    elif show.results.is_terminal:
        for family, rows in found.items():
            show.heading(family)
            show.table(("", ""), [[f"  {p.name}", p.summary] for p in rows])
    else:
        show.lines(
            ("", "", ""), [[f, p.name, p.summary] for f, rows in found.items() for p in rows]
        )


def show_settings(names: list[str], as_json: bool) -> None:
    """Every setting of a recipe with its value and meaning."""
    from masquerade.cli import settings  # heavy: builds the recipe

    most(names, 1, "masquerade list settings RECIPE")
    found = settings.keys(names[0] if names else "sequential")
    if as_json:
        show.as_json([row._asdict() for row in found])
    else:
        show.lines(("", "", ""), found)


def members(family: str, extra: tuple[str, ...]) -> list[Plugin]:
    """The plug-ins of a family, their sentences without the name they begin with."""
    if family in FUNCTIONS:
        found = functions(FUNCTIONS[family])
    else:
        package = FAMILIES[family]
        nearby = tuple(n for n in own_modules(package) if n not in extra)
        found = plugins.listed(package, extra + nearby)
    return [Plugin(p.name, without(p.name, p.summary)) for p in found]


def without(name: str, summary: str) -> str:
    """`erase: hides ...` is `hides ...` in the line of erase."""
    start, colon, rest = summary.partition(": ")
    return rest if colon and start.lower() in (name.lower(), name.rpartition(".")[2]) else summary


def functions(results: tuple[str, ...]) -> list[Plugin]:
    """Each function of the recipes that takes a scale and gives one of these, with a sentence."""
    rows = []
    for path in sorted(plugins.folder("masquerade.recipes").glob("[!_]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            given = isinstance(node.returns, ast.Name) and node.returns.id in results
            if given and [a.arg for a in node.args.args] == ["scale"]:
                text = (ast.get_docstring(node) or "").partition("\n")[0]
                rows.append(Plugin(f"{path.stem}.{node.name}", text))
    return rows


def own_modules(package: str) -> list[str]:
    """Python files of the current folder, or one folder down, that plug into a family."""
    here = Path()
    names = []
    for path in sorted([*here.glob("*.py"), *here.glob("[!.]*/*.py")]):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if f"from {package}.base import" in text and plugins.configures(path):
            names.append(".".join(path.with_suffix("").parts))
    return names
