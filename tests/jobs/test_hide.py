"""Masks of any images as files: their geometry, what they mean, and whose folder they may take."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.jobs.small import MASKED, PLAIN

from masquerade.core.errors import BadImages, CannotResume, MissingData, WrongPath
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.jobs import hide, maskfolder, painting, pretrain
from masquerade.jobs.given import looked_up
from masquerade.jobs.masks import maskers
from masquerade.maskers import erase
from masquerade.maskers.base import Masker
from masquerade.maskers.pixels import FromPixels, exclusive

SQUARE, WIDE = (32, 32), (90, 40)  # width, height


class Left(Masker):
    """Hides the left half, and what is bright."""

    def propose(self, images: torch.Tensor, seed: Seed) -> torch.Tensor:
        half = torch.zeros_like(images[:, 0])
        half[..., : images.shape[3] // 2] = 1
        return torch.stack([half, (images[:, 0] > 0).float()], 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    place = tmp_path_factory.mktemp("runs") / "a"
    return pretrain.run(MASKED.replace(epochs=1), place, quiet=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A square, a wide and an upright photograph, one of them in a sub-folder, one broken."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    noise = torch.randint(0, 256, (90, 90, 3), generator=Seed(1).generator(), dtype=torch.uint8)
    pixels = noise.numpy()
    Image.fromarray(pixels[:32, :32]).save(folder / "square.png")
    Image.fromarray(pixels[:40, :90]).save(folder / "sub" / "wide.jpg")
    turned = Image.fromarray(pixels[:40, :90])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "sub" / "turned.jpg", exif=exif)
    (folder / "broken.jpg").write_text("no image")
    return folder


def read(place: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(place))


def test_every_file_is_as_large_as_its_image_upright(trained: RunDir, photos: Path) -> None:
    lines: list[str] = []
    found = hide.run(trained, str(photos), say=lines.append)
    assert found.folder == trained.path / "masks" / "photos"
    assert [h.file for h in found.images] == ["square.png", "sub/turned.jpg", "sub/wide.jpg"]
    assert [(h.height, h.width) for h in found.images] == [(32, 32), (90, 40), (40, 90)]
    for hidden in found.images:
        assert len(hidden.masks) == 2 and hidden.labels is not None
        for place in (*hidden.masks, hidden.labels, hidden.overlay):
            assert read(place).shape[:2] == (hidden.height, hidden.width)
        assert read(hidden.masks[0]).dtype == np.uint8 and read(hidden.masks[0]).ndim == 2
        with Image.open(hidden.labels) as labels:
            assert labels.mode == "P"
        mean = read(hidden.masks[1]).mean() / 255
        assert hidden.ratios[1] == pytest.approx(mean, abs=1 / 255)
    assert any("broken.jpg is not an image" in line for line in lines)


def test_a_square_of_the_training_size_gets_the_very_masks_of_the_network(
    trained: RunDir, photos: Path, tmp_path: Path
) -> None:
    found = hide.run(trained, str(photos / "square.png"), str(tmp_path / "out"))
    (masker,) = maskers(trained)
    network = hide.learned(trained).network
    pixels = torch.from_numpy(read(photos / "square.png").copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        want = masker.propose((pixels - network.mean) / network.std, Seed(0))
    got = np.stack([read(place) for place in found.images[0].masks])
    np.testing.assert_array_equal(got, (want[0] * 255).round().byte().numpy())
    assert torch.equal(network(pixels), want)


def test_a_mask_is_stretched_over_the_whole_of_a_wide_image() -> None:
    network = FromPixels(Left(), 32, (0.5,) * 3, (0.25,) * 3)
    image = torch.zeros(1, 3, 40, 90)
    image[..., 70:] = 1  # bright on the right
    masks = network(image)
    assert masks.shape == (1, 2, 40, 90)
    assert (masks[0, 0, :, :43] > 0.9).all() and (masks[0, 0, :, 47:] < 0.1).all()
    assert (masks[0, 1, :, :67] < 0.1).all() and (masks[0, 1, :, 73:] > 0.9).all()
    with pytest.raises(ValueError, match="takes images of 3 channels, got 1"):
        network(image[:, :1])


def test_labels_are_the_strongest_mask_everywhere_only_where_masks_share_a_pixel() -> None:
    soft = np.array([[[0.4, 0.9, 0.2]], [[0.3, 0.8, 0.2]], [[0.45, 0.1, 0.2]]], np.float32)
    found = painting.strongest(iter(soft))
    np.testing.assert_array_equal(found.labels(exclusive=True), [[3, 1, 1]])
    np.testing.assert_array_equal(found.labels(exclusive=False), [[0, 1, 0]])
    assert exclusive(torch.randn(2, 4, 8, 8, generator=Seed(0).generator()).softmax(1))
    assert not exclusive(torch.rand(2, 4, 8, 8, generator=Seed(0).generator()))
    assert not exclusive(torch.ones(2, 1, 8, 8))


def test_the_value_of_a_label_file_is_the_number_of_the_mask(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 9]], np.uint8)
    painting.save_labels(labels, tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), labels)
    with Image.open(tmp_path / "a.png") as image:
        colour = image.convert("RGB")
    assert colour.getpixel((0, 0)) == (0, 0, 0) and colour.getpixel((1, 0)) == painting.COLOURS[0]


def test_the_list_says_everything_and_is_there_before_the_masks(
    trained: RunDir, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hide.run(trained, str(photos), str(tmp_path / "out"), hard=False)
    content = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert content["complete"] and content["masks"] == ["mask_1", "mask_2"]
    assert content["size"] == 32 and not content["exclusive"]
    assert content["images"][2]["files"]["overlay"] == "overlay/sub/wide.jpg"
    assert content["images"][2]["hidden"] == list(found.images[2].ratios)
    assert found.images[0].labels is None and not (tmp_path / "out" / "labels").exists()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(painting, "save_soft", full)
    with pytest.raises(OSError, match="No space left"):
        hide.run(trained, str(photos), str(tmp_path / "cut"))
    assert not json.loads((tmp_path / "cut" / "masks.json").read_text())["complete"]
    monkeypatch.undo()
    hide.run(trained, str(photos), str(tmp_path / "cut"))
    assert json.loads((tmp_path / "cut" / "masks.json").read_text())["complete"]


def test_masks_of_the_same_images_are_replaced_and_nothing_else_is(
    trained: RunDir, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    hide.run(trained, str(photos), str(out))
    (out / "notes.txt").write_text("mine")
    (photos / "square.png").unlink()
    found = hide.run(trained, str(photos), str(out), hard=False)
    assert not (out / "mask_1" / "square.png").exists() and not (out / "labels").exists()
    assert (out / "notes.txt").read_text() == "mine" and found.images[0].masks[0].exists()
    with pytest.raises(CannotResume, match=r"holds the masks of .*photos; name another"):
        hide.run(trained, str(photos / "sub"), str(out))
    with pytest.raises(CannotResume, match=r"photos is not empty \(broken.jpg\) and holds no mas"):
        hide.run(trained, str(photos), str(photos))
    with pytest.raises(CannotResume, match="is a file; out= must name a folder"):
        hide.run(trained, str(photos), str(photos / "broken.jpg"))


def test_a_list_that_names_files_elsewhere_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    plan = maskfolder.planned(["/a/b/x/1.jpg", "/a/b/y/1.jpg"], ["mask_1"])
    assert [files["mask_1"] for files in plan] == ["mask_1/x/1.png", "mask_1/y/1.png"]
    plan = maskfolder.planned(["../1.jpg", "1.jpg", "../../2.jpg"], ["labels"])
    assert [files["labels"] for files in plan] == [
        "labels/1.jpg.png",
        "labels/1.jpg_2.png",
        "labels/2.png",
    ]
    plan = maskfolder.planned(["a/1.jpg", "a/1.png", "a/1.JPG"], ["overlay"])
    assert len({files["overlay"].lower() for files in plan}) == 3
    (tmp_path / "victim").write_text("mine")
    entry = {"files": {"mask_1": "../victim"}}
    content = {"format": 1, "images_from": "x", "images": [entry]}
    RunDir(tmp_path / "out").write_json("masks.json", content)
    maskfolder.claimed(tmp_path / "out", "x")
    assert (tmp_path / "victim").exists()


def test_sources_without_files_are_as_large_as_their_arrays(
    trained: RunDir, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.full((3, 20, 50, 3), 99, np.uint8))
    found = hide.run(trained, str(tmp_path / "a.npy"), str(tmp_path / "out"))
    assert [(h.height, h.width) for h in found.images] == [(20, 50)] * 3
    np.save(tmp_path / "grey.npy", np.zeros((3, 20, 50), np.uint8))
    with pytest.raises(ValueError, match="the masker takes images of 3 channels, grey has 1"):
        hide.run(trained, str(tmp_path / "grey.npy"), str(tmp_path / "grey"))


def test_a_file_that_is_gone_meanwhile_is_told(
    trained: RunDir, photos: Path, tmp_path: Path
) -> None:
    data = looked_up(str(photos), "", 32, 3)
    (photos / "square.png").unlink()
    with pytest.raises(BadImages, match=r"square.png cannot be read"):
        hide.pixels_of(data, 0, 3)
    with pytest.raises(WrongPath, match="there is nothing at"):
        hide.run(trained, str(photos / "square.png"))


def test_a_run_without_a_learned_masker_is_one_sentence(tmp_path: Path) -> None:
    plain = PLAIN.replace(epochs=1)
    run = pretrain.run(plain, tmp_path / "plain", quiet=True)
    with pytest.raises(ValueError, match="has no learned masker: it hides nothing"):
        hide.learned(run)
    with pytest.raises(MissingData):
        hide.learned(RunDir(tmp_path / "nothing"))
    mixed = MASKED.replace(epochs=1, maskers=(erase.Config(), *MASKED.maskers))
    run = pretrain.run(mixed, tmp_path / "mixed", quiet=True)
    assert hide.learned(run).settings.kind == "sequential"
    with pytest.raises(ValueError, match=r"has learned masker=1 \(sequential\), got masker=0"):
        hide.learned(run, 0)
