"""What tickets keep: digits, a control task and Fashion-MNIST at reduced budgets, with transfers.

    python benchmarks/tickets.py [digits pendulum fashion_mnist]

Searches that are there in runs/tickets are only read; one that was cut goes on. Writes
docs/results/tickets.json and tickets.md.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime
from masquerade.jobs import tickets, transfer
from masquerade.jobs.tickets import CONTENT, Tickets
from masquerade.jobs.transfer import Transfer
from masquerade.recipes import evolution_tickets as recipes
from masquerade.report import tickets as page
from masquerade.report.intervals import interval

ROOT = Path(__file__).resolve().parents[1]
RUNS, OUT = ROOT / "runs" / "tickets", ROOT / "docs" / "results"
ONE = ["runtime.threads=1"]
TRANSFERS = {  # of the digits' SNR tickets: what changes
    "ES to GD": ["train=descend", "train.optimizer.lr=0.003", "train.epochs=40", "train.batch=64"],
    "SNES to PGPE": ["train.strategy=pgpe", "train.strategy.population=64"],
}


def budgets() -> dict[str, Tickets]:
    """The searches by name."""
    reduced = [f"methods.{m}.train.generations={{}}" for m in ("snr", "magnitude", "random")]
    smaller = [f"methods.{m}.train.strategy.population=64" for m in ("snr", "magnitude", "random")]
    return {
        "digits": recipes.digits("small").override(ONE),
        "pendulum": recipes.pendulum("small").override(
            [*ONE, *(r.format(100) for r in reduced), *smaller, "rounds=6", "keep=0.5", "seeds=[0]"]
        ),
        "fashion_mnist": recipes.fashion_mnist("small").override(
            [*ONE, *(r.format(200) for r in reduced), "rounds=6", "keep=0.5", "seeds=[0]"]
        ),
    }


def main(names: list[str]) -> None:
    """Run what is missing and write the results."""
    found: dict[str, Any] = {
        "machine": machine(Runtime(precision="float32", threads=1).resolved()),
        "searches": {},
        "transfers": {},
    }
    for name, config in budgets().items():
        if name in names or (RUNS / name / CONTENT).exists():
            run = tickets.run(config, RUNS / name, print)
            found["searches"][name] = run.read_json(CONTENT)
            page.write(run)
    if "digits" in found["searches"]:
        found["transfers"] = moved(RunDir(RUNS / "digits"))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "tickets.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (OUT / "tickets.md").write_text(markdown(found), encoding="utf-8")


def moved(source: RunDir) -> dict[str, Any]:
    """The transfers of the digits' tickets."""
    results, folders = {}, []
    for name, changes in TRANSFERS.items():
        config = Transfer.of(source, "snr").override(changes)
        run = transfer.run(config, RUNS / name.replace(" ", "-").lower(), print)
        results[name] = run.read_json(CONTENT)
        folders.append(run)
    page.write(source, folders)
    return results


def markdown(found: dict[str, Any]) -> str:
    """The results as a page."""
    where = found["machine"]
    lines = ["# Lottery tickets without backprop", ""]
    lines += [f"`python benchmarks/tickets.py` on {where['device']}, {where['utc']}.", ""]
    for name, search in found["searches"].items():
        lines += [f"## {name}", "", about(budgets()[name], search), "", *table(search), ""]
        lines += [*gains(search), ""]
    for name, search in found["transfers"].items():
        lines += [f"## Transfer on digits: {name}", ""]
        lines += [f"Tickets of {search['method']}, trained afresh at every level.", ""]
        lines += [*table(search), ""]
    return "\n".join(lines).rstrip() + "\n"


def about(config: Tickets, search: dict[str, Any]) -> str:
    """The budget in a sentence."""
    first = next(iter(config.methods.values())).train.tree()
    seeds = len(config.seeds)
    return (
        f"{search['weights']:,} weights, {search['prunable']:,} prunable. "
        f"{first['strategy']['kind']}, population {first['strategy']['population']}, "
        f"{first['generations']} generations a round, {config.rounds} rounds that keep "
        f"{config.keep:.0%} each, {seeds} seed{'s' * (seeds > 1)}. Test {search['measure']}: mean"
        + (" and 95 % bootstrap interval." if seeds > 1 else ".")
    )


def table(search: dict[str, Any]) -> list[str]:
    """The final scores by level."""
    content = page.table(search)
    rows = [f"| {name} | {' | '.join(cells)} |" for name, cells in content["rows"]]
    heads = f"| weights left | {' | '.join(content['heads'])} |"
    return [heads, f"|--:|{'--:|' * len(content['heads'])}", *rows]


def gains(search: dict[str, Any]) -> list[str]:
    """Signal-to-noise against magnitude, paired by seed, as far down as it goes."""
    said = page.gain(search)
    if not said:
        return []
    one, other = search["scores"]["snr"], search["scores"]["magnitude"]
    low = [
        one[seed][k]["final"] - other[seed][k]["final"]
        for seed in one
        for k, level in enumerate(one[seed])
        if level["remaining"] < 0.05
    ]
    whole = interval(low)
    lines = [f"- {text}" for text in said]
    if low:
        lines.append(
            f"- below 5 % left, all levels and seeds together: {whole.mean:+.4f} "
            f"({whole.low:+.4f} to {whole.high:+.4f})"
        )
    return lines


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits", "pendulum", "fashion_mnist"])
