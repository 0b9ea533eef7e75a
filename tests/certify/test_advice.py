from masquerade.certify.advice import advice
from masquerade.certify.partition import Health


def told(mean, empty=0.0, absent=0.0, models=100):
    return " ".join(advice(Health(models, mean, 0, mean, 0, empty, absent), 10))


def test_the_run_off_is_advised_where_models_see_several_images_of_each_class():
    assert "enough for the run-off" in told(50)
    assert "about as good" in told(20)
    assert "too few for the run-off" in told(6)
    assert "about parts=20" in told(6)  # 600 images, 3 of each of 10 classes
    assert "get more labelled images" in told(1)


def test_empty_models_and_absent_classes_are_said():
    assert "see no image" not in told(50)
    assert "7% of the models see no image" in told(6, empty=0.07)
    assert "In 40% of the pairs" in told(6, absent=0.4)
    assert "a choice by them is not covered" in told(50)
