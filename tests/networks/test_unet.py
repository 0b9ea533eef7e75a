from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from masquerade.core.seed import Seed
from masquerade.networks.unet import UNet, default_levels

ADIOS = Path(__file__).parents[1] / "oracles" / "adios"


def official(name: str) -> tuple[UNet, nn.Conv2d, dict[str, Any]]:
    """Our network with the weights of ADIOS's, its mask head, and the arrays of the oracle."""
    arrays = dict(np.load(ADIOS / f"unet_{name}.npz"))
    size = arrays["x"].shape[-1]
    unet = UNet(size, int(arrays["fbase"]), str(arrays["norm"]), int(arrays["num_blocks"]))  # type: ignore[arg-type]
    given = {k[2:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("w.")}
    unet.load_state_dict(given)
    head = nn.Conv2d(unet.channels, arrays["masks"].shape[1], 1)
    head.load_state_dict(
        {k.removeprefix("head.0."): torch.from_numpy(arrays[k]) for k in arrays if "head." in k}
    )
    return unet, head, arrays


@pytest.mark.parametrize("name", ["gn32", "in32", "no32", "gn64", "gn96"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_features_and_masks_are_those_of_the_official_network(
    name: str, layout: torch.memory_format
) -> None:
    unet, head, arrays = official(name)
    images = torch.from_numpy(arrays["x"]).to(memory_format=layout)
    with torch.no_grad():
        features = unet(images)
        masks = head(features).softmax(1)
    torch.testing.assert_close(features, torch.from_numpy(arrays["feats"]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(masks, torch.from_numpy(arrays["masks"]), rtol=1e-5, atol=1e-5)


def test_all_213_parameter_counts_are_the_official_ones() -> None:
    rows = np.load(ADIOS / "unet_params.npz")
    columns = [rows[k].tolist() for k in ("img", "num_blocks", "fbase", "norm")]
    with torch.device("meta"):
        for row, (size, levels, width, norm) in enumerate(zip(*columns, strict=True)):
            unet = UNet(size, width, norm, levels)
            assert sum(p.numel() for p in unet.parameters()) == rows["params"][row]
            assert sum(p.numel() for p in unet.mlp.parameters()) == rows["mlp_params"][row]
            assert (default_levels(size, "genesis") == levels) == rows["default_blocks"][row]
    assert row == 212


@pytest.mark.parametrize("size", [256, 97, 65, 24])
def test_sizes_genesis_cannot_take_are_refused_and_the_way_out_is_named(size: int) -> None:
    with pytest.raises(ValueError, match="arch=free"):
        UNet(size, 8)


def test_genesis_refuses_images_of_another_size_than_it_was_built_for() -> None:
    with pytest.raises(ValueError, match="takes 32 x 32 images, got 64 x 64"):
        UNet(32, 8)(torch.zeros(1, 3, 64, 64))


def test_group_norm_needs_a_width_of_eight_times_something() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        UNet(32, 12)
    UNet(32, 12, norm="in")


@pytest.mark.parametrize(("height", "width"), [(256, 256), (32, 32), (33, 47), (97, 64), (16, 16)])
def test_one_set_of_free_weights_takes_any_size_and_shape(height: int, width: int) -> None:
    unet = UNet(64, 8, arch="free", inputs=4)
    features = unet(torch.randn(2, 4, height, width, generator=Seed(0).generator()))
    assert features.shape == (2, 8, height, width)
    features.sum().backward()
    assert all(p.grad is not None for p in unet.parameters())


def test_free_is_genesis_where_the_coarsest_map_has_four_pixels_a_side() -> None:
    genesis, free = UNet(64, 8), UNet(64, 8, levels=5, arch="free")
    free.load_state_dict(genesis.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=Seed(0).generator())
    torch.testing.assert_close(free(images), genesis(images))


def test_the_coarsest_map_has_4_to_8_pixels_a_side() -> None:
    sides = [s / 2 ** (default_levels(s, "free") - 1) for s in range(32, 257)]
    assert min(sides) == 4
    assert max(sides) == 8


def test_every_image_gets_the_same_features_whatever_else_is_in_the_batch() -> None:
    unet = UNet(32, 8)
    images = torch.randn(3, 3, 32, 32, generator=Seed(0).generator())
    torch.testing.assert_close(unet(images)[1:2], unet(images[1:2]), rtol=1e-4, atol=1e-5)


def test_it_stays_contiguous_in_a_channels_last_model_and_runs_in_bfloat16() -> None:
    model = nn.Sequential(UNet(32, 8)).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 32, 32, generator=Seed(0).generator())
    with torch.autocast("cpu", torch.bfloat16):
        features = model(images.to(memory_format=torch.channels_last))
    assert features.isfinite().all()
    assert features.is_contiguous()
    assert all(p.is_contiguous() for p in model.parameters())
    assert model.to(torch.float64)(images.double()).dtype == torch.float64
