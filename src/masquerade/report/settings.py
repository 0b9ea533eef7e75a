"""Settings as people read them: one short list per part, in the order of a run."""

from typing import Any, NamedTuple

PARTS = {
    "data": "Images",
    "backbone": "Network",
    "objective": "Objective",
    "maskers": "Maskers",
    "augment": "Views",
    "optimizers": "Optimizers",
    "runtime": "Machine",
}


class Section(NamedTuple):
    """A part of the settings: its name, and each dotted key with its value."""

    name: str
    entries: list[tuple[str, str]]


def sections(config: dict[str, Any]) -> list[Section]:
    """Every setting, the parts of a run first, single numbers together under "Length and rest"."""
    parts = [Section(name, flat(config[key])) for key, name in PARTS.items() if key in config]
    rest = {k: v for k, v in config.items() if k not in PARTS}
    plain = {k: v for k, v in rest.items() if not isinstance(v, dict)}
    deep = [Section(k, flat(v)) for k, v in rest.items() if isinstance(v, dict)]
    return [Section("Length and rest", flat(plain)), *parts, *deep]


def flat(value: Any, at: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted keys and texts."""
    if isinstance(value, dict) and value:
        return [pair for k, v in value.items() for pair in flat(v, f"{at}.{k}" if at else str(k))]
    if isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        numbered = {str(k): v for k, v in enumerate(value)}
        return flat(numbered, at)
    return [(at or "all", written(value))]


def written(value: Any) -> str:
    """A value as text: `none`, `yes`, `0.08, 1`."""
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(written(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
