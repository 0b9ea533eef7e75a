"""What every image source is: settings that load a split as an ImageSet."""

import re
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from masquerade.core import plugins
from masquerade.core.config import Plug
from masquerade.core.errors import MissingData
from masquerade.data.images import ImageSet

Constants = tuple[tuple[float, ...], tuple[float, ...]]
SUFFIXES = {
    **{".txt": "list", ".npy": "arrays", ".npz": "arrays"},
    **{".tar": "shards", ".parquet": "shards"},
}


class SourceConfig(Plug):
    """Base of the settings of all sources."""

    family: ClassVar[str] = "masquerade.data.sources"
    noun: ClassVar[str] = "image source or folder"

    @classmethod
    def shorthand(cls, text: str) -> Any:
        """A source's name, or a path: a folder, a list (.txt), an array (.npy, .npz) or shards.

        The name of a source always means the source, whatever lies in the current folder. Else a
        word is a path if it has a separator, starts with "." or "~", ends like a list or an
        array, or exists.
        """
        if text in plugins.names(cls.family):
            return {"kind": text}
        path = Path(text).expanduser()
        kind = SUFFIXES.get(path.suffix.lower())
        if re.search(r"[/\\]|^[.~]", text) or kind or path.exists():
            return {"kind": "folder" if kind is None or path.is_dir() else kind, "path": text}
        return {"kind": text}

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names that `load` takes; pretraining uses the first unless told otherwise.

        Raises:
            MissingData: The set is not where it was looked for.
        """

    @abstractmethod
    def load(self, split: str, size: int) -> ImageSet:
        """The images of a split.

        Args:
            split: One of `splits()`.
            size: Side of the square the training will see, in pixels. Sources of files shrink
                larger images when they cache them; sets of one resolution ignore it.

        Raises:
            MissingData: The set is not there; the text says where to get it.
            BadImages: Images cannot be used and `strict` is set.
            ValueError: There is no such split.
        """

    def normalise(self) -> Constants | None:
        """Published mean and std per channel in 0..1, where a paper's figures depend on them."""
        return None

    def known(self, split: str) -> None:
        """Refuses a split the source does not have."""
        if split not in self.splits():
            have = ", ".join(self.splits())
            raise ValueError(f"{self.kind} has no split {split!r}; it has: {have}")


def found(root: str, names: tuple[str, ...], needed: str, advice: str) -> Path:
    """The first of some folders that holds a file.

    Args:
        root: Where the user keeps data; "~" is understood.
        names: Folders below it, or absolute ones, in the order they are tried.
        needed: The file that shows that the set is there.
        advice: Where to get the set, as a sentence.

    Raises:
        MissingData: None does.
    """
    places = [Path(root).expanduser() / name for name in names]
    for place in places:
        if (place / needed).is_file():
            return place
    looked = ", ".join(str(p) for p in places)
    raise MissingData(
        f"no {needed} in any of {looked}. {advice} Then put it there, or say where it is with "
        "data.root=FOLDER; or try data=toybox, which needs no download"
    )
