"""What a run left in its folder, read back; a file that is damaged is told in a sentence."""

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.engine.meter import METRICS
from masquerade.jobs.settings import Pretrain
from masquerade.networks import encoder_file
from masquerade.networks.backbone import Backbone

HEADS = "heads.safetensors"


def settings(folder: RunDir) -> Pretrain:
    """What a run was, or is being, trained with.

    Raises:
        MissingData: There is no config.json, or it holds no settings of this version.
    """
    tree = folder.read_json("config.json")
    try:
        return Pretrain.parse(tree)
    except ValueError as error:
        raise MissingData(f"{folder.path / 'config.json'} cannot be used: {error}") from None


def encoder(folder: RunDir) -> Backbone:
    """The trained encoder, on the CPU, in evaluation mode.

    Raises:
        MissingData: The run is not finished, or a file is damaged.
    """
    complete(folder)
    try:
        return encoder_file.load(folder.path)
    except ValueError as error:
        raise MissingData(str(error)) from None


def heads(folder: RunDir) -> dict[str, Tensor]:
    """Every trained tensor besides the encoder's: `objective.*`, `maskers.0.*`, `probe.*`.

    Raises:
        MissingData: The run is not finished, or the file is damaged.
    """
    complete(folder)
    place = folder.path / HEADS
    try:
        return load_file(place)
    except FileNotFoundError:
        raise MissingData(f"{folder.path} holds no {HEADS}; it was lost, or never copied") from None
    except SafetensorError as error:
        raise MissingData(f"{place} is not a whole .safetensors file: {error}") from None


def complete(folder: RunDir) -> None:
    """Raises `MissingData` with a way on where training has not ended."""
    if folder.has(encoder_file.CARD):
        return
    steps = [row["step"] + 1 for row in folder.lines(METRICS) if "step" in row]
    done = f"it was trained for {steps[-1]} steps" if steps else "its training has not begun"
    raise MissingData(
        f"{folder.path} is not finished: {done}. masquerade pretrain {folder.path} goes on with it"
    )
