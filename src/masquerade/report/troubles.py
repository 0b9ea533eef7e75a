"""Is a run healthy, and of several seeds how many: verdicts on embeddings and on masks."""

from collections.abc import Sequence
from typing import NamedTuple

from masquerade.jobs.verdicts import Verdict, verdicts
from masquerade.report.read import Story


class Finding(NamedTuple):
    """A verdict of one or more runs.

    Attributes:
        mood: good or bad; open where nothing is known.
        text: The sentence, of the first run that has it.
        runs: Which runs, in words; empty if it is a single one.
    """

    mood: str
    text: str
    runs: str


def embeddings(told: Story) -> Verdict | None:
    """The last verdict on the embeddings; None before the first."""
    logged = [r for r in told.rows if isinstance(r.get("health/verdict"), str)]
    state = str(logged[-1].get("health/state", "")) if logged else ""
    final = told.summary.get("verdict")
    if isinstance(final, dict) and {"healthy", "text"} <= set(final):
        about = state or str(final["text"]).partition(":")[0]
        return Verdict(bool(final["healthy"]), f"embeddings {final['text']}", None, about)
    if not logged:
        return None
    text = f"embeddings so far {logged[-1]['health/verdict']}"
    return Verdict(state in ("healthy", "too few"), text, None, state)


def masks(told: Story) -> list[Verdict]:
    """The verdicts on the masks of a run."""
    return verdicts(told.rows)


def findings(group: Sequence[Story]) -> list[Finding]:
    """The verdicts of runs that differ in their seed: each trouble once, with whose it is."""
    found: dict[tuple[str, str], list[tuple[Story, Verdict]]] = {}
    for told in group:
        own = embeddings(told)
        for kind, verdict in [("e", own), *(("m", v) for v in masks(told))]:
            if verdict:
                found.setdefault((kind, verdict.about), []).append((told, verdict))
    order = sorted(found.items(), key=lambda item: (item[0][0], item[1][0][1].healthy))
    return [
        Finding("good" if cases[0][1].healthy else "bad", cases[0][1].text, whose(cases, group))
        for _, cases in order
    ]


def whose(cases: Sequence[tuple[Story, Verdict]], group: Sequence[Story]) -> str:
    """`all 3 seeds`, `2 of 3 seeds: 0 and 2`, or nothing for a run alone."""
    if len(group) == 1:
        return ""
    if len(cases) == len(group):
        return f"all {len(group)} seeds; the numbers are of seed {cases[0][0].config.get('seed')}"
    these = ", ".join(str(told.config.get("seed", "?")) for told, _ in cases)
    return f"{len(cases)} of {len(group)} seeds ({these})"


def healthy(told: Story) -> bool | None:
    """Whether nothing is known to be wrong with a run; None where nothing is known at all."""
    found = [v for v in (embeddings(told), *masks(told)) if v]
    return all(v.healthy for v in found) if found else None
