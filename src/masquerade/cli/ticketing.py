"""`masquerade tickets`: searches for sparse networks, and what their tickets transfer to."""

from pathlib import Path
from typing import Any

from masquerade.cli import show
from masquerade.cli.words import most, sorted_out
from masquerade.core.errors import WrongPath
from masquerade.core.rundir import RunDir
from masquerade.jobs import landscape, tickets, transfer
from masquerade.jobs.tickets import CONTENT, Tickets
from masquerade.jobs.transfer import Transfer
from masquerade.recipes import base

OWN = ("out", "scale", "devices")
USAGE = "masquerade tickets RECIPE-OR-RUN key=value ..."
LANDSCAPE = "masquerade tickets landscape RUN points=11"
TRANSFER = "masquerade tickets transfer RUN method=... key=value ..."


def run(words: list[str], as_json: bool) -> None:
    """Search for tickets, go on with a search, or transfer its tickets."""
    if words[:1] == ["transfer"]:
        moved(words[1:], as_json)
        return
    if words[:1] == ["landscape"]:
        looked(words[1:], as_json)
        return
    told = sorted_out(words, OWN, Tickets.model_fields)
    if not told.targets:
        known = "\n".join(f"  {name}" for name in base.searches())
        raise ValueError(f"name a recipe, or the folder of a search: {USAGE}\n{known}")
    most(told.targets, 1, USAGE)
    name, given = told.targets[0], told.reserved
    changes = [*told.settings, *devices(given)]
    if (Path(name) / "config.json").is_file():
        if "scale" in given:
            raise ValueError(f"scale= belongs to recipes; {name} is a run and has its settings")
        config, out = tickets.settings(RunDir(name)).override(changes), given.get("out", name)
    else:
        config = base.search(name, given.get("scale", "small")).override(changes)
        out = given.get("out", f"runs/tickets/{name.rpartition('.')[2]}")
    done = tickets.run(config, out, show.say)
    shown(done, as_json)
    if not as_json:
        show.following(f"masquerade tickets transfer {done.path}", f"masquerade report {done.path}")


def moved(words: list[str], as_json: bool) -> None:
    """Train the tickets of a finished search on another task or by another method."""
    told = sorted_out(words, ("out", "method", "devices"), Transfer.model_fields)
    if not told.targets:
        raise ValueError(f"name the folder of a finished search: {TRANSFER}")
    most(told.targets, 1, TRANSFER)
    source, given = RunDir(told.targets[0]), told.reserved
    if not source.has("config.json"):
        raise WrongPath(f"{source.path} is no run: it holds no config.json")
    plain = Transfer.of(source, given.get("method", ""))
    config = plain.override([*told.settings, *devices(given)])
    out = given.get("out", f"{source.path}-transfer")
    done = transfer.run(config, out, show.say)
    shown(done, as_json)
    if not as_json:
        show.following(f"masquerade report {source.path} {done.path}")


def looked(words: list[str], as_json: bool) -> None:
    """Barriers between the optima of a finished search, and how sharp they are."""
    told = sorted_out(words, ("points",))
    if not told.targets:
        raise ValueError(f"name the folder of a finished search: {LANDSCAPE}")
    most(told.targets, 1, LANDSCAPE)
    folder = RunDir(told.targets[0])
    found = landscape.run(folder, told.whole("points", 11), show.say)
    if as_json:
        show.as_json(found)
        return
    show.result(folder.path / landscape.LANDSCAPE)
    show.following(f"masquerade report {folder.path}")


def devices(given: dict[str, str]) -> list[str]:
    """`devices=2` as the setting it stands for."""
    return [f"runtime.devices={given['devices']}"] if "devices" in given else []


def shown(done: RunDir, as_json: bool) -> None:
    """Print the final scores, the mean over seeds, by level and method."""
    content = done.read_json(CONTENT)
    if as_json:
        show.as_json(content)
        return
    show.heading(f"{content['title']}: {content['measure']}, mean over seeds")
    show.table(("weights left", *content["scores"]), rows(content))
    beside = content.get("baseline")  # runs of earlier versions have none
    if beside:
        show.heading(f"{beside['name']} on the same features")
        levels = [[f"{left:.1%}", f"{score:.4g}"] for left, score in beside["levels"]]
        show.table(("weights left", content["measure"]), levels)
    show.result(done.path / CONTENT)


def rows(content: dict[str, Any]) -> list[list[Any]]:
    """A line for each level: the share that is left, then the mean score of each method."""
    columns = []
    for seeds in content["scores"].values():
        runs = list(seeds.values())
        columns.append([sum(r[k]["final"] for r in runs) / len(runs) for k in range(len(runs[0]))])
        left = [level["remaining"] for level in runs[0]]
    return [
        [f"{share:.1%}", *(f"{column[k]:.4g}" for column in columns)]
        for k, share in enumerate(left)
    ]
