import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from masquerade.core.seed import Seed
from masquerade.networks import architectures
from masquerade.networks.backbone import Backbone, Config

TINY = {"layers": [1, 1, 1, 1], "channels": [4, 8, 8, 12]}


def images(channels: int = 3, size: int = 32, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=Seed(0).generator())


def built(size: int = 32, channels: int = 3, **settings: object) -> Backbone:
    config = Config.parse({"options": TINY, **settings})
    torch.manual_seed(0)
    return config.build(size, channels, (0.5,) * channels, (0.25,) * channels)


MODELS = [
    ("resnet18", TINY, 3),
    ("resnet10t", {}, 1),
    ("test_resnet", {}, 3),
    ("vit_tiny_patch16_224", {"depth": 2}, 3),
    ("convnext_atto", {"depths": [1, 1, 1, 1]}, 5),
    ("efficientnet_lite0", {}, 3),
    ("torchvision:resnet18", {}, 4),
    ("torchvision:mobilenet_v3_small", {}, 3),
]


@pytest.mark.parametrize(("name", "options", "channels"), MODELS)
def test_features_are_one_vector_of_length_dim_per_image(
    name: str, options: dict[str, object], channels: int
) -> None:
    net = built(name=name, options=options, channels=channels)
    assert net(images(channels)).shape == (2, net.dim)
    assert not any(p.shape[0] == 1000 for p in net.parameters())  # no classifier left


@pytest.mark.parametrize(("name", "options", "channels"), MODELS[:5] + MODELS[6:7])
def test_maps_never_get_finer_and_come_from_the_same_images(
    name: str, options: dict[str, object], channels: int
) -> None:
    net = built(name=name, options=options, channels=channels)
    maps = net.eval().maps(images(channels))
    sides = [m.shape[-1] for m in maps]
    assert sides == sorted(sides, reverse=True)
    assert all(m.shape[0] == 2 and m.ndim == 4 for m in maps)


@pytest.mark.parametrize("name", ["resnet18", "torchvision:resnet18"])
def test_the_mean_of_the_last_map_of_a_resnet_is_its_features(name: str) -> None:
    net = built(name=name, options=TINY if name == "resnet18" else {}).eval()
    torch.testing.assert_close(net.maps(images())[-1].mean((2, 3)), net(images()))


def test_the_small_stem_keeps_the_resolution_until_the_second_stage() -> None:
    assert [m.shape[-1] for m in built().maps(images())] == [32, 32, 16, 8, 4]
    assert [m.shape[-1] for m in built(stem="imagenet").maps(images())] == [16, 8, 4, 2, 1]


def test_the_stem_of_adios_adds_a_ring_of_one_pixel() -> None:
    assert [m.shape[-1] for m in built(stem="adios").maps(images())] == [34, 34, 17, 9, 5]


def test_a_pooled_stem_halves_the_resolution_before_the_first_stage() -> None:
    for name in ("resnet18", "resnet10t", "torchvision:resnet18"):
        net = built(64, name=name, options=TINY if name == "resnet18" else {}, stem="pooled")
        assert [m.shape[-1] for m in net.maps(images(size=64))] == [64, 32, 16, 8, 4]
    said = "resnet18, pooled stem (3x3, max-pool) as asked"
    assert said in Config(name="resnet18", stem="pooled").said(64)


def test_only_the_stem_differs_from_plain_timm() -> None:
    options = {"layers": (1, 1, 1, 1), "channels": (4, 8, 8, 12)}
    plain = timm.create_model("resnet18", num_classes=0, **options)
    small, imagenet = built(), built(stem="imagenet")
    imagenet.body.load_state_dict(plain.state_dict())
    assert torch.equal(imagenet.eval()(images()), plain.eval()(images()))
    differing = {
        k for k, v in small.body.state_dict().items() if v.shape != plain.state_dict()[k].shape
    }
    assert differing == {"conv1.weight"}
    assert small.body.get_submodule("conv1").weight.shape == (64, 3, 3, 3)


@pytest.mark.parametrize(
    ("name", "size", "line"),
    [
        ("resnet18", 32, "resnet18, small stem (3x3, no max-pool) because images are 32 px"),
        ("resnet18", 65, "resnet18, imagenet stem because images are 65 px"),
        ("vit_tiny_patch16_224", 48, "vit_tiny_patch16_224, small stem (patches of 6 px)"),
        ("convnext_atto", 32, "convnext_atto, small stem (patches of 2 px)"),
        ("efficientnet_b0", 32, "efficientnet_b0, small stem (first convolution with stride 1)"),
        ("swin_tiny_patch4_window7_224", 64, "imagenet stem because it can have no small one"),
    ],
)
def test_the_choice_of_a_stem_is_said_in_one_line(name: str, size: int, line: str) -> None:
    said = Config(name=name).said(size)
    assert line in said
    assert "\n" not in said


@pytest.mark.parametrize(("size", "patch"), [(32, 4), (28, 4), (48, 6), (64, 8), (36, 4), (40, 5)])
def test_a_small_transformer_sees_about_eight_patches_a_side(size: int, patch: int) -> None:
    assert architectures.patch("vit", size) == patch


def test_a_patch_size_of_ones_own_is_kept() -> None:
    options = {"depth": 1, "patch_size": 8}
    assert built(name="vit_tiny_patch16_224", options=options).maps(images())[0].shape[-1] == 4


def test_pixels_are_standardised_on_the_way_in() -> None:
    net = built().eval()
    pixels = images().sigmoid().requires_grad_()
    features = net.from_pixels(pixels)
    torch.testing.assert_close(features, net((pixels - 0.5) / 0.25))
    torch.autograd.backward(features.sum())
    assert pixels.grad is not None


def test_mean_and_std_are_not_among_the_weights() -> None:
    assert all(k.startswith("body.") for k in built().state_dict())


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_it_trains_in_bfloat16_and_channels_last(name: str) -> None:
    net = built(name=name, options=TINY if name == "resnet18" else {"depth": 1})
    net = net.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        features = net(images().to(memory_format=torch.channels_last))
    features.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet81"}, "Did you mean resnet18"),
        ({"name": "torchvision:resnet19"}, "Did you mean torchvision:resnet18"),
        ({"name": "torchvision:googlenet"}, "gives no features"),
        ({"name": "hf-hub:somebody/model"}, "no timm or torchvision model"),
        ({"options": {"num_classes": 10}}, "num_classes cannot be set"),
        ({"options": {"layer": [1]}}, "resnet18 cannot be built with layer"),
        ({"name": "swin_tiny_patch4_window7_224", "stem": "small", "options": {}}, "no small stem"),
        ({"name": "torchvision:vgg11", "stem": "small", "options": {}}, "no small stem"),
        ({"name": "convnext_atto_ols", "stem": "small", "options": {}}, "no small stem"),
        ({"name": "convnext_atto", "stem": "adios", "options": {}}, "no adios stem"),
        ({"name": "convnext_atto", "stem": "pooled", "options": {}}, "no pooled stem"),
        ({"name": "vit_tiny_patch16_224", "options": {}, "size": 31}, "cannot be cut into patches"),
        ({"name": "vit_tiny_patch16_224", "options": {}, "size": 100}, "size of 96 or 112 px"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_reason(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        built(**settings)  # type: ignore[arg-type]


def test_statistics_must_fit_the_channels() -> None:
    with pytest.raises(ValueError, match="mean has 3 numbers for 1 channels"):
        Config().build(32, 1, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(ValueError, match="std must be positive"):
        Config().build(32, 1, (0.5,), (0.0,))


def test_settings_survive_json() -> None:
    config = Config(name="resnet18", options=TINY, stem="small")
    assert Config.parse(config.tree()) == config


def test_torchvisions_weights_spread_over_other_channel_counts() -> None:
    conv = torchvision.models.resnet18().conv1
    wide = architectures.widened(conv, 5, keep=True)
    grey = images(1, 32).expand(-1, 3, -1, -1)
    torch.testing.assert_close(
        wide(grey[:, :1].expand(-1, 5, -1, -1)), conv(grey), rtol=1e-4, atol=1e-5
    )
    assert isinstance(wide, nn.Conv2d)
    assert (wide.stride, wide.padding, wide.bias) == (conv.stride, conv.padding, None)
