"""A masker in a file of the user: named, listed, trained, gone on with, missed when it is gone."""

import sys

import pytest
import torch
from tests.jobs import lives
from tests.jobs.small import PLAIN

from masquerade.cli import listing
from masquerade.core.rundir import RunDir
from masquerade.engine import checkpoint
from masquerade.jobs import pretrain
from masquerade.jobs.settings import Pretrain

STRIPES = '''"""Stripes: hide whole columns, as a scanner with dead pixels would."""

import torch
from pydantic import Field

from masquerade.maskers.base import Masker, MaskerConfig


class Stripes(Masker):
    """Hides each column of each image with the same probability."""

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.config = config

    def propose(self, images, seed):
        b, _, h, w = images.shape
        dead = torch.rand(b, 1, 1, w, generator=seed.generator()) < self.config.ratio
        return dead.float().to(images.device).expand(b, 1, h, w)


class Config(MaskerConfig):
    """Settings of stripes.

    Attributes:
        ratio: Chance that a column is hidden.
    """

    ratio: float = Field(0.25, ge=0, le=1)

    def build(self, size: int, channels: int) -> Stripes:
        return Stripes(self)
'''


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A user's folder with a masker in it; what Python remembers of it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "stripes.py").write_text(STRIPES)
    yield tmp_path
    forget()


def forget():
    """As a new process would find it."""
    for name in [n for n in sys.modules if n == "lab" or n.startswith("lab.")]:
        del sys.modules[name]


def config(**changes):
    return PLAIN.override(["maskers=lab.stripes", "maskers.0.ratio=0.5"]).replace(**changes)


def test_it_is_named_by_its_dotted_path_and_survives_json(lab):
    masker = config().maskers[0]
    assert masker.tree() == {"kind": "lab.stripes", "ratio": 0.5}
    assert Pretrain.parse(config().tree()) == config()


def test_its_settings_are_checked_like_our_own(lab):
    with pytest.raises(ValueError, match=r"lab.stripes has no setting 'ration'.*mean 'ratio'"):
        PLAIN.override(["maskers=lab.stripes", "maskers.0.ration=0.5"])
    with pytest.raises(ValueError, match=r"maskers.0.ratio must be at most 1, got 2"):
        PLAIN.override(["maskers=lab.stripes", "maskers.0.ratio=2"])


@pytest.mark.parametrize("words", [["maskers"], ["maskers", "lab.stripes"]])
def test_it_is_listed_beside_ours(lab, words, capsys):
    listing.run(words, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any("sequential" in line for line in lines)
    ours = [line for line in lines if "lab.stripes" in line]
    assert len(ours) == 1
    assert "hide whole columns, as a scanner" in ours[0]


def test_it_is_trained_and_its_run_goes_on_to_the_same_bits(lab, monkeypatch):
    pretrain.run(config(), lab / "whole", quiet=True)
    save = checkpoint.Checkpoints.save

    def save_and_stop(self, state):
        save(self, state)
        if state.step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.Checkpoints, "save", save_and_stop)
        patched.setattr(checkpoint.Checkpoints, "due", lambda self: True)
        with pytest.raises(KeyboardInterrupt):
            pretrain.run(config(), lab / "cut", quiet=True)
    forget()
    again = Pretrain.parse(RunDir("cut").read_json("config.json"))
    pretrain.run(again, lab / "cut", quiet=True)
    a, b = lives.weights(lab / "whole"), lives.weights(lab / "cut")
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert lives.rows(lab / "whole") == lives.rows(lab / "cut")


def test_without_its_file_the_run_says_what_is_missing(lab):
    tree = config().tree()
    forget()
    (lab / "lab" / "stripes.py").unlink()
    with pytest.raises(ValueError, match=r"no module 'lab.stripes' on the Python path or under"):
        Pretrain.parse(tree)
