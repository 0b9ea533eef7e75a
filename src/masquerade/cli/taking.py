"""What people take away and bring along: `export ...`, `embed`, `import`."""

from collections.abc import Callable
from pathlib import Path

from masquerade.cli import show
from masquerade.cli.verbs import of_run, written
from masquerade.cli.words import Words, most, sorted_out
from masquerade.core.rundir import RunDir
from masquerade.jobs import embed as embedding
from masquerade.jobs import finished, importing
from masquerade.jobs.importing import Import

Export = Callable[[RunDir, Path, str], Path]


def encoder(kind: str, words: list[str], as_json: bool) -> None:
    """Write an encoder as `kind`: timm, torchvision, hub or onnx."""
    run, rest, told = of_run(words, ("out", "licence"))
    most(rest, 0, f"masquerade export {kind} RUN out=FOLDER")
    finished.encoder(run)
    out = Path(told.reserved.get("out", str(run.path / kind)))
    place = exporter(kind)(run, out, told.reserved.get("licence", ""))
    written(place, "folder", as_json)
    show.say(f"{place / 'README.md'} says what it is and how to load it")


def exporter(kind: str) -> Export:
    """The function that writes one kind."""
    if kind == "onnx":
        from masquerade.export import onnx

        return onnx.export
    if kind == "hub":
        from masquerade.export import hub

        return hub.export
    if kind == "torchvision":
        from masquerade.export import torchvision

        return torchvision.export
    from masquerade.export import weights

    return weights.export


def masker(words: list[str], as_json: bool) -> None:
    """Write a learned masker for use without the run."""
    from masquerade.export import masker

    run, rest, told = of_run(words, ("out", "masker"))
    most(rest, 0, "masquerade export masker RUN out=FOLDER")
    out = told.reserved.get("out", str(run.path / "masker"))
    which = told.whole("masker", 0) if "masker" in told.reserved else None
    written(masker.export(run, Path(out), which), "folder", as_json)
    show.say(f'in Python: masker = masquerade.load_masker("{out}"); masks = masker(images)')


def embed(words: list[str], as_json: bool) -> None:
    """Write the features of images."""
    run, images, told = of_run(words, ("out", "split"))
    most(images, 1, "masquerade embed RUN IMAGES out=FILE.npz")
    given, named = told.reserved, images[0] if images else ""
    place = embedding.run(run, named, given.get("out", ""), given.get("split", ""), show.say)
    written(place, "file", as_json)
    if place.suffix == ".npz" and given.get("split") == "train,test":
        show.following(f"masquerade certify {place}")


def bring(words: list[str], as_json: bool) -> None:
    """Make a run folder of somebody else's checkpoint."""
    told = sorted_out(words, ("out",), Import.model_fields)
    usage = "masquerade import FILE backbone.name=NAME out=runs/NAME"
    if not told.targets:
        raise ValueError(f"name the file of weights: {usage}")
    most(told.targets, 1, usage)
    config = settings(told)
    out = Path(told.reserved.get("out", f"runs/{Path(told.targets[0]).stem}"))
    run = importing.run(config, told.targets[0], out, show.say)
    written(run.path, "run", as_json)
    on = importing.onwards(run, config.backbone.name)
    show.following(f"masquerade evaluate {run.path} data=FOLDER", f"{on} data=FOLDER")


def settings(told: Words) -> Import:
    """The settings of an import; the backbone's name must be among them."""
    if not any(word.startswith(("backbone.name=", "backbone=")) for word in told.settings):
        raise ValueError(
            "say what the weights are of: backbone.name=resnet50, or another name of "
            "timm.list_models(), or one of torchvision after 'torchvision:'"
        )
    return Import.parse({"backbone": {}}).override(told.settings)
