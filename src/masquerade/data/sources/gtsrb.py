"""gtsrb: 39,209 + 12,630 photographs of 43 German traffic signs, 15 to 250 pixels.

Stallkamp et al., "Man vs. computer: Benchmarking machine learning algorithms for traffic sign
recognition", 2012. https://benchmark.ini.rub.de. Read as the archives unpack, and as torchvision
leaves them (whose training part is an earlier one of 26,640 images).
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from masquerade.core.errors import MissingData
from masquerade.data.decode import Plan
from masquerade.data.images import ImageSet
from masquerade.data.prepare import decoded
from masquerade.data.sources.base import SourceConfig
from masquerade.data.stored import File

PLACES = ("", "gtsrb", "GTSRB", "gtsrb/GTSRB")
TRAIN = ("Final_Training/Images", "Training")
TEST = "Final_Test/Images"
ANSWERS = ("GT-final_test.csv", "Final_Test/Images/GT-final_test.csv", "../GT-final_test.csv")
ADVICE = (
    "Get GTSRB_Final_Training_Images.zip, GTSRB_Final_Test_Images.zip and "
    "GTSRB_Final_Test_GT.zip from https://benchmark.ini.rub.de and unpack them into one folder."
)
# fmt: off
CLASSES = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70",
    "speed limit 80", "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing",
    "no passing for lorries", "right of way at the crossing", "priority road", "give way", "stop",
    "no vehicles", "no lorries", "no entry", "danger", "bend to the left", "bend to the right",
    "double bend", "uneven road", "slippery road", "road narrows on the right", "road works",
    "traffic lights", "pedestrians", "children", "bicycles", "ice or snow", "wild animals",
    "end of all limits", "turn right ahead", "turn left ahead", "straight ahead",
    "straight ahead or right", "straight ahead or left", "keep right", "keep left", "roundabout",
    "end of no passing", "end of no passing for lorries",
)
# fmt: on


class Listed(NamedTuple):
    """One image file and its class."""

    path: Path
    label: int


class Config(SourceConfig):
    """Settings of the traffic signs.

    Attributes:
        root: The folder the archives were unpacked into, or one above it.
    """

    root: str = "data"

    def splits(self) -> tuple[str, ...]:
        """Train (39,209, or 26,640 from torchvision), test (12,630)."""
        return ("train", "test")

    def load(self, split: str, size: int) -> ImageSet:
        """Decodes the split, or maps it from the cache; images keep their size on one canvas."""
        self.known(split)
        listed = self._train() if split == "train" else self._test()
        files = [File(one.path, f"{one.path.parent.name}/{one.path.name}") for one in listed]
        made = decoded(f"gtsrb {split}", files, Plan("rgb", 0), strict=True)
        label = np.array([listed[i].label for i in made.kept], np.int64)
        return made.images.labelled(label, CLASSES)

    def _train(self) -> list[Listed]:
        for folder in self._folders():
            for part in TRAIN:
                if (folder / part / "00000").is_dir():
                    return [
                        Listed(path, label)
                        for label in range(len(CLASSES))
                        for path in sorted((folder / part / f"{label:05d}").glob("*.ppm"))
                    ]
        raise self._missing(f"{TRAIN[0]}/00000")

    def _test(self) -> list[Listed]:
        for folder in self._folders():
            if not (folder / TEST).is_dir():
                continue
            for name in ANSWERS:
                if (folder / name).is_file():
                    return answers(folder / name, folder / TEST)
            raise MissingData(
                f"{folder / TEST} has no classes: GT-final_test.csv is missing. {ADVICE}"
            )
        raise self._missing(TEST)

    def _folders(self) -> list[Path]:
        return [Path(self.root).expanduser() / place for place in PLACES]

    def _missing(self, what: str) -> MissingData:
        looked = ", ".join(str(p) for p in self._folders())
        return MissingData(
            f"no {what} in any of {looked}. {ADVICE} Say where it is with data.root=FOLDER; or "
            "try data=toybox, which needs no download"
        )


def answers(table: Path, folder: Path) -> list[Listed]:
    """The test images in the order of their table: `Filename;...;ClassId`.

    Raises:
        ValueError: It is another table.
    """
    with table.open(newline="", encoding="ascii") as text:
        rows = list(csv.DictReader(text, delimiter=";"))
    try:
        return [Listed(folder / row["Filename"], int(row["ClassId"])) for row in rows]
    except (KeyError, ValueError, TypeError):
        raise ValueError(
            f"{table} is not the table with the classes: it needs columns Filename and ClassId. "
            "The one that comes with the test images has none; get GTSRB_Final_Test_GT.zip"
        ) from None
