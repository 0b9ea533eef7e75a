"""A run's folder: the contract between jobs, written so that a kill never harms a whole file.

Every file is written beside its place, flushed to disk and then moved over it in one step.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from masquerade.core.errors import CannotResume, MissingData


class RunDir:
    """The folder of one run.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, name: str) -> Path:
        """The place of a file of this run, its folder made."""
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def start(
        self,
        config: dict[str, Any],
        completed: Callable[[dict[str, Any]], dict[str, Any]] = lambda old: old,
    ) -> bool:
        """Claim the folder for these settings; True if it holds a run of theirs to go on with.

        Args:
            config: The settings as nested dicts.
            completed: Gives settings of an older version the defaults of newer fields; may raise
                `ValueError` where they cannot be read any more.

        Raises:
            CannotResume: It holds a run with other settings (each differing key is named), or
                files that are no run.
        """
        known = self.path / "config.json"
        if not known.exists():
            if self.path.exists() and not self.path.is_dir():
                raise CannotResume(f"{self.path} is a file; out= must name a folder")
            foreign = sorted(p.name for p in self.path.glob("*") if p.name not in OURS)
            if foreign:
                raise CannotResume(
                    f"{self.path} is not empty ({', '.join(foreign[:3])}) and holds no run. "
                    "Name another folder with out=..."
                )
            self.write_json("config.json", config)
            return False
        old = self.read_json("config.json")
        with suppress(ValueError):  # what cannot be read is compared as it stands
            old = completed(old)
        differences = list(differing(old, config))
        if differences:
            lines = "\n  ".join(f"{k}: there {old!r}, now {new!r}" for k, old, new in differences)
            raise CannotResume(
                f"{self.path} holds a run with other settings:\n  {lines}\n"
                "Use its settings to go on with it, or another folder with out=..."
            )
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process out of this folder while it is written.

        A folder that was made for it, and into which nothing was written, is gone afterwards: a
        run that is refused leaves nothing behind.
        """
        made = [p for p in (self.path, *self.path.parents) if not p.exists()]
        lock = FileLock(self.file(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise CannotResume(f"another process is working on {self.path}") from None
        try:
            yield
        finally:
            unused = bool(made) and [p.name for p in self.path.glob("*")] == [".lock"]
            if unused:
                (self.path / ".lock").unlink()
            lock.release()
            if unused:
                with suppress(OSError):  # another run has begun below one of them
                    for folder in made:
                        folder.rmdir()

    def write(self, name: str, fill: Callable[[BinaryIO], object]) -> Path:
        """Write a file whole or not at all; `fill` gets it open for binary writing."""
        place = self.file(name)
        beside = place.with_name(f".{place.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as out:
                fill(out)
                out.flush()
                os.fsync(out.fileno())
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
        return place

    def write_text(self, name: str, text: str) -> Path:
        """Write a UTF-8 text file whole or not at all."""
        return self.write(name, lambda out: out.write(text.encode()))

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file whole or not at all."""
        return self.write_text(name, json.dumps(content, indent=2) + "\n")

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; raises `MissingData` where there is none or it is broken."""
        place = self.path / name
        try:
            return json.loads(place.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise MissingData(f"{self.path} holds no {name}; is it a run folder?") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise MissingData(f"{place} is not valid JSON") from None

    def has(self, name: str) -> bool:
        """Whether this run has a file."""
        return (self.path / name).exists()

    def results(self, part: str) -> dict[str, Any]:
        """Every JSON file of a sub-folder (`eval`) by its name without the ending."""
        files = sorted((self.path / part).glob("*.json"))
        return {f.stem: self.read_json(f"{part}/{f.name}") for f in files}

    def lines(self, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
        """The lines of a jsonl file; a last line cut by a kill is left out."""
        place = self.path / name
        if not place.exists():
            return []
        rows = []
        for text in place.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(text))
            except json.JSONDecodeError:
                break
        return rows


OURS = {".lock", "cache", "logs"}


def differing(old: Any, new: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every dotted key at which two nested settings disagree, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            place = f"{at}.{key}" if at else str(key)
            yield from differing(old.get(key), new.get(key), place)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for k, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differing(a, b, f"{at}.{k}")
    elif old != new:
        yield at, old, new
