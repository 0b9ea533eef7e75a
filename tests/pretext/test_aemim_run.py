"""Whole runs of MAE, SimMIM and AEMIM: cut and resumed, exported, refused."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from tests.jobs.lives import weights
from tests.jobs.small import PLAIN

from masquerade.core.rundir import RunDir
from masquerade.engine import checkpoint
from masquerade.engine.meter import METRICS
from masquerade.engine.runtime import Runtime
from masquerade.export import weights as exported
from masquerade.jobs import dryrun, evaluate, finished, pretrain
from masquerade.jobs.settings import Pretrain
from masquerade.maskers import erase
from masquerade.networks import backbone
from masquerade.pretext import aemim, mae, simmim
from masquerade.recipes.base import recipe
from masquerade.report import page

MAE = mae.Config(decoder=mae.Decoder(width=16, depth=1, heads=2))
PRETEXTS = {
    "mae": MAE,
    "simmim": simmim.Config(unit=8),
    "aemim": aemim.Config(base=MAE, twins=0.5),
    "aemim lean": aemim.Config(base=MAE, twins=0.5, passes="lean"),
    "aemim on simmim": aemim.Config(base=simmim.Config(unit=8), passes="fused"),
}
VIT = backbone.Config(
    name="vit_tiny_patch16_224", options={"depth": 2, "embed_dim": 16, "num_heads": 2}
)


AVERAGED = VIT.replace(options={**VIT.options, "global_pool": "avg", "fc_norm": False})


def settings(name, precision="float32", **changes):
    runtime = Runtime(accelerator="cpu", threads=1, precision=precision)
    return PLAIN.replace(
        pretext=PRETEXTS[name],
        backbone=AVERAGED if "simmim" in name else VIT,
        runtime=runtime,
        **{"epochs": 2, **changes},
    )


@pytest.mark.parametrize("name", PRETEXTS)
def test_a_run_that_is_cut_ends_in_the_same_bits_and_leaves_a_plain_encoder(
    name, tmp_path, monkeypatch
):
    config = settings(name)
    pretrain.run(config, tmp_path / "whole", quiet=True)
    save = checkpoint.Checkpoints.save

    def save_and_stop(self, state):
        save(self, state)
        if state.step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save_and_stop)
    monkeypatch.setattr(checkpoint.Checkpoints, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(config, tmp_path / "cut", quiet=True)
    monkeypatch.undo()
    pretrain.run(config, tmp_path / "cut", quiet=True)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == two.keys()
    assert [n for n in one if not torch.equal(one[n], two[n])] == []
    folder = RunDir(tmp_path / "whole")
    kept = load_file(tmp_path / "whole" / "encoder.safetensors")
    assert not any("adv_" in n for n in kept)
    twins = [n for n in finished.heads(folder) if ".backbone." in n]
    assert all("adv_" in n for n in twins) and bool(twins) == name.startswith("aemim")
    exported.export(folder, tmp_path / "timm")
    theirs = timm.create_model(
        VIT.name, num_classes=0, img_size=32, patch_size=4, **config.backbone.options
    )
    theirs.load_state_dict(load_file(tmp_path / "timm" / "model.safetensors"))
    images = torch.zeros(2, 3, 32, 32)
    assert torch.equal(theirs.eval()(images), finished.encoder(folder)(images))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_one_task_after_the_other_logs_and_ends_as_both_at_once(precision, tmp_path):
    rows = {}
    for name in ("aemim", "aemim lean"):
        pretrain.run(settings(name, precision, epochs=1), tmp_path / name, quiet=True)
        rows[name] = [r for r in RunDir(tmp_path / name).lines(METRICS) if "twin/loss" in r]
    close = {"float32": 1e-5, "bf16": 1e-2}[precision]
    for one, two in zip(rows["aemim"], rows["aemim lean"], strict=True):
        assert one.keys() == two.keys()
        for key in ("encoder/loss", "clean/loss", "twin/loss"):
            assert two[key] == pytest.approx(one[key], rel=close), key
        for key in ("twin/distance", "attack/before"):  # a sign may turn where a slope is nearly 0
            assert two[key] == pytest.approx(one[key], rel=0.1), key
        assert one["twin/loss"] > 0 and one["twin/distance"] > 0


def test_the_untrained_network_beside_a_run_is_the_one_it_began_with(tmp_path):
    config = settings("mae", epochs=1)
    run = pretrain.run(config, tmp_path, quiet=True)
    first = config.task(config.images()).encoder().state_dict()
    beside = evaluate.untrained(run, config.runtime).encoder.state_dict()
    assert all(torch.equal(beside[name], tensor) for name, tensor in first.items())
    frozen = evaluate.frozen(run, config.runtime)
    assert frozen.projector is None


def test_a_dry_run_measures_a_pretext(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cost = dryrun.run(settings("aemim"), lambda text: None)
    assert cost.steps == 10 and cost.step_seconds > 0


def test_settings_written_before_there_were_pretexts_are_read_as_they_were():
    tree = PLAIN.tree()
    assert tree.pop("pretext") is None
    assert Pretrain.parse(tree) == PLAIN


def test_a_pretext_is_chosen_and_set_on_the_command_line():
    config = recipe("mae", "smoke").override(["pretext.ratio=0.5"])
    assert config.tree()["pretext"]["ratio"] == 0.5
    config = PLAIN.override(["pretext=aemim", "pretext.base=simmim", "pretext.attack.steps=1"])
    assert isinstance(config.pretext, aemim.Config)
    assert (config.pretext.base.kind, config.pretext.attack.steps) == ("simmim", 1)
    assert config.override(["pretext=none"]) == PLAIN
    assert Pretrain.parse(json.loads(json.dumps(config.tree()))) == config
    with pytest.raises(ValueError, match=r"no setting 'ratoi'. Did you mean 'ratio'"):
        PLAIN.override(["pretext=mae", "pretext.ratoi=1"])
    with pytest.raises(ValueError, match=r"no pretext is called 'may'. Did you mean 'mae'"):
        PLAIN.override(["pretext=may"])


def test_what_a_pretext_does_not_read_is_refused_or_said(tmp_path):
    with pytest.raises(ValueError, match=r"pretext=mae hides patches itself.*maskers=\[\]"):
        settings("mae", maskers=(erase.Config(),))
    config = settings("aemim lean")
    with pytest.raises(ValueError, match="2 processes cannot share"):
        config.replace(runtime={**config.runtime.tree(), "devices": 2})
    said: list[str] = []
    pretrain.run(settings("mae", epochs=1), tmp_path, said.append, quiet=True)
    assert "objective has no effect: pretext=mae matches no views" in said
    with pytest.raises(ValueError, match="resnet18 is a ResNet"):
        pretrain.run(PLAIN.replace(pretext=MAE), tmp_path / "no", quiet=True)
    assert not (tmp_path / "no" / "config.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aemim", "aemim on simmim"])
def test_two_processes_train_what_one_trains(name, tmp_path):
    rows, ends = [], []
    for devices in (1, 2):
        config = settings(name, epochs=1)
        whole = PRETEXTS[name].replace(twins=1.0)
        config = config.replace(
            pretext=whole.tree(), runtime={**config.runtime.tree(), "devices": devices}
        )
        run = pretrain.run(config, tmp_path / f"{devices}", quiet=True)
        rows.append([r for r in run.lines(METRICS) if "twin/loss" in r])
        ends.append(load_file(run.path / "encoder.safetensors"))
    for one, two in zip(*rows, strict=True):
        for key in ("clean/loss", "twin/loss", "twin/distance", "probe/loss"):
            assert two[key] == pytest.approx(one[key], rel=1e-4), key
    for key, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][key], tensor, rtol=0, atol=1e-4)


def test_pictures_of_predictions_are_kept_and_shown(tmp_path):
    pretrain.run(settings("aemim", epochs=1), tmp_path, quiet=True)
    kept = sorted((tmp_path / "reconstructions").iterdir())
    with np.load(kept[-1]) as stored:
        made = {name: stored[name].astype(int) for name in stored.files}
    assert {a.shape for a in made.values()} == {(12, 32, 32, 3)}
    hidden = (made["seen"] != made["image"]).any(3)
    assert 0.5 < hidden.mean() <= 0.75  # a hidden pixel may have the mean colour
    assert (made["reconstruction"] == made["image"])[~hidden].mean() > 0.9
    assert (made["reconstruction"] != made["image"])[hidden].mean() > 0.5
    assert abs(made["twin"] - made["image"]).max() <= 3
    assert (abs(made["perturbation"] - 127.5) < 1)[hidden].all()
    assert (abs(made["perturbation"] - 127.5) > 100)[~hidden].mean() > 0.3
    looked = made["attention"][:, ::4, ::4]  # one number a patch, the largest of an image white
    assert (looked.repeat(4, 1).repeat(4, 2) == made["attention"]).all()
    assert (looked.max((1, 2, 3)) == 255).all() and looked.std() > 0
    (tmp_path / "reconstructions" / "step_0000001.npz").write_bytes(b"broken")
    text = page.write(RunDir(tmp_path)).read_text()
    assert "What it predicts of what it does not see" in text
    assert "predicted of attacked" in text
    assert "the whole budget. Last, how much the class token takes from each patch" in text
    assert "Images and their twins" in text and "How far twins are moved" in text
    assert "Same image, other image" not in text
    assert "aemim: hidden patches are predicted of each image and of its attacked twin" in text
    assert "reconstructions/step_0000001.npz cannot be read" in text
    pretrain.run(PLAIN.replace(epochs=1), tmp_path / "simclr", quiet=True)
    assert not (tmp_path / "simclr" / "reconstructions").exists()
    assert "What it predicts" not in page.write(RunDir(tmp_path / "simclr")).read_text()
