import pytest

from masquerade.report.words import Score, doubt, gap, percent, points, short, span, verdict


def test_numbers_read_as_people_write_them() -> None:
    assert percent(0.4123).replace("\xa0", " ") == "41.2 %"
    assert points(-0.091).replace("\xa0", " ") == "9.1 points"
    assert points(0.01).replace("\xa0", " ") == "1.0 point"
    for seconds, text in (
        (40.0, "40 s"),
        (720.0, "12 min"),
        (12600.0, "3.5 h"),
        (181440.0, "2.1 days"),
    ):
        assert span(seconds).replace("\xa0", " ") == text
    for value, text in ((0.01234, "0.0123"), (12.345, "12.3"), (1234.5, "1,234"), (0.0, "0")):
        assert short(value) == text


def test_doubt_is_two_standard_errors_of_a_difference_of_shares() -> None:
    assert doubt(Score(0.5, 1000), Score(0.5, 1000)) == pytest.approx(2 * (0.5 / 1000) ** 0.5)
    assert doubt(Score(0.5), Score(0.2, 100)) == 0


def test_a_difference_that_chance_explains_is_none() -> None:
    assert gap(Score(0.40, 1000), Score(0.38, 1000)) == 0
    assert gap(Score(0.40, 1000), Score(0.30, 1000)) == 1
    assert gap(Score(0.30, 1000), Score(0.40, 1000)) == -1
    assert gap(Score(0.40), Score(0.38)) == 1


@pytest.mark.parametrize(
    ("untrained", "pixels", "mood", "said"),
    [
        (
            0.3,
            0.2,
            "good",
            "Training helped: 10.0 points better than the same network untrained and",
        ),
        (0.3, 0.5, "mixed", "Training helped in part"),
        (0.39, 0.2, "mixed", "no clear difference from the same network untrained"),
        (0.39, 0.41, "mixed", "no clear gain over the same network untrained or raw pixels"),
        (
            0.5,
            0.41,
            "bad",
            "Training did not help: 10.0 points worse than the same network untrained",
        ),
        (0.5, 0.6, "bad", "worse than raw pixels"),
    ],
)
def test_the_verdict_is_honest(untrained: float, pixels: float, mood: str, said: str) -> None:
    found, sentence = verdict(Score(0.4, 1000), Score(untrained, 1000), Score(pixels, 1000))
    assert found == mood
    assert said in sentence.replace("\xa0", " ")


def test_without_anything_to_compare_the_verdict_claims_nothing() -> None:
    mood, sentence = verdict(Score(0.4, 1000), None, None)
    assert mood == "open"
    assert "40.0" in sentence
