"""The wheel: everything that is needed at run time, nothing else, and it works when installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git would ship, without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    names = ["pyproject.toml", "README.md", "LICENSE", "src"]
    pack = subprocess.Popen(["tar", "-c", *names], cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x"], cwd=source, stdin=pack.stdout, check=True)
    assert pack.stdout is not None
    pack.stdout.close()
    assert pack.wait() == 0
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = out.glob("*.whl")
    return file


def test_the_wheel_holds_what_is_needed_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        meta = next(n for n in names if n.endswith("/METADATA"))
        about = packed.read(meta).decode()
    for needed in (
        "masquerade/py.typed",
        "masquerade/__main__.py",
        "masquerade/data/toybox/toybox.zip",
        "masquerade/data/toybox/LICENSES.txt",
        "masquerade/data/sources/imagenet100.txt",
        "masquerade/report/paper_table.html.jinja",
        "masquerade/report/page.html.jinja",
        "masquerade/report/style.css",
        "masquerade/report/script.js",
    ):
        assert needed in names
    ours = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src" / "masquerade").rglob("*.py")}
    assert ours <= set(names)
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert "License-Expression: Apache-2.0" in about
    assert not [n for n in names if n.startswith(("tests", "benchmarks", "docs")) or "shared" in n]
    assert wheel.stat().st_size < 12e6


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installs every dependency, torch among them: minutes, and a package index."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    install = [str(place / "bin" / "pip"), "install", "--quiet", *constraints, str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(place / "bin" / "masquerade")]
    listed = subprocess.run(
        [*command, "list"], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True
    )
    assert "maskers\tsequential\t" in listed.stdout
    small = ["scale=smoke", "epochs=1", "data.per_class=8", "out=a"]
    subprocess.run([*command, "pretrain", "simclr", *small], cwd=tmp_path, env=clean, check=True)
    subprocess.run([*command, "report", "a"], cwd=tmp_path, env=clean, check=True)
    assert (tmp_path / "a" / "report.html").exists()
