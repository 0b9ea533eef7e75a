"""Tables of certificates: certified accuracy against the budget, a rule in each line.

A sheet is found as other tables are, by what its function returns; other than there, one run gives
all numbers of a line, and lines with the same models share one run.
"""

from collections.abc import Callable
from typing import NamedTuple

from masquerade.jobs.certify_settings import SPREAD, Certify, Extractor
from masquerade.jobs.settings import Pretrain
from masquerade.recipes.base import Scale, functions, known, one


class Line(NamedTuple):
    """A rule on some models.

    Attributes:
        name: What the line is called.
        rule: The rule.
        spread: d; read by the rules for a spread only.
        features: What models see.
        published: The paper's numbers in percent, one for each budget; empty where there are none.
    """

    name: str
    rule: str
    spread: int = 1
    features: Extractor = "pixels"
    published: tuple[float, ...] = ()


class Sheet(NamedTuple):
    """A table of certificates.

    Attributes:
        title: What it shows.
        paper: Where it was published.
        settings: Of all its certificates, but for rules, spread and features.
        lines: Its lines.
        encoder: What is trained first, where a line is about an encoder.
        notes: What a reader must know to compare.
    """

    title: str
    paper: str
    settings: Certify
    lines: tuple[Line, ...]
    encoder: Pretrain | None = None
    notes: tuple[str, ...] = ()

    def jobs(self) -> dict[str, Certify]:
        """The certificates to compute, by the name of their folder."""
        found: dict[str, Certify] = {}
        for line in self.lines:
            config = found.get(folder(line), self.settings.replace(rules={"dpa": {"kind": "dpa"}}))
            rules = config.rules if folder(line) in found else {}
            rule = self.settings.rules[line.rule]
            change = {"spread": line.spread} if line.rule in SPREAD else {}
            found[folder(line)] = config.replace(
                features=line.features, rules={**rules, line.rule: rule}, **change
            )
        return found


Sheeted = Callable[[Scale], Sheet]


def folder(line: Line) -> str:
    """The folder of a line's certificate: lines of the same models share it."""
    return f"{line.features}-{line.spread if line.rule in SPREAD else 1}"


def sheets() -> dict[str, Sheeted]:
    """Every sheet by its full name, `certified_poisoning.cifar10_50`."""
    return functions(Sheet)


def full(name: str) -> str:
    """The full name of a sheet; raises `ValueError` where there is none or more than one."""
    return one(name, sheets(), "table of certificates", "Tables of certificates")


def sheet(name: str, scale: str = "small") -> Sheet:
    """A sheet; the file may be left out where the name is unique.

    Raises:
        ValueError: There is no such sheet or scale.
    """
    return sheets()[full(name)](known(scale))
