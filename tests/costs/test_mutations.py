import pytest
from benchmarks.machine import ROOT
from benchmarks.mutations import MUTATIONS, Mutation, mutated

CASES = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)


@CASES
def test_the_text_that_a_mistake_replaces_is_in_the_source_once(mutation):
    source = (ROOT / "src" / "masquerade" / mutation.file).read_text(encoding="utf-8")
    wrong = mutated(source, mutation)
    assert wrong != source
    compile(wrong, mutation.file, "exec")


@CASES
def test_the_tests_that_ought_to_notice_are_there(mutation):
    assert mutation.tests
    assert all((ROOT / name).is_file() for name in mutation.tests)


@pytest.mark.parametrize("source", ["a = 2", "a = 1\na = 1"])
def test_a_source_that_has_moved_on_is_refused(source):
    with pytest.raises(ValueError, match="not once"):
        mutated(source, Mutation("name", "file.py", "a = 1", "a = 3", ("tests",)))
