"""backgrounds: ImageNet-9, nine classes with their backgrounds kept, swapped or taken away.

Xiao et al., "Noise or Signal: The Role of Image Backgrounds in Object Recognition", 2020.
https://arxiv.org/abs/2006.09994. Read from bg_challenge as the archive unpacks:
`bg_challenge/mixed_rand/val/00_dog/*.JPEG` and so on. Each variant is a split. `train` is that of
`original`, which comes in an archive of its own (IN-9L, 45,405 images).
"""

import re
from pathlib import Path

import numpy as np
from pydantic import Field

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.prepare import decoded
from masquerade.data.sources import imagenet
from masquerade.data.sources.base import Constants, SourceConfig

PLACES = ("bg_challenge", "backgrounds/bg_challenge", "backgrounds", "imagenet9", "")
TRAIN = "original/train"
VARIANTS = (
    *("original", "mixed_same", "mixed_rand", "mixed_next"),
    *("only_fg", "no_fg", "only_bg_b", "only_bg_t"),
)
CLASSES = (
    *("dog", "bird", "wheeled vehicle", "reptile", "carnivore", "insect"),
    *("musical instrument", "primate", "fish"),
)
NUMBERED = re.compile(r"(\d\d)_")
ADVICE = (
    "Get backgrounds_challenge_data.tar.gz (and original.tar.gz for training) from "
    "https://github.com/MadryLab/backgrounds_challenge/releases and unpack it."
)


class Config(SourceConfig):
    """Settings of ImageNet-9.

    Attributes:
        root: The folder that holds bg_challenge, or bg_challenge itself.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are; all of this set have 224.
    """

    root: str = "data"
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """Train, and the variants, of those that lie there.

        Raises:
            MissingData: None does.
        """
        there = tuple(s for s in ("train", *VARIANTS) if self._folder(s))
        if not there:
            looked = ", ".join(str(p) for p in self._places())
            raise MissingData(
                f"no original/val/00_dog, mixed_rand/val/00_dog, ... in any of {looked}. {ADVICE} "
                "Then say where it is with data.root=FOLDER; or try data=toybox, which needs no "
                "download"
            )
        return there

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache."""
        self.known(split)
        folder = self._folder(split)
        assert folder is not None
        kinds = numbered(folder)
        if sorted(kinds) != list(range(len(CLASSES))):
            missing = [n for i, n in enumerate(CLASSES) if i not in kinds]
            raise MissingData(
                f"{folder} must hold the folders 00_dog to 08_fish; "
                f"missing: {', '.join(missing) or 'none'}, "
                f"unknown: {', '.join(kinds[k] for k in kinds if k >= len(CLASSES)) or 'none'}. "
                f"{ADVICE}"
            )
        names = tuple(kinds[k] for k in range(len(CLASSES)))
        files, label, passed = imagenet.inside(folder, names)
        plan = Plan("rgb", self.store or max(96, 2 * size))
        made = decoded(f"backgrounds {split}", files, plan, self.strict, passed)
        return made.images.labelled(np.array(label[made.kept], np.int64), CLASSES)

    def normalise(self) -> Constants:
        """Those of ImageNet, as everyone uses."""
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def _places(self) -> list[Path]:
        return [Path(self.root).expanduser() / place for place in PLACES]

    def _folder(self, split: str) -> Path | None:
        below = TRAIN if split == "train" else f"{split}/val"
        folders = [place / below for place in self._places()]
        return next((f for f in folders if f.is_dir() and numbered(f)), None)


def numbered(folder: Path) -> dict[int, str]:
    """The class folders by the number they begin with."""
    found = sorted(p.name for p in folder.iterdir() if p.is_dir())
    return {int(m.group(1)): name for name in found if (m := NUMBERED.match(name))}
