"""folder: any folder of images; class folders and train/val/test folders are understood.

- `train`, `val` (`valid`, `validation`) and `test` folders that hold all images are the splits.
- Images that all lie in two or more first-level folders (of the split) are labelled by them.
- Labelled, without parts: a share of each class is held out as "test", so that an evaluation has
  images the encoder never saw. Which ones depends on the files' contents only; equal files fall
  on one side. Pretraining may still use "all", at the price that a later evaluation on "test" is
  of images seen (without labels) in training.
- Unlabelled, without parts: one split, "all".
"""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from masquerade.core.errors import WrongPath
from masquerade.data.arrange import Arranged, arranged
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.listing import shown
from masquerade.data.prepare import decoded, part
from masquerade.data.raster import Channels
from masquerade.data.sources.base import SourceConfig
from masquerade.data.stored import File


class Config(SourceConfig):
    """Settings of a folder.

    Attributes:
        path: The folder.
        channels: "rgb", "grey", or "keep": as many channels and bits (8 or 16) as the files have.
        labels: "folders" reads class folders where there are any, "none" ignores them.
        holdout: Share of each class held out as "test" where the folder has no parts; 0 holds
            nothing out.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are.
    """

    path: str
    channels: Channels = "rgb"
    labels: Literal["folders", "none"] = "folders"
    holdout: float = Field(0.2, ge=0, le=0.9)
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """The parts, or train and a held-out test where there are labels; then "all"."""
        return self._splits(self._arranged())

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache."""
        found = self._arranged()
        if split not in self._splits(found):
            have = ", ".join(self._splits(found))
            raise ValueError(f"{self.path} has no split {split!r}; it has: {have}")
        wanted = found.parts.get(split, found.files)
        name = f"{found.root.name} {split}" if split in found.parts else found.root.name
        plan = Plan(self.channels, self.store or max(96, 2 * size))
        files = [File(found.root / f, shown(f)) for f in wanted]
        made = decoded(name, files, plan, self.strict, found.findings)
        label = np.array([found.label.get(wanted[i], -1) for i in made.kept], np.int64)
        images = made.images.labelled(label, found.classes) if found.classes else made.images
        if split == "all" or found.parts:
            return images
        return part(images, made.contents, split, self.holdout)

    def _splits(self, found: Arranged) -> tuple[str, ...]:
        if found.parts:
            return (*found.parts, "all")
        return ("train", "test", "all") if found.classes and self.holdout else ("all",)

    def _arranged(self) -> Arranged:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            if root.is_file():
                raise WrongPath(
                    f"{self.path} is a file, not a folder of images. Name the folder it lies in; "
                    "single images are named in a .txt file, one path per line"
                )
            raise WrongPath(
                f"there is no folder {self.path} (looked from {Path.cwd()}). Name a folder of "
                "images, or try data=toybox"
            )
        return arranged(root.resolve(), self.labels == "folders")
