"""The verbs `export`, `embed` and `import`: what is taken away and brought along.

As in `main`, heavy modules are imported once a verb runs.
"""

from typing import Any

import typer
from typer.core import TyperGroup

from masquerade.cli.calling import Json, Words, told


class Exports(TyperGroup):
    """The sub-verbs of `export`; one that is not there is answered with those that are."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"nothing can be exported as {args[0]!r}. There are: {known}")
        return super().resolve_command(ctx, args)


export_app = typer.Typer(cls=Exports, no_args_is_help=True)


@export_app.callback()
def export() -> None:
    """Take an encoder or a masker away."""


@export_app.command(name="timm")
@told
def export_timm(words: Words = None, json: Json = False) -> None:
    """Write an encoder that plain timm loads.

    masquerade export timm runs/photos [out=FOLDER] [licence=cc-by-4.0]

    The folder (RUN/timm unless out= names one) gets model.safetensors, config.json and a
    README.md: the model card, with the lines of Python that load it. Equal features are checked
    first.
    """
    from masquerade.cli import taking

    taking.encoder("timm", words or [], json)


@export_app.command(name="torchvision")
@told
def export_torchvision(words: Words = None, json: Json = False) -> None:
    """Write a torchvision encoder for plain torchvision.

    masquerade export torchvision runs/photos [out=FOLDER] [licence=cc-by-4.0]

    For backbones called torchvision:NAME. The folder (RUN/torchvision unless out= names one) gets
    model.safetensors and the model card with the lines that load it.
    """
    from masquerade.cli import taking

    taking.encoder("torchvision", words or [], json)


@export_app.command(name="hub")
@told
def export_hub(words: Words = None, json: Json = False) -> None:
    """Write an encoder as a folder for the Hugging Face hub.

    masquerade export hub runs/photos [out=FOLDER] [licence=cc-by-4.0]

    What export timm writes, with the metadata that the hub reads and .gitattributes, in RUN/hub
    unless out= names another folder. Nothing is uploaded: that is yours to do.
    """
    from masquerade.cli import taking

    taking.encoder("hub", words or [], json)


@export_app.command(name="onnx")
@told
def export_onnx(words: Words = None, json: Json = False) -> None:
    """Write an encoder that any program with ONNX runs.

    masquerade export onnx runs/photos [out=FOLDER] [licence=cc-by-4.0]

    The folder (RUN/onnx unless out= names one) gets model.onnx and the model card. It takes pixels
    from 0 to 1, in batches of any size; standardisation is inside. onnxruntime must give
    PyTorch's features to 1e-4, or nothing is written. Needs the extra onnx.
    """
    from masquerade.cli import taking

    taking.encoder("onnx", words or [], json)


@export_app.command(name="masker")
@told
def export_masker(words: Words = None, json: Json = False) -> None:
    """Write a learned masker for use without its run.

    masquerade export masker runs/photos [out=FOLDER]

    The folder (RUN/masker unless out= names one) gets masker.safetensors and masker.json;
    masquerade.load_masker reads them in Python. masker= chooses among several.
    """
    from masquerade.cli import taking

    taking.masker(words or [], json)


@told
def embed(words: Words = None, json: Json = False) -> None:
    """Write the features of images, with their file names.

    masquerade embed runs/photos new out=features.parquet

    masquerade embed runs/photos split=train,test out=features.npz

    NAMES are the run's folder, then an image file, a folder, a list or a source; the run's own
    images if none is named. The file's ending says the format: .npz, .parquet (needs the extra
    parquet) or .csv; labels are written where they are known. split= names a part of the source,
    or several; masquerade certify takes an .npz of train,test.
    """
    from masquerade.cli import taking

    taking.embed(words or [], json)


@told
def import_(words: Words = None, json: Json = False) -> None:
    """Make a run of somebody else's checkpoint.

    masquerade import moco_v2_800ep.pth backbone.name=resnet50 out=runs/moco

    NAME is a .safetensors, .pth, .pt, .ckpt or .bin file of timm, torchvision, MoCo, MAE,
    solo-learn or lightly; no code in it is run. backbone.name=, backbone.stem=,
    backbone.options=, size= and normalise=imagenet|model say what it was trained with, out= is the
    run's folder. evaluate, certify, embed and export take it; pretrain goes on from it with
    backbone.weights=RUN.
    """
    from masquerade.cli import taking

    taking.bring(words or [], json)
