"""Where the rounds of a search lie: one file of tensors and one of numbers each, written whole."""

import time
from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from masquerade.core.errors import CannotResume
from masquerade.core.rundir import RunDir
from masquerade.tickets.base import Bookmark, Snapshot, Trained

MARK = "bookmark.pt"


class Shelf:
    """Keeps nothing: a search in memory."""

    def trained(self, number: int) -> Trained | None:
        """A round that is done, None where it is not."""
        return None

    def keep(
        self, number: int, start: Float[Tensor, " P"], kept: Bool[Tensor, " P"], trained: Trained
    ) -> None:
        """Take a round that is done."""
        return

    def bookmark(self, number: int) -> Bookmark:
        """Where the training of a round leaves its state."""
        return Bookmark()


class Folder(Shelf):
    """Keeps rounds as files of a folder.

    Attributes:
        folder: Where they lie.
    """

    def __init__(
        self,
        folder: RunDir,
        device: torch.device,
        *,
        writes: bool = True,
        seconds: float = 20.0,
        wish: Callable[[], bool] = lambda: False,
        stopped: Callable[[str], None] = lambda where: None,
    ) -> None:
        """Takes a folder, and what is asked on the way.

        Args:
            folder: Where rounds are kept.
            device: Where tensors that are read are moved to.
            writes: False in all processes but the first.
            seconds: The least time between two bookmarks.
            wish: Whether somebody asks to stop; asked after every generation or epoch.
            stopped: Called with a place in words once the bookmark for a wish is written.
        """
        self.folder = folder
        self._device = device
        self._writes = writes
        self._seconds = seconds
        self._wish = wish
        self._stopped = stopped

    def trained(self, number: int) -> Trained | None:
        """A round that is done, read back."""
        if not self.folder.has(f"{number:02}.json"):
            return None
        numbers = self.folder.read_json(f"{number:02}.json")
        tensors = self.tensors(number)
        moments = {name: snapshot(tensors, name, numbers[name]) for name in ("final", "best")}
        curve = tuple((int(at), float(score)) for at, score in numbers["curve"])
        return Trained(moments["final"], moments["best"], curve)

    def tensors(self, number: int) -> dict[str, Tensor]:
        """Everything of a round that is a tensor: `start`, `kept`, `final/weights`, ...

        Raises:
            CannotResume: The file is damaged or not there.
        """
        place = self.folder.path / f"{number:02}.safetensors"
        try:
            found = safetensors.torch.load_file(place)
        except (OSError, safetensors.SafetensorError) as error:
            raise CannotResume(
                f"{place} cannot be read ({error}). Delete {place.with_suffix('.json')} to train "
                "this round again"
            ) from None
        return {name: tensor.to(self._device) for name, tensor in found.items()}

    def keep(
        self, number: int, start: Float[Tensor, " P"], kept: Bool[Tensor, " P"], trained: Trained
    ) -> None:
        """Write a round: tensors first, numbers last, so that a kill leaves it done or not."""
        if not self._writes:
            return
        tensors = {"start": start, "kept": kept}
        for name, moment in (("final", trained.final), ("best", trained.best)):
            tensors |= {f"{name}/weights": moment.weights}
            tensors |= {} if moment.spread is None else {f"{name}/spread": moment.spread}
            tensors |= {f"{name}/memory/{k}": v for k, v in moment.memory.items()}
        whole = safetensors.torch.save(
            {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
        )
        self.folder.write(f"{number:02}.safetensors", lambda out: out.write(whole))
        numbers = {"final": trained.final.test, "best": trained.best.test, "curve": trained.curve}
        self.folder.write_json(f"{number:02}.json", {**numbers, "kept": int(kept.sum())})
        (self.folder.path / MARK).unlink(missing_ok=True)

    def bookmark(self, number: int) -> Bookmark:
        """A file that holds the state of this round until it is done."""
        return Mark(self, number)


class Mark(Bookmark):
    """A bookmark in a folder.

    Attributes:
        number: The round it belongs to.
    """

    def __init__(self, shelf: Folder, number: int) -> None:
        self.number = number
        self._shelf = shelf
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state of this round; that of an earlier one is not read."""
        place = self._shelf.folder.path / MARK
        if not place.exists():
            return None
        try:
            found = torch.load(place, map_location=self._shelf._device, weights_only=True)
        except (RuntimeError, EOFError) as error:
            raise CannotResume(f"{place} cannot be read ({error}). Delete it to go on") from error
        return dict(found["state"]) if found["number"] == self.number else None

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write a state if it is time, or if somebody asks to stop."""
        shelf = self._shelf
        wish = shelf._wish()
        if not wish and time.monotonic() - self._last < shelf._seconds:
            return
        if shelf._writes:
            content = {"number": self.number, "state": state()}
            shelf.folder.write(MARK, lambda out: torch.save(content, out))
        self._last = time.monotonic()
        if wish:
            shelf._stopped(f"round {self.number}")


def snapshot(tensors: dict[str, Tensor], name: str, test: float) -> Snapshot:
    """One moment of a round from its tensors."""
    memory = {
        key.removeprefix(f"{name}/memory/"): value
        for key, value in tensors.items()
        if key.startswith(f"{name}/memory/")
    }
    return Snapshot(tensors[f"{name}/weights"], tensors.get(f"{name}/spread"), memory, test)
