"""Backgrounds challenge: variants by their folders, classes by name or by the released table."""

import json

import numpy as np
import pytest
from PIL import Image

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.data.sources import backgrounds as source
from masquerade.evaluate.backgrounds import Config
from masquerade.evaluate.frozen import Frozen, Pixels

NINE = source.CLASSES
FROZEN = Frozen(Pixels(), 8, (0.5,) * 3, (0.25,) * 3)


def coloured(group: int) -> np.ndarray:
    """A flat picture whose colour is the class."""
    return np.full((8, 8, 3), (group * 28, 255 - group * 28, (group % 3) * 100), np.uint8)


def release(root, variants) -> None:
    """Two pictures of each class; `variants` says whose colour each class has there."""
    for name, shift in variants.items():
        for i, group in enumerate(NINE):
            folder = root / "bg_challenge" / name / "val" / f"0{i}_{group}"
            folder.mkdir(parents=True)
            for k in range(2):
                shown = coloured((i + shift * k) % 9)  # the second picture is of another class
                Image.fromarray(shown).save(folder / f"{k}.png")


def trained(classes=NINE, files=None) -> ImageSet:
    pixels = np.stack([coloured(i) for i in range(9) for _ in range(4)])
    return ImageSet(
        "nine",
        pixels,
        targets={"label": np.repeat(np.arange(9), 4)},
        classes=classes,
        files=tuple(files or (str(i) for i in range(36))),
    )


def test_the_gap_is_what_random_backgrounds_cost(tmp_path):
    release(tmp_path, {"original": 0, "mixed_same": 0, "mixed_rand": 1})
    config = Config(root=str(tmp_path), variants=("original", "mixed_same", "mixed_rand"))
    found = config.build().run(FROZEN, trained(), {}, Seed(0))
    assert found.metrics == {
        "original/top1": 1.0,
        "mixed_same/top1": 1.0,
        "mixed_rand/top1": 0.5,
        "bg/gap": 0.5,
    }
    assert "18 images of each variant" in found.notes[-1]


def test_imagenet_s_classes_are_mapped_by_the_released_table(tmp_path):
    from timm.data import ImageNetInfo

    wnids = sorted(ImageNetInfo().label_names())
    picked = [100 * i for i in range(9)]
    release(tmp_path, {"original": 0})
    table = {str(i): -1 for i in range(1000)} | {str(p): i for i, p in enumerate(picked)}
    table["800"] = -1  # the last class is none of the nine
    (tmp_path / "in_to_in9.json").write_text(json.dumps(table))
    names = tuple(f"name of {p}" for p in picked)
    files = [f"train/{wnids[p]}/{k}.JPEG" for p in picked for k in range(4)]
    config = Config(
        root=str(tmp_path), variants=("original",), mapping=str(tmp_path / "in_to_in9.json")
    )
    found = config.build().run(FROZEN, trained(names, files), {}, Seed(0))
    assert found.metrics == {"original/top1": pytest.approx(8 / 9)}
    with pytest.raises(ValueError, match=r"mapping=in_to_in9\.json"):
        config.replace(mapping="").build().run(FROZEN, trained(names, files), {}, Seed(0))
    with pytest.raises(MissingData, match="lies beside the released code"):
        config.replace(mapping="none.json").build().run(FROZEN, trained(names, files), {}, Seed(0))


def test_what_is_missing_is_answered(tmp_path):
    with pytest.raises(MissingData, match="backgrounds_challenge_data"):
        Config(root=str(tmp_path)).build().run(FROZEN, trained(), {}, Seed(0))
    with pytest.raises(ValueError, match="no variant"):
        Config(variants=("foggy",))
    release(tmp_path, {"original": 0})
    with pytest.raises((MissingData, ValueError), match="mixed_same"):
        Config(root=str(tmp_path)).build().run(FROZEN, trained(), {}, Seed(0))
