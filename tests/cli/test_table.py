"""The verb table: what it takes, prints and leaves."""

import json
from pathlib import Path

from tests.cli.command import TINY, Masquerade

EVERY = [w for w in TINY if not w.startswith("maskers")]
ERASE = ("table", "linear", "scale=smoke", "seeds=1", "only=erase", *EVERY, "epochs=1")


def test_a_row_of_a_table_is_run_printed_and_written(masquerade: Masquerade, here: Path) -> None:
    told = masquerade(*ERASE)
    assert told.code == 0, told.err
    title, heads, *rows = told.out.splitlines()
    assert title == "Linear probe on frozen features, top-1 in %"
    assert heads.split("  ") and "STL-10, paper" in heads and "things10, ours" in heads
    assert [r.split("  ")[0] for r in rows[:3]] == ["SimCLR", "+ erase", "+ ADIOS"]
    assert "85.10 ± 0.12" in rows[0] and "(1 seed)" in rows[1] and "86.03 ± 0.03" in rows[2]
    folder = Path("runs/tables/adversarial_masking.linear-smoke")
    assert told.out.splitlines()[-1] == str(folder / "table.html")
    assert {p.name for p in folder.glob("table.*")} == {"table.json", "table.md", "table.html"}
    again = masquerade(*ERASE, "--json")
    assert again.code == 0 and again.json == json.loads((folder / "table.json").read_text())
    assert "is finished already" in again.err


def test_what_a_table_costs_is_said_without_running_it(masquerade: Masquerade, here: Path) -> None:
    told = masquerade(*ERASE, "seeds=2", "dry_run=true")
    assert told.code == 0, told.err
    assert "+ erase, things10" in told.out and "2 seeds: " in told.out
    assert not Path("runs").exists()
    told = masquerade(*ERASE, "dry_run=true", "--json")
    assert told.json["cells"][0]["row"] == "+ erase" and told.json["cells"][0]["steps"] > 0


def test_wrong_words_after_table_are_answered(masquerade: Masquerade, here: Path) -> None:
    for words, text in (
        ((), "name a table: masquerade table NAME"),
        (("linera",), "Did you mean 'linear'"),
        (("linear", "seed=3"), "a table takes seeds="),
        (("linear", "seeds=x"), "seeds is a whole number"),
        (("linear", "scale=big"), "scale must be one of paper, small, smoke"),
        (("linear", "only=MAE"), "no row or column of adversarial_masking.linear holds 'MAE'"),
        (("linear", "epoch=3"), "Did you mean 'epochs'"),
        (("crossing", "scale=paper"), "nobody published objectives.crossing"),
    ):
        told = masquerade("table", *words)
        assert told.code == 2 and text in told.err, (words, told.err)
        assert not Path("runs").exists()


def test_tables_without_images_say_where_to_get_them(masquerade: Masquerade, here: Path) -> None:
    told = masquerade("table", "adversarial_masking.linear", "scale=paper")
    assert told.code != 0
    assert "https://image-net.org/download" in told.err and "stl10_binary.tar.gz" in told.err


def test_tables_are_listed_with_what_they_show(masquerade: Masquerade) -> None:
    told = masquerade("list", "tables")
    assert "tables\tadversarial_masking.linear\tTop-1 of a linear probe on STL-10" in told.out
    names = [line.split("\t")[1] for line in told.out.splitlines()]
    assert "objectives.crossing" in names and not any("recipe" in n for n in names)
    assert "objectives.moco" in masquerade("list", "recipes", "--json").json["recipes"]
