"""inaturalist: iNaturalist 2021, 2.7 million photographs of 10,000 species, or the mini 500,000.

Van Horn et al., "Benchmarking Representation Learning for Natural World Image Collections", 2021.
https://arxiv.org/abs/2103.16483. Read from the archives as they unpack: one folder per species,
`train/00000_Animalia_Annelida_..._Lumbricus_terrestris/*.jpg`, whose name gives its place in the
tree of life.
"""

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.prepare import decoded
from masquerade.data.sources import imagenet
from masquerade.data.sources.base import Constants, SourceConfig

PLACES = ("inaturalist", "inat2021", "iNat21", "")
FOLDERS = {  # as the archives unpack, and as torchvision renames them
    "train": ("train", "2021_train"),
    "train_mini": ("train_mini", "2021_train_mini"),
    "val": ("val", "2021_valid"),
}
LEVELS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
ADVICE = (
    "Get train.tar.gz (224 GB) or train_mini.tar.gz (42 GB), and val.tar.gz (8.4 GB) from "
    "https://github.com/visipedia/inat_comp/tree/master/2021 and unpack them into one folder."
)


class Config(SourceConfig):
    """Settings of iNaturalist 2021.

    Attributes:
        root: The folder that holds train, train_mini and val, or a folder inaturalist with these.
        level: What the labels are: one of 10,000 species, or a coarser level of the tree of life.
        strict: Stop where a file cannot be used, instead of skipping it.
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. Smaller images stay as they are.
    """

    root: str = "data"
    level: Literal["kingdom", "phylum", "class", "order", "family", "genus", "species"] = "species"
    strict: bool = False
    store: int = Field(0, ge=0)

    def splits(self) -> tuple[str, ...]:
        """Those of train, train_mini and val that lie there.

        Raises:
            MissingData: None does.
        """
        there = tuple(split for split in FOLDERS if self._folder(split))
        if not there:
            looked = ", ".join(str(p / FOLDERS["train"][0]) for p in self._places())
            raise MissingData(
                f"no species folders such as 00000_Animalia_..._terrestris in any of {looked}. "
                f"{ADVICE} Say where they are with data.root=FOLDER; or try data=toybox, which "
                "needs no download"
            )
        return there

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache."""
        self.known(split)
        folder = self._folder(split)
        assert folder is not None
        species = leaves(folder)
        files, place, passed = imagenet.inside(folder, species)
        depth = LEVELS.index(self.level) + 1
        taxa = [tuple(name.split("_")[1 : depth + 1]) for name in species]
        order = {taxon: i for i, taxon in enumerate(dict.fromkeys(taxa))}
        label = np.array([order[taxon] for taxon in taxa], np.int64)[place]
        plan = Plan("rgb", self.store or max(96, 2 * size))
        made = decoded(f"inaturalist {split}", files, plan, self.strict, passed)
        return made.images.labelled(label[made.kept], named(tuple(order)))

    def normalise(self) -> Constants:
        """Those of ImageNet, as everyone uses."""
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def _places(self) -> list[Path]:
        return [Path(self.root).expanduser() / place for place in PLACES]

    def _folder(self, split: str) -> Path | None:
        folders = [place / name for place in self._places() for name in FOLDERS[split]]
        return next((f for f in folders if f.is_dir() and leaves(f)), None)


def leaves(folder: Path) -> tuple[str, ...]:
    """The species folders, in the order of their numbers."""
    names = (p.name for p in folder.iterdir() if p.name.count("_") == len(LEVELS))
    return tuple(sorted(n for n in names if n[:5].isdigit() and n[5] == "_"))


def named(taxa: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """A taxon's own name, a species' with its genus; with what it belongs to where two share it."""
    own = [" ".join(t[-2:]) if len(t) == len(LEVELS) else t[-1] for t in taxa]
    count = Counter(own)
    return tuple(
        name if count[name] == 1 else f"{name} ({' '.join(t[:-1])})"
        for name, t in zip(own, taxa, strict=True)
    )
