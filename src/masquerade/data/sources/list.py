"""list: a text file with one image path per line, and perhaps a label after a tab.

Paths are relative to the file's folder. Labels are any words; numbers are ordered as numbers. A
labelled list is split like a folder without a test part: see folder.
"""

from pathlib import Path

import numpy as np
from pydantic import Field

from masquerade.core.errors import WrongPath
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.listing import shown
from masquerade.data.prepare import decoded, part
from masquerade.data.raster import Channels
from masquerade.data.sources.base import SourceConfig
from masquerade.data.stored import File


class Config(SourceConfig):
    """Settings of a list file.

    Attributes:
        path: The text file, UTF-8.
        channels: "rgb", "grey", or "keep": as many channels and bits (8 or 16) as the files have.
        holdout: Share of each class held out as "test"; 0 holds nothing out.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are.
    """

    path: str
    channels: Channels = "rgb"
    holdout: float = Field(0.2, ge=0, le=0.9)
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """Train and a held-out test where there are labels; then "all"."""
        _, words = self._lines()
        return ("train", "test", "all") if self.holdout and several(words) else ("all",)

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the listed images, or maps them from the cache."""
        self.known(split)
        files, words = self._lines()
        plan = Plan(self.channels, self.store or max(96, 2 * size))
        made = decoded(Path(self.path).name, files, plan, self.strict)
        images = made.images
        classes = several(words)
        if classes:
            number = {word: i for i, word in enumerate(classes)}
            label = np.array([number.get(words[i], -1) for i in made.kept], np.int64)
            images = images.labelled(label, classes)
        return images if split == "all" else part(images, made.contents, split, self.holdout)

    def _lines(self) -> tuple[list[File], list[str]]:
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise WrongPath(
                f"there is no list {self.path} (looked from {Path.cwd()}). A list has one image "
                "path per line; or try data=toybox"
            )
        pairs = read(path)
        return [file for file, _ in pairs], [label for _, label in pairs]


def read(path: Path) -> list[tuple[File, str]]:
    """The lines of a list as (file, label), "" where there is no label.

    Raises:
        ValueError: It is no text file.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}") from None
    pairs = [line.partition("\t") for line in lines if line.strip()]
    return [
        (File(path.parent / Path(p).expanduser(), shown(p)), label.strip()) for p, _, label in pairs
    ]


def several(words: list[str]) -> tuple[str, ...]:
    """The classes among labels, in order; () where there are fewer than two."""
    found = {word for word in words if word}
    if len(found) < 2:
        return ()
    numbers = all(word.lstrip("-").isdigit() for word in found)
    return tuple(sorted(found, key=int) if numbers else sorted(found))
