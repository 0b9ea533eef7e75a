"""What tickets keep: digits, CartPole and Fashion-MNIST at reduced budgets, with two transfers.

    python benchmarks/tickets.py

Searches that are there in runs/tickets are only read; one that was cut goes on. The page is
written after every part. About 20 CPU-minutes.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script runs by its path

from benchmarks.machine import ROOT, Goal, machine, table, write

from masquerade.core.rundir import RunDir
from masquerade.engine.runtime import Runtime
from masquerade.jobs import landscape, tickets, transfer
from masquerade.jobs.tickets import CONTENT, Tickets
from masquerade.jobs.transfer import Transfer
from masquerade.recipes import evolution_tickets as recipes
from masquerade.report import tickets as page
from masquerade.report.intervals import Interval, interval
from masquerade.tickets import evolve
from masquerade.tickets.base import TrainerConfig
from masquerade.tickets.strategies import pgpe

RUNS = ROOT / "runs" / "tickets"
PARTS = ("digits", "transfers", "cartpole", "fashion_mnist")
ONE = ["runtime.threads=1"]
EVOLVED = ("snr", "magnitude", "random")
LEVELS = ["rounds=7", "keep=0.52"]  # 100, 52, 27, 14, 7.3, 3.8 and 2.0 %
FAR = 0.3  # how much more of the test images than with random masks is far above them


def budgets() -> dict[str, Tickets]:
    """The searches by name."""
    return {
        "digits": recipes.digits("small").override(
            [*ONE, *LEVELS, *each("generations=200", "test_every=20")]
        ),
        "cartpole": recipes.cartpole("small").override(
            [
                *ONE,
                *LEVELS,
                *each("generations=40", "strategy.population=64"),
                "problem.episodes=4",
                "problem.horizon=200",
                "seeds=[0, 1]",
            ]
        ),
        "fashion_mnist": recipes.fashion_mnist("small").override(
            [*ONE, *LEVELS, *each("generations=200", "test_every=50"), "seeds=[0]"]
        ),
    }


def targets() -> dict[str, TrainerConfig]:
    """How the digits' SNR tickets are trained again, by name."""
    digits = budgets()["digits"].methods
    strategy = pgpe.Config(population=64)
    return {
        "ES to GD": digits["descent"].train,
        "SNES to PGPE": evolve.Config(strategy=strategy, generations=120, test_every=20),
    }


def each(*changes: str) -> list[str]:
    """The same changes for every method that evolves."""
    return [f"methods.{name}.train.{change}" for name in EVOLVED for change in changes]


def main() -> None:
    """Run what is missing, part by part, and write the results after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--page", action="store_true", help="only write what is there")
    asked = parser.parse_args()
    wrong = sorted(set(asked.parts) - set(PARTS))
    if wrong:
        parser.error(f"there is no part {wrong[0]!r}; there are: {', '.join(PARTS)}")
    where = machine(Runtime(precision="float32", threads=1).resolved())
    configs = budgets()
    for part in () if asked.page else asked.parts or PARTS:
        ran(part, configs)
        told(configs, where)
    if asked.page:
        told(configs, where)


def ran(part: str, configs: dict[str, Tickets]) -> None:
    """Run one part, or read it where it is there."""
    if part == "transfers":
        moved(RunDir(RUNS / "digits"))
        return
    run = tickets.run(configs[part], RUNS / part, say)
    if not run.has(landscape.LANDSCAPE):
        landscape.run(run, say=say)
    page.write(run)


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def moved(source: RunDir) -> None:
    """The transfers of the digits' tickets, and the digits' page with them."""
    folders = []
    for name, train in targets().items():
        config = Transfer.of(source, "snr").replace(train=train)
        folders.append(transfer.run(config, place(name), say))
    page.write(source, folders)


def place(name: str) -> Path:
    """The folder of a transfer."""
    return RUNS / name.replace(" ", "-").lower()


def told(configs: dict[str, Tickets], where: dict[str, Any]) -> None:
    """Write docs/results/tickets.* from what is there."""
    found: dict[str, dict[str, Any]] = {"searches": {}, "transfers": {}, "landscapes": {}}
    for name in configs:
        run = RunDir(RUNS / name)
        if run.has(CONTENT):
            found["searches"][name] = run.read_json(CONTENT)
        if run.has(landscape.LANDSCAPE):
            found["landscapes"][name] = run.read_json(landscape.LANDSCAPE)
    for name in targets():
        if (place(name) / CONTENT).exists():
            found["transfers"][name] = RunDir(place(name)).read_json(CONTENT)
    title = "Lottery tickets without backprop"
    write("tickets", title, body(configs, found), found, goals(found), where)


def goals(found: dict[str, dict[str, Any]]) -> list[Goal]:
    """What section 11 of the paper file says must be seen."""
    made = []
    for name, search in found["searches"].items():
        if search["measure"] != "accuracy":
            continue
        for method in ("snr", "magnitude"):
            made.append(above(search, method, "random", f"{name}: {method} tickets"))
    for name, search in found["transfers"].items():
        made.append(above(search, "transferred", "random", f"digits, {name}: transferred tickets"))
    return made


def above(search: dict[str, Any], one: str, other: str, what: str) -> Goal:
    """Whether one kind of tickets is far above another at the last level."""
    level, gap = page.paired(search, one, other)[-1]
    return Goal(
        f"{what} at least {100 * FAR:.0f} points above random masks with {level:.1%} left",
        points(gap),
        gap.mean >= FAR,
    )


def points(gap: Interval) -> str:
    """A difference of accuracies in words; one seed has no interval."""
    around = (
        f"({100 * gap.low:+.1f} to {100 * gap.high:+.1f})" if gap.low < gap.high else "(one seed)"
    )
    return f"{100 * gap.mean:+.1f} points {around}"


def body(configs: dict[str, Tickets], found: dict[str, dict[str, Any]]) -> list[str]:
    """Paragraphs and tables."""
    parts = [
        "Scores on test examples at the end of each training, the mean over seeds; brackets are "
        "95 % bootstrap intervals over so few seeds, which are too narrow rather than too wide."
    ]
    for name, search in found["searches"].items():
        size = f"{search['weights']:,} weights, {search['prunable']:,} prunable"
        parts += [f"## {name}", f"{size}; {page.budget(configs[name])}", scores(search)]
        parts += compared(search)
        if name in found["landscapes"]:
            parts += ["Around the optima:", ground(found["landscapes"][name])]
    for name, search in found["transfers"].items():
        parts += [
            f"## digits, {name}",
            f"Tickets of {search['method']}, each trained afresh at its level; beside them what "
            "the target finds by itself, and random masks with new weights.",
            scores(search),
            *difference(search, "transferred", "native"),
        ]
    return parts


def scores(search: dict[str, Any]) -> str:
    """The final scores by level."""
    content = page.table(search)
    return table(
        ("weights left", *content["heads"]), [(name, *cells) for name, cells in content["rows"]]
    )


def compared(search: dict[str, Any]) -> list[str]:
    """Signal-to-noise against magnitude, and evolution against descent, paired by seed."""
    said = difference(search, "snr", "magnitude")
    if "descent" in search["scores"]:
        said += difference(search, "snr", "descent")
    return said


def difference(search: dict[str, Any], one: str, other: str) -> list[str]:
    """Two methods at every level, and below 5 % in one figure."""
    rows = page.paired(search, one, other)
    low = page.gaps(search, one, other, below=0.05)
    several = len(low) > 1
    told = []
    for level, gap in rows:
        around = f"{gap.low:+.4g} to {gap.high:+.4g}" if several else "one seed"
        told.append((f"{level:.1%}", f"{gap.mean:+.4g}", around))
    whole = interval(low)
    said = f"Below 5 % left, the mean over levels, {one} minus {other}: {whole.mean:+.4g}"
    if several:
        sure = "ahead" if whole.low > 0 else "behind" if whole.high < 0 else "neither"
        said += f" ({whole.low:+.4g} to {whole.high:+.4g}): {sure}"
    return [table(("weights left", f"{one} - {other}", "95 %"), told), f"{said}."]


def ground(found: dict[str, Any]) -> str:
    """Barriers to the next level's optimum and sharpness, the mean over seeds, dense and sparse."""
    rows = []
    for method, seeds in found["found"].items():
        runs = list(seeds.values())
        barriers = [interval([run[k]["barrier"] for run in runs]).mean for k in (0, -2)]
        drops = [interval([run[k]["drop"] for run in runs]).mean for k in (0, -1)]
        rows.append((method, *(f"{v:.3g}" for v in (*barriers, *drops))))
    columns = ("barrier, first to second", "barrier, last two", "drop, dense", "drop, last")
    return table(("method", *columns), rows)


if __name__ == "__main__":
    main()
