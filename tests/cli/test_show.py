import io

import pytest
from rich.console import Console

from masquerade.cli import show


def test_numbers_stand_to_the_right_and_nothing_is_cut() -> None:
    rows = [["a" * 200, 0.5, 1234, None], ["b", 0.25, 5, "x"]]
    first, second, third = show.aligned(("name", "share", "steps", ""), rows)
    assert first.split() == ["name", "share", "steps"]
    assert second == f"{'a' * 200}  50.0 %  1,234  -"
    assert third.startswith("b ") and third.endswith("25.0 %      5  x")


def test_a_table_without_headings_has_no_line_for_them() -> None:
    assert show.aligned(("", ""), [["a", "b"]]) == ["a  b"]


def test_the_best_of_each_column_is_bold_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80, color_system="standard")
    monkeypatch.setattr(show, "results", terminal)
    show.table(("", "top-1"), [["x", 0.25], ["y[b]", 0.5]], best=True)
    assert "\x1b[1m50.0 %\x1b[0m" in out.getvalue()
    assert "\x1b[1m25.0 %" not in out.getvalue()
    assert "y[b]" in out.getvalue()  # markup in names is text


def test_lines_are_tab_separated_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    show.lines(("file", "score"), [["a b.jpg", 0.5]])
    assert capsys.readouterr().out == "file\tscore\na b.jpg\t0.5\n"
