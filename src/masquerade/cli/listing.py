"""`masquerade list`: every family, one line per plug-in, read without importing a single one."""

import ast
from pathlib import Path

from masquerade.cli import show
from masquerade.core import plugins
from masquerade.core.plugins import Plugin

FAMILIES = {
    "sources": "masquerade.data.sources",
    "maskers": "masquerade.maskers",
    "objectives": "masquerade.objectives",
    "optimizers": "masquerade.engine.optimizers",
    "protocols": "masquerade.evaluate",
}


def run(words: list[str], as_json: bool) -> None:
    """Print the families that are named, or all; the user's own modules stand beside ours.

    Modules of the current folder that import a family's `base` are found by themselves; others
    are named by their dotted path after their family.
    """
    known = ["recipes", *FAMILIES]
    wanted = [w for w in words if w in known] or known
    extra = tuple(w for w in words if w not in known)
    if extra and (len(wanted) != 1 or wanted == ["recipes"]):
        raise ValueError(
            f"{extra[0]!r} is no family ({', '.join(known)}); a module of your own is listed by "
            "masquerade list FAMILY my_package.my_module"
        )
    found: dict[str, list[Plugin]] = {}
    for family in wanted:
        if family == "recipes":
            found[family] = recipes()
        else:
            package = FAMILIES[family]
            nearby = tuple(n for n in own_modules(package) if n not in extra)
            found[family] = plugins.listed(package, extra + nearby)
    if as_json:
        show.as_json({f: {p.name: p.summary for p in rows} for f, rows in found.items()})
        return
    for family, rows in found.items():
        show.table(family, ("", ""), [[f"  {p.name}", p.summary] for p in rows])
        show.results.print()


def recipes() -> list[Plugin]:
    """Each recipe function with its first docstring line."""
    rows = []
    for path in sorted(plugins.folder("masquerade.recipes").glob("*.py")):
        if path.stem in ("__init__", "base"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
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
