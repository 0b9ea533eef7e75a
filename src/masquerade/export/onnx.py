"""An encoder for any program that runs ONNX: pixels in [0, 1] in, features out.

Mean and deviation are inside, so nobody has to know them. The batch may have any size, the images
are as large as the training's. What was written is run by onnxruntime beside PyTorch before it
takes its place; a difference above 1e-4 refuses it.
"""

import importlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from masquerade.core.errors import MasqueradeError
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.export import modelcard, weights
from masquerade.export.modelcard import Use
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone

FILE = "model.onnx"
CLOSE = 1e-4
LARGEST = 2 * 1024**3 - 2**20  # bytes of weights; a file of protobuf ends at 2 GiB
NEEDED = ("onnx", "onnxscript", "onnxruntime")
CODE = f"""\
import numpy, onnxruntime
session = onnxruntime.InferenceSession("{FILE}", providers=["CPUExecutionProvider"])
features = session.run(None, {{"pixels": images}})[0]"""
ALSO = (
    "`images` is a float32 array [N, {channels}, {size}, {size}] with values from 0 to 1, N as you "
    "like. Mean and standard deviation are inside the file."
)


class FromPixels(nn.Module):
    """An encoder that takes images in [0, 1]."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D"]:
        """The features."""
        return self.encoder.from_pixels(pixels)


def export(run: RunDir, out: Path, licence: str = "") -> Path:
    """Write the encoder of a run as an ONNX file with a model card.

    Args:
        run: A finished run.
        out: The folder to write; files of an earlier export in it are replaced.
        licence: Of the weights, for the model card; empty says that none is set.

    Raises:
        MissingData: The run has no encoder yet.
        MasqueradeError: The extra `onnx` is not installed.
        ValueError: The model cannot be written, or gives other features, or `out` is a file.
    """
    weights.folder(out)
    available()
    encoder = encoder_file.load(run.path)
    heavy = sum(p.numel() * p.element_size() for p in encoder.state_dict().values())
    if heavy > LARGEST:
        raise ValueError(f"the weights are {heavy / 1e9:.1f} GB, and an ONNX file ends at 2 GiB")
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / FILE
        drawn(encoder, draft)
        check(encoder, draft)
        content = draft.read_bytes()
    target = RunDir(out)
    target.write(FILE, lambda file: file.write(content))
    also = ALSO.format(channels=encoder.channels, size=encoder.size)
    use = Use(f"{encoder.config.name}, {encoder.stem} stem, as ONNX", CODE, also, "")
    front = "tags: [onnx, image-feature-extraction, self-supervised, masquerade]\n"
    target.write_text("README.md", modelcard.text(run, use, licence, front))
    return out


def available() -> None:
    """Raises `MasqueradeError` where a package of the extra is missing."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            raise MasqueradeError(
                f"ONNX needs the package {name}: pip install 'masquerade[onnx]'. Without it, "
                "masquerade export timm writes the encoder for plain timm"
            ) from None


def drawn(encoder: Backbone, place: Path) -> None:
    """Write the graph of an encoder."""
    image = torch.full((2, encoder.channels, encoder.size, encoder.size), 0.5)
    with quiet():
        try:
            torch.onnx.export(
                FromPixels(encoder).eval(),
                (image,),
                place,
                input_names=["pixels"],
                output_names=["features"],
                dynamic_shapes=({0: "batch"},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            first = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"{encoder.config.name} cannot be written as ONNX: {first}. masquerade export "
                "timm writes it for plain timm"
            ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the exporter's own remarks away; what is wrong with a file is found by running it."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            log.setLevel(level)


def check(encoder: Backbone, place: Path) -> None:
    """Raises `ValueError` unless onnxruntime and PyTorch agree, for one image and for several."""
    import onnxruntime  # an extra

    session: Any = onnxruntime.InferenceSession(str(place), providers=["CPUExecutionProvider"])
    shape = (3, encoder.channels, encoder.size, encoder.size)
    images = torch.rand(shape, generator=Seed(0).fold("onnx").generator())
    with torch.no_grad():
        ours = encoder.eval().from_pixels(images)
    for count in (1, 3):
        given = session.run(None, {"pixels": images[:count].numpy()})[0]
        far = (torch.from_numpy(given) - ours[:count]).abs()
        worst = (far / ours[:count].abs().clamp(min=1)).max().item()
        if not worst <= CLOSE:  # nan is refused too
            raise ValueError(
                f"the ONNX file of {encoder.config.name} gives other features than PyTorch: off by "
                f"{worst:.2g} where {CLOSE:g} is allowed. Nothing was written"
            )
