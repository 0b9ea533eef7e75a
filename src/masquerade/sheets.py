"""A table of certificates, run line by line: the paper's numbers and ours beside each other.

Lines of the same models share a certificate, which lies in a folder of its own: what is done is
never done again, and networks that are trained stay trained.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.jobs import certify as certifying
from masquerade.jobs import pretrain as training
from masquerade.jobs.certify_settings import Certify
from masquerade.jobs.radii import FOLDER
from masquerade.jobs.tablefolder import claim
from masquerade.recipes.sheets import Line, Sheet, folder, sheet
from masquerade.report import certificates
from masquerade.report import sheet as pages

Say = Callable[[str], None]
ENCODER = "encoder"
DONE = f"{FOLDER}/certify.json"


class Wanted(NamedTuple):
    """Which part of which sheet, and with what changes.

    Attributes:
        name: Of the sheet, `certified_poisoning.cifar10_50`.
        scale: `paper`, `small` or `smoke`.
        only: Only lines whose name holds this text; all where it is empty.
        settings: `key=value` changes to every certificate.
    """

    name: str
    scale: str = "small"
    only: str = ""
    settings: tuple[str, ...] = ()

    def part(self) -> Sheet:
        """The sheet with the lines that are wanted, after the changes.

        Raises:
            ValueError: There are none, or a change is no setting of theirs.
        """
        whole = sheet(self.name, self.scale)
        lines = tuple(x for x in whole.lines if self.only.lower() in x.name.lower())
        if not lines:
            have = ", ".join(x.name for x in whole.lines)
            raise ValueError(f"no line of {self.name} holds {self.only!r}. Lines: {have}")
        return whole._replace(lines=lines, settings=whole.settings.override(self.settings))


def run(wanted: Wanted, out: str | Path, say: Say = print) -> RunDir:
    """Compute what is missing of a sheet; returns its folder with table.json, .md and .html.

    Raises:
        ValueError: No such sheet, scale, line or setting.
        MissingData: Nothing could be computed: no images are there.
        CannotResume: The folder holds another table.
    """
    part, place = wanted.part(), RunDir(out)
    claim(place, wanted.name, wanted.scale, wanted.settings, {"lines": []}, begun=True)
    missing: dict[str, str] = {}
    jobs = part.jobs()
    for name, config in jobs.items():
        lines = ", ".join(x.name for x in part.lines if folder(x) == name)
        say(f"{lines}:")
        try:
            certified(config, part, place, name, say)
        except MissingData as error:
            missing[lines] = str(error)
            say(f"left out: {error}")
            continue
        pages.write(place, collected(wanted, part, place, missing))
    if len(missing) == len(jobs):
        raise MissingData("\n".join(dict.fromkeys(missing.values())))
    pages.write(place, collected(wanted, part, place, missing))
    return place


def certified(config: Certify, part: Sheet, place: RunDir, name: str, say: Say) -> None:
    """Compute one certificate, unless it is there."""
    out = RunDir(place.path / name)
    if out.has(DONE) and out.read_json(DONE)["settings"] == config.tree():
        say("is finished already")
        return
    source = None
    if part.encoder:
        source = RunDir(place.path / ENCODER)
        training.run(part.encoder, source.path, say)
    certifying.run(config, source, out, say)
    certificates.write(out)


def collected(
    wanted: Wanted, part: Sheet, place: RunDir, missing: dict[str, str]
) -> dict[str, Any]:
    """The content of table.json."""
    budgets = list(part.settings.budgets)
    return {
        "name": wanted.name,
        "scale": wanted.scale,
        "settings": list(wanted.settings),
        "title": part.title,
        "paper": part.paper,
        "budgets": budgets,
        "notes": list(part.notes),
        "missing": missing,
        "lines": [told(line, budgets, place) for line in part.lines],
    }


def told(line: Line, budgets: list[int], place: RunDir) -> dict[str, Any]:
    """One line: its numbers in percent, and the sentence that they stand for."""
    out = RunDir(place.path / folder(line))
    content = out.read_json(DONE) if out.has(DONE) else None
    rule = content["rules"].get(line.rule) if content else None
    return {
        "name": line.name,
        "published": list(line.published),
        "ours": [100 * rule["certified"][str(b)] for b in budgets] if rule else None,
        "sentence": content["sentence"] if content and rule else "",
        "folder": folder(line),
    }
