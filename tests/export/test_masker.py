import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.jobs.small import MASKED

import masquerade as mq
from masquerade.core.errors import CannotResume, WrongPath
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.export import masker
from masquerade.jobs import hide, pretrain


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    place = tmp_path_factory.mktemp("runs") / "a"
    return pretrain.run(MASKED.replace(epochs=1), place, quiet=True)


def images(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(4, 3, height, width, generator=Seed(5).generator())


@pytest.mark.parametrize("shape", [(32, 32), (50, 77)])
def test_it_hides_what_the_run_hides_bit_for_bit_without_the_run(
    run: RunDir, tmp_path: Path, shape: tuple[int, int]
) -> None:
    copy = RunDir(shutil.copytree(run.path, tmp_path / "run"))
    want = hide.learned(copy).network(images(*shape))
    out = masker.export(copy, tmp_path / "out")
    shutil.rmtree(copy.path)
    for path in (out, out / "masker.json", str(out / "masker.safetensors")):
        network = mq.load_masker(path)
        assert not network.training
        assert torch.equal(network(images(*shape)), want)
    assert want.shape == (4, 2, *shape) and want.min() >= 0 and want.max() <= 1


def test_the_card_says_what_one_needs(run: RunDir, tmp_path: Path) -> None:
    card = json.loads((masker.export(run, tmp_path) / "masker.json").read_text())
    assert card["masker"]["kind"] == "sequential" and card["masker"]["masks"] == 2
    assert (card["size"], card["channels"], card["masks"]) == (32, 3, 2)
    assert len(card["mean"]) == len(card["std"]) == 3
    assert card["one"] == "hidden" and card["exclusive"] is False
    assert card["about"]["trained_on"].startswith("toybox")


def test_what_cannot_be_read_is_a_sentence(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(WrongPath, match=r"holds no masker\.safetensors with its masker\.json"):
        mq.load_masker(tmp_path)
    masker.export(run, tmp_path / "short")
    weights = tmp_path / "short" / "masker.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"is not a whole \.safetensors file"):
        mq.load_masker(tmp_path / "short")
    card = json.loads((masker.export(run, tmp_path / "b") / "masker.json").read_text())
    card["masker"]["masks"] = 3
    (tmp_path / "b" / "masker.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"does not fit its masker\.json"):
        mq.load_masker(tmp_path / "b")
    card["format"] = 2
    (tmp_path / "b" / "masker.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="cannot be used: format must be at most 1, got 2"):
        mq.load_masker(tmp_path / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotResume, match="is a file; out= must name a folder"):
        masker.export(run, tmp_path / "file")
