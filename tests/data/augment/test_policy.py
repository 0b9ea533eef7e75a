import pytest

from masquerade.data.augment import Policy, adios, simclr


def test_simclr_is_weaker_and_never_blurs_up_to_64_pixels():
    small, large = simclr(64), simclr(65)
    assert (small.brightness, small.contrast, small.saturation, small.hue) == (0.4, 0.4, 0.4, 0.1)
    assert small.blur == 0
    assert (large.brightness, large.contrast, large.saturation, large.hue) == (0.8, 0.8, 0.8, 0.2)
    assert (large.blur, large.blur_sigma) == (0.5, (0.1, 2.0))


def test_adios_views_have_the_released_numbers():
    assert adios() == Policy(
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip=0.5,
        jitter=0.8,
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        grey=0.2,
        blur=0.5,
        blur_sigma=(0.1, 2.0),
        solarise=0.0,
        interpolation="bicubic",
    )


def test_adios_scripts_change_the_strength_of_colours_only():
    policy = adios(0.4, 0.3, 0.2, 0.1)
    assert (policy.brightness, policy.contrast, policy.saturation, policy.hue) == (
        0.4,
        0.3,
        0.2,
        0.1,
    )
    assert policy.replace(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2) == adios()


def test_settings_survive_json():
    policy = simclr(224).replace(solarise=0.2, exact=True)
    assert Policy.parse(policy.tree()) == policy


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("crop_scale", (0.5, 0.2), "smaller first"),
        ("crop_scale", (0.5, 1.2), "at most 1"),
        ("crop_ratio", (0.0, 1.0), "positive"),
        ("blur_sigma", (-1.0, 1.0), "positive"),
        ("hue", 0.6, "0.5"),
        ("flip", 1.1, "1"),
    ],
)
def test_impossible_settings_are_refused(field: str, value: object, said: str):
    with pytest.raises(ValueError, match=said):
        simclr(32).replace(**{field: value})
