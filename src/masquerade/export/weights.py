"""An encoder for people who have timm and not masquerade: a folder that plain timm loads.

`model.safetensors` holds the weights under timm's names, `config.json` is laid out as timm's
`local-dir:` and the Hugging Face hub expect it, `README.md` is the model card. Before a byte is
written the weights are loaded into a model made by timm, and its features compared with the
encoder's.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from timm.models import get_pretrained_cfg
from torch import nn

from masquerade.core.rundir import RunDir
from masquerade.export import modelcard
from masquerade.export.modelcard import Use
from masquerade.networks import architectures, encoder_file
from masquerade.networks.backbone import Backbone


class Recipe(NamedTuple):
    """How to make the model with timm.

    Attributes:
        name: The timm name.
        stem: The stem it has.
        options: What `timm.create_model` is given beside the name.
        changes: Lines of Python that give `model` a stem timm has no option for; often none.
    """

    name: str
    stem: str
    options: dict[str, Any]
    changes: tuple[str, ...]


def export(run: RunDir, out: Path, licence: str = "") -> Path:
    """Write the encoder of a run for plain timm.

    Args:
        run: A folder that holds `encoder.safetensors` and `encoder.json`.
        out: The folder to write; files of an earlier export in it are replaced.
        licence: Of the weights, for the model card; empty says that none is set.

    Returns:
        `out`.

    Raises:
        MissingData: The run has no encoder yet.
        ValueError: timm has no model that gives these features, or `out` is a file.
    """
    folder(out)
    encoder = encoder_file.load(run.path)
    how = recipe(encoder)
    check(encoder, how)
    target = RunDir(out)
    content = save(encoder_file.plain(encoder.body), {"format": "pt"})
    target.write("model.safetensors", lambda file: file.write(content))
    target.write_json("config.json", config(encoder, how))
    target.write_text("README.md", modelcard.text(run, use(how), licence))
    return out


def folder(out: Path) -> None:
    """Raises `ValueError` where `out` is no place for a folder."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; out= must name a folder")


def recipe(encoder: Backbone) -> Recipe:
    """How plain timm makes the model of an encoder.

    Raises:
        ValueError: It is a torchvision model without a namesake in timm.
    """
    name = encoder.config.name.removeprefix(architectures.TORCHVISION)
    try:
        architectures.check(name)
    except ValueError:
        raise ValueError(
            f"timm has no model called {name}; masquerade export torchvision writes it for "
            "torchvision, masquerade export onnx for any program"
        ) from None
    options = architectures.fitted(name, encoder.stem, encoder.size, encoder.config.options)
    changes: tuple[str, ...] = ()
    kind = None if encoder.stem == "imagenet" else architectures.refuse(name, encoder.stem)
    if kind == "strided":
        changes = (f"model.{architectures.first_conv(name)}.stride = (1, 1)",)
    if kind == "resnet":
        first = encoder.body.get_submodule("conv1")
        changes = () if encoder.stem == "pooled" else ("model.maxpool = torch.nn.Identity()",)
        if isinstance(first, nn.Conv2d):
            shape = f"{first.in_channels}, {first.out_channels}, 3, 1, {first.padding[0]}"
            changes = (f"model.conv1 = torch.nn.Conv2d({shape}, bias=False)", *changes)
        else:
            changes = ("model.conv1[0].stride = (1, 1)", *changes)
    return Recipe(name, encoder.stem, {"in_chans": encoder.channels, **options}, changes)


def check(encoder: Backbone, how: Recipe) -> None:
    """Raises `ValueError` unless timm's model with these weights gives the same features."""
    theirs = architectures.create(
        how.name, encoder.stem, encoder.size, encoder.channels, encoder.config.options, False
    ).eval()
    wrong = f"{encoder.config.name} has no equal in timm (masquerade export torchvision takes it)"
    if not encoder.config.name.startswith(architectures.TORCHVISION):
        wrong = f"{encoder.config.name} of this version of timm is another model"
    try:
        theirs.load_state_dict(encoder.body.state_dict())
    except RuntimeError as error:
        raise ValueError(f"{wrong}: {str(error).partition(chr(10))[0]}") from None
    shape = (2, encoder.channels, encoder.size, encoder.size)
    images = torch.linspace(-2, 2, 2 * shape[1] * shape[2] * shape[3]).reshape(shape)
    with torch.no_grad():
        ours, given = encoder.eval()(images), theirs(images).flatten(1)
    if ours.shape != given.shape or not torch.allclose(ours, given, rtol=1e-4, atol=1e-5):
        raise ValueError(f"{wrong}: the model called {how.name} there gives other features")


def config(encoder: Backbone, how: Recipe) -> dict[str, Any]:
    """The `config.json` of timm.

    Where timm has no option for the stem, the architecture is given a name timm does not know, so
    that `local-dir:` stops with that name instead of making a model with another stem.
    """
    known = get_pretrained_cfg(how.name)
    return {
        "architecture": f"{how.name}_with_{encoder.stem}_stem" if how.changes else how.name,
        "num_classes": 0,
        "num_features": encoder.dim,
        "model_args": {"num_classes": 0, **how.options},
        "pretrained_cfg": {
            "tag": "masquerade",
            "custom_load": False,
            "input_size": [encoder.channels, encoder.size, encoder.size],
            "fixed_input_size": "img_size" in how.options,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": encoder.mean.flatten().tolist(),
            "std": encoder.std.flatten().tolist(),
            "num_classes": 0,
            "pool_size": None,
            "first_conv": known.first_conv,
            "classifier": known.classifier,
        },
        "masquerade": {
            "architecture": how.name,
            "stem": encoder.stem,
            "changes": list(how.changes),
        },
    }


def loading(how: Recipe) -> str:
    """The Python that loads the folder with plain timm; three lines where timm has the stem."""
    options = "".join(f", {key}={value!r}" for key, value in how.options.items())
    if not how.changes:
        lines = [
            "import timm",
            f'model = timm.create_model("{how.name}", num_classes=0{options}, '
            'checkpoint_path="model.safetensors")',
            "model.eval()",
        ]
        return "\n".join(lines)
    lines = [
        "import timm, torch",
        "from safetensors.torch import load_file",
        f'model = timm.create_model("{how.name}", num_classes=0{options})',
        *how.changes,
        'model.load_state_dict(load_file("model.safetensors"))',
        "model.eval()",
    ]
    return "\n".join(lines)


def use(how: Recipe) -> Use:
    """How the model card says the folder is loaded."""
    also = (
        "timm has no option for this stem, so `local-dir:` and `hf-hub:` cannot make it; the lines "
        "above do."
        if how.changes
        else 'Or, with timm 1.0.16 or later, `timm.create_model("local-dir:PATH", '
        "pretrained=True)`, where PATH is this folder; add `num_classes=N` for a new classifier of "
        "N classes."
    )
    stem = f"{how.name}, {how.stem} stem" if how.changes else f"{how.name}, timm's own architecture"
    return Use(stem, loading(how), also, modelcard.STANDARDISED)
