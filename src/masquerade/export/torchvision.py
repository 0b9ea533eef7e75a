"""An encoder for people who have torchvision and not masquerade: weights under torchvision's names.

`model.safetensors` and a model card. For backbones called `torchvision:NAME`, which torchvision
itself made; so the lines of the card make the same model again.
"""

from pathlib import Path

from safetensors.torch import save
from torch import nn
from torchvision.models import get_model

from masquerade.core.rundir import RunDir
from masquerade.export import modelcard, weights
from masquerade.export.modelcard import Use
from masquerade.networks import architectures, encoder_file
from masquerade.networks.backbone import Backbone


def export(run: RunDir, out: Path, licence: str = "") -> Path:
    """Write the encoder of a run for plain torchvision.

    Args:
        run: A finished run.
        out: The folder to write; files of an earlier export in it are replaced.
        licence: Of the weights, for the model card; empty says that none is set.

    Raises:
        MissingData: The run has no encoder yet.
        ValueError: The backbone is not one of torchvision, or `out` is a file.
    """
    weights.folder(out)
    encoder = encoder_file.load(run.path)
    if not encoder.config.name.startswith(architectures.TORCHVISION):
        raise ValueError(
            f"{encoder.config.name} is a model of timm: masquerade export timm {run.path} writes it"
        )
    target = RunDir(out)
    content = save(encoder_file.plain(encoder.body), {"format": "pt"})
    target.write("model.safetensors", lambda file: file.write(content))
    target.write_text("README.md", modelcard.text(run, use(encoder), licence, FRONT))
    return out


FRONT = "tags: [torchvision, image-feature-extraction, self-supervised, masquerade]\n"


def use(encoder: Backbone) -> Use:
    """How the model card says the folder is loaded."""
    name = encoder.config.name.removeprefix(architectures.TORCHVISION)
    options = architectures.fitted(
        encoder.config.name, encoder.stem, encoder.size, encoder.config.options
    )
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    lines = [
        "import torch, torchvision",
        "from safetensors.torch import load_file",
        f'model = torchvision.models.get_model("{name}", weights=None{given})',
        *changes(encoder, get_model(name, weights=None, **options)),
        'model.load_state_dict(load_file("model.safetensors"))',
        "model.eval()",
    ]
    what = f"{name} of torchvision, {encoder.stem} stem"
    return Use(what, "\n".join(lines), "", modelcard.STANDARDISED)


def changes(encoder: Backbone, plain: nn.Module) -> list[str]:
    """Lines that turn torchvision's model into the encoder: no classifier, its first layers."""
    last = [n for n, m in plain.named_modules() if isinstance(m, nn.Linear)][-1]
    found = [f'model.set_submodule("{last}", torch.nn.Identity())']
    first, conv = next((n, m) for n, m in encoder.body.named_modules() if isinstance(m, nn.Conv2d))
    if encoder.stem != "imagenet" or encoder.channels != 3:
        shape = (
            f"{conv.in_channels}, {conv.out_channels}, {conv.kernel_size}, {conv.stride}, "
            f"{conv.padding}, bias={conv.bias is not None}"
        )
        found.append(f'model.set_submodule("{first}", torch.nn.Conv2d({shape}))')
    if encoder.stem in ("small", "adios"):
        found.append("model.maxpool = torch.nn.Identity()")
    return found
