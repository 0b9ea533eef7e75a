from pathlib import Path

from tests.cli.command import TINY, Masquerade, photographs

SMALL = [w for w in TINY if not w.startswith(("maskers", "data"))]


def test_the_demo_ends_in_a_table_and_a_page_and_is_not_run_twice(
    masquerade: Masquerade, here: Path
) -> None:
    photographs(here / "photos")
    told = masquerade("demo", "data=photos", "out=demo", *SMALL)
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert "kNN test" in lines[0] and "linear test" in lines[0] and "CPU-seconds" in lines[0]
    names = ["raw pixels", "untrained encoder", "SimCLR", "Sequential", "SimCLR, same CPU time"]
    assert [next(n for n in reversed(names) if line.startswith(n)) for line in lines[1:6]] == names
    assert lines[-1] == "demo/report.html"
    assert Path("demo/report.html").stat().st_size > 10_000
    encoders = sorted(Path("demo").glob("*/encoder.safetensors"))
    before = [place.stat().st_mtime_ns for place in encoders]
    again = masquerade("demo", "data=photos", "out=demo", *SMALL, "--json")
    assert [place.stat().st_mtime_ns for place in encoders] == before and len(before) == 3
    assert again.json["main"] == "sequential"
    assert masquerade("report", "demo").out == "demo/report.html\n"
    assert masquerade("evaluate", "demo").code == 2


def test_a_demo_is_told_its_mistakes(masquerade: Masquerade, here: Path) -> None:
    assert "seed is a whole number" in masquerade("demo", "seed=x").err
    assert masquerade("demo", "photos").code == 2
    assert masquerade("demo", "data=./nowhere", "epochs=1").code == 2
    Path("file").write_text("")
    told = masquerade("demo", "out=file", *(w for w in TINY if not w.startswith("maskers")))
    assert told.code == 1 and "file" in told.err and "Traceback" not in told.err
