"""Fine-tuning: the network that comes out is the one that was trained, however it got there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from masquerade.core.errors import Interrupted
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.engine import checkpoint
from masquerade.engine.optimizers import adamw, lars, sgd
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Carry, Progress
from masquerade.evaluate import base, finetune, finetune_sgd
from masquerade.evaluate.base import ProtocolConfig, Unlabelled
from masquerade.evaluate.finetune import Config, Tuned, trainable
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.layerwise import groups, layers
from masquerade.evaluate.mixing import Labelled, Mixing
from masquerade.evaluate.tuning import CROPS, Tuning
from masquerade.networks import backbone

Tinted = Callable[..., ImageSet]
MAE = Path(__file__).parents[1] / "oracles" / "aemim" / "mae_a.npz"
RESNET = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
VIT = {"embed_dim": 32, "depth": 2, "num_heads": 4}
PLAIN = CROPS.replace(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0.0)
QUICK = Config(
    epochs=4,
    batch=16,
    drop_path=0.0,
    mixing=Mixing(),
    augment=PLAIN,
    optimizer=adamw.Config(lr=3e-3, schedule=Schedule(warmup=1, start=0, per="step")),
)


def encoder(name="resnet18", cache=None, size=16) -> Frozen:
    torch.manual_seed(0)
    options = RESNET if name == "resnet18" else {**VIT, "patch_size": 4}
    config = backbone.Config(name=name, options=options)
    made = config.build(size, 3, (0.2, 0.2, 0.2), (0.2, 0.2, 0.2))
    return Frozen.of(made.eval(), cache=cache)


def state(frozen: Frozen) -> dict[str, torch.Tensor]:
    return {n: t.clone() for n, t in frozen.encoder.state_dict().items()}


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_training_on_labels_beats_what_was_given_and_leaves_that_as_it_was(name, tinted: Tinted):
    frozen, train, test = encoder(name), tinted(), tinted(30, name="new")
    before = state(frozen)
    result = QUICK.replace(epochs=16).build().run(frozen, train, {"test": test}, Seed(0))
    assert result.metrics["test/top1"] == 1.0
    assert set(result.metrics) == {"test/top1", "test/balanced"}
    assert result.arrays["confusion/test"].tolist() == np.diag([10, 10, 10]).tolist()
    assert all(torch.equal(t, before[n]) for n, t in frozen.encoder.state_dict().items())
    assert "fine-tuned on 60 images, 16 epochs, batch 16, adamw" in result.notes[0]


def test_the_head_is_the_network_that_was_trained_after_saving_too(tinted: Tinted, tmp_path):
    frozen, test = encoder("vit_tiny_patch16_224"), tinted(9, name="new")
    result = QUICK.build().run(frozen, tinted(), {"test": test}, Seed(0))
    head = result.head
    assert isinstance(head, Tuned)
    own = head.encoder(frozen)
    told = head.predict(own.features(test))
    assert told.label.tolist() == result.arrays["predicted/test"].tolist()
    assert not torch.allclose(own.features(test), frozen.features(test))
    head.save(tmp_path / "finetune.safetensors")
    again = base.load(tmp_path / "finetune.safetensors").head
    assert again.config == head.config
    score = again.predict(again.encoder(frozen).features(test)).score
    assert torch.equal(score, told.score)
    shown = torch.cat(list(own.shown(test)))
    logits = head.logits(own.encoder(shown))
    torch.testing.assert_close(logits.softmax(1).detach(), score, rtol=1e-4, atol=1e-5)


def test_a_cut_training_goes_on_and_ends_in_the_same_bits(tinted: Tinted, tmp_path, monkeypatch):
    whole = QUICK.build().run(encoder(), tinted(), {}, Seed(0)).head
    frozen = encoder(cache=tmp_path)
    config = QUICK
    steps: list[int] = []
    before = Tuning.before_step

    def cut(self: Tuning, progress: Progress) -> None:
        steps.append(progress.step)
        if len(steps) == 6:
            raise Interrupted("cut", 2)
        before(self, progress)

    monkeypatch.setattr(Tuning, "before_step", cut)
    monkeypatch.setattr(checkpoint.Checkpoints, "due", lambda _: True)
    with pytest.raises(Interrupted):
        config.build().run(frozen, tinted(), {}, Seed(0))
    resumed = config.build().run(frozen, tinted(), {}, Seed(0)).head
    assert steps == [*range(6), *range(5, 12)]
    assert whole is not None and resumed is not None
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, resumed.tensors()[name]), name
    config.build().run(frozen, tinted(), {}, Seed(0))  # has ended: nothing is trained again
    assert len(steps) == 13
    config.replace(epochs=5).build().run(frozen, tinted(), {}, Seed(0))
    assert len(steps) == 13 + 15


def test_images_without_a_label_are_not_trained_on(tinted: Tinted):
    some = tinted(24)
    label = some.targets["label"].copy()
    label[::4] = -1
    part = ImageSet("part", some.pixels, targets={"label": label}, classes=some.classes)
    notes = QUICK.build().run(encoder(), part, {}, Seed(0)).notes
    assert "fine-tuned on 18 images" in notes[0]
    with pytest.raises(Unlabelled, match="finetune needs labels, and bare has none"):
        QUICK.build().run(encoder(), ImageSet("bare", some.pixels), {}, Seed(0))


def test_a_batch_that_the_images_do_not_fill_is_smaller_and_said(tinted: Tinted):
    notes = QUICK.replace(batch=1024, epochs=1).build().run(encoder(), tinted(), {}, Seed(0)).notes
    assert notes[1] == "batch=32 in the place of 1024, as there are 60 images"


def test_features_of_a_vit_are_those_of_maes_own_fine_tuning_network():
    """mean of patch tokens, then a new norm; the encoder's last norm is left behind."""
    with np.load(MAE) as found:
        stored = dict(found)
    options = {**VIT, "patch_size": 4}
    config = backbone.Config(name="vit_tiny_patch16_224", stem="imagenet", options=options)
    given = config.build(16, 3, (0.0,) * 3, (1.0,) * 3)
    own = {n: torch.from_numpy(stored[f"w/{n}"]) for n in given.body.state_dict()}
    given.body.load_state_dict(own)
    tuned = Config(drop_path=0.0).adapt().backbone(given).eval()
    body = dict(tuned.body.named_parameters())
    with torch.no_grad():
        body["fc_norm.weight"].copy_(torch.from_numpy(stored["fc_norm_w"]))
        body["fc_norm.bias"].copy_(torch.from_numpy(stored["fc_norm_b"]))
    features = tuned(torch.from_numpy(stored["x"]))
    np.testing.assert_allclose(features.detach(), stored["vit_gap_feat"], atol=2e-5)
    kept = Config(drop_path=0.0, pool="encoder").adapt().backbone(given).eval()
    cls = kept(torch.from_numpy(stored["x"]))
    np.testing.assert_allclose(cls.detach(), stored["vit_cls_feat"], atol=2e-5)
    assert all(p.requires_grad for p in tuned.parameters())


def test_rates_and_decays_are_those_of_maes_groups():
    import json

    with np.load(MAE) as found:
        official = json.loads(str(found["lrd"]))
    config = backbone.Config(
        name="vit_tiny_patch16_224", stem="imagenet", options={**VIT, "patch_size": 4}
    )
    given = config.build(16, 3, (0.0,) * 3, (1.0,) * 3)
    tuned = Config(drop_path=0.0).adapt().backbone(given)
    head = torch.nn.Linear(32, 5)
    names = {id(p): n for n, p in tuned.body.named_parameters()}
    names |= {id(p): f"head.{n}" for n, p in head.named_parameters()}
    optimizer = adamw.Config(lr=1.0, decay=0.05).over(groups(tuned.body, head, 0.65))
    ours = {
        names[id(p)]: (group["base"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    theirs = {name: (rate, decay) for rate, decay, some in official for name in some}
    assert set(ours) == set(theirs)
    for name, (rate, decay) in theirs.items():
        assert ours[name] == (pytest.approx(rate), decay), name


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("resnet18", ["conv1.weight", "layer1.0.conv1.weight", "layer1.1.bn2.bias",
                      "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"]),
        ("swin_tiny_patch4_window7_224", [
            "patch_embed.proj.weight", "layers.0.blocks.0.norm1.weight",
            "layers.0.blocks.1.attn.qkv.weight", "layers.3.blocks.1.mlp.fc1.bias", "norm.weight"]),
        ("convnext_atto", ["stem.0.weight", "stages.0.blocks.0.norm.weight",
                           "stages.1.blocks.0.norm.weight", "stages.3.blocks.1.mlp.fc1.bias"]),
    ],
)  # fmt: skip
def test_layers_of_other_models_rise_from_stem_to_top(name, order):
    config = backbone.Config(name=name, stem="imagenet")
    body = config.build(224, 3, (0.5,) * 3, (0.2,) * 3).body
    found = layers(body, [n for n, _ in body.named_parameters()])
    depths = [found[name] for name in order]
    assert depths == sorted(set(depths)) and depths[0] == 0
    assert found[""] == max(found.values())
    rates = {g.name: g.lr_scale for g in groups(body, torch.nn.Linear(2, 2), 0.5)}
    assert rates["classifier"] == 1.0 and rates["layer 0"] == 0.5 ** found[""]


def test_a_model_that_does_not_know_its_layers_has_one_rate_or_is_refused():
    config = backbone.Config(name="torchvision:resnet18")
    body = config.build(32, 3, (0.5,) * 3, (0.2,) * 3).body
    assert {g.lr_scale for g in groups(body, torch.nn.Linear(2, 2), 1.0)} == {1.0}
    with pytest.raises(ValueError, match=r"ResNet does not say what its layers are.*layer_decay=1"):
        groups(body, torch.nn.Linear(2, 2), 0.9)


def step(task: Tuning, images, labels, classes=3):
    batch = Labelled(images, F.one_hot(labels, classes).float())
    now = Progress(0, 1, 1)
    task.before_step(now)
    return task(batch, ("encoder",), Seed(0), now, Carry())


@pytest.mark.parametrize("kept", [True, False])
def test_batch_norms_keep_their_statistics_where_asked(kept):
    made = Config(drop_path=0.0).adapt().backbone(trainable(encoder()))
    task = Tuning(made, 3, 1.0, kept)
    images = torch.randn(8, 3, 16, 16, generator=Seed(0).generator())
    before = {n: b.clone() for n, b in task.named_buffers() if "running_mean" in n}
    terms = step(task.train(), images, torch.arange(8) % 3)
    after = dict(task.named_buffers())
    assert all(torch.equal(after[n], b) == kept for n, b in before.items())
    want = F.cross_entropy(task.classifier(made(images)), torch.arange(8) % 3)
    assert kept is False or torch.allclose(terms.loss, want)
    assert float(terms.logs["encoder/loss"]) == pytest.approx(np.log(3), abs=1e-3)  # a head near 0


def test_drop_path_reaches_the_blocks_and_not_the_evaluation():
    given = trainable(encoder("vit_tiny_patch16_224"))
    made = Config(drop_path=0.5).adapt().backbone(given)
    images = torch.randn(1, 3, 16, 16, generator=Seed(0).generator()).expand(64, -1, -1, -1)
    same = Config(drop_path=0.0).adapt().backbone(given)
    same.body.load_state_dict(made.body.state_dict())
    torch.testing.assert_close(made.eval()(images), same.eval()(images))
    torch.manual_seed(0)
    found = made.train()(images).detach().mul(1e3).round().unique(dim=0)
    assert len(found) == 4  # the first block stays; of the second each half is there or not


def test_fresh_parts_start_anew_and_others_go_on():
    given = trainable(encoder())
    torch.manual_seed(7)
    made = Config(drop_path=0.0, fresh=("conv1", "layer4")).adapt().backbone(given)
    old = given.body.state_dict()
    for name, tensor in made.body.state_dict().items():
        if tensor.dtype.is_floating_point and tensor.ndim > 1:
            assert torch.equal(tensor, old[name]) != name.startswith(("conv1", "layer4")), name
    with pytest.raises(ValueError, match=r"has no part 'conv9'; it has: conv1, bn1"):
        Config(drop_path=0.0, fresh=("conv9",)).adapt().backbone(given)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"layer": "projector"}, "finetune trains the backbone; layer=projector is not read"),
        ({"kept_statistics": True}, "no block is ever dropped; set drop_path=0"),
        ({"mixing": {"smoothing": 1.0}}, "mixing.smoothing"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        ProtocolConfig.parse({"kind": "finetune", **settings})


def test_a_torchvision_model_without_stochastic_depth_is_told_the_way_out():
    config = backbone.Config(name="torchvision:resnet18")
    given = config.build(32, 3, (0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ValueError, match=r"set drop_path=0"):
        Config().adapt().backbone(given)


def test_raw_pixels_cannot_be_fine_tuned(pixels: Frozen, tinted: Tinted):
    assert not Config().suits(pixels)
    assert Config().suits(encoder())
    with pytest.raises(ValueError, match="Pixels has no weights that could be trained"):
        QUICK.build().run(pixels, tinted(), {}, Seed(0))


def test_sgd_as_published_keeps_batch_norms_and_trains_all_layers_at_one_rate(tinted: Tinted):
    config = finetune_sgd.Config()
    assert isinstance(config.optimizer, lars.Config)
    assert (config.optimizer.lr, config.optimizer.decay, config.batch) == (0.5, 5e-4, 128)
    assert config.kept_statistics and config.layer_decay == 1 and config.kind == "finetune_sgd"
    later = finetune_sgd.sequential()
    assert isinstance(later.optimizer, sgd.Config)
    assert (later.batch, later.optimizer.decay, later.optimizer.momentum) == (256, 0.0, 0.9)
    frozen = encoder()
    head = later.replace(epochs=6, augment=PLAIN).build().run(frozen, tinted(), {}, Seed(0)).head
    assert isinstance(head, Tuned)
    old = state(frozen)
    for name, tensor in head.weights.items():
        moved = not torch.equal(tensor, old[f"body.{name}"])
        assert moved != any(part in name for part in ("running_", "num_batches")), name


@pytest.mark.slow
def test_two_processes_train_to_the_weights_of_one(tinted: Tinted):
    config = QUICK.replace(optimizer=sgd.Config(lr=0.02, schedule=Schedule(warmup=1, start=0.001)))
    one = config.build().run(encoder(), tinted(64), {}, Seed(0)).head
    two = config.replace(devices=2).build().run(encoder(), tinted(64), {}, Seed(0)).head
    assert one is not None and two is not None
    for name, tensor in one.tensors().items():
        torch.testing.assert_close(two.tensors()[name], tensor, rtol=1e-3, atol=1e-4)


def test_modules_of_the_family_are_what_the_command_line_finds():
    assert finetune.Config.called("finetune") is Config
    assert ProtocolConfig.called("finetune_sgd") is finetune_sgd.Config
