"""Settings: frozen, validated, changed by dotted overrides, all mistakes told at once.

A field whose type is a `Plug` takes any module of that family: in Python a `Config` object, on
the command line or in JSON a name (`objective=simclr`) or a table with `kind`.
"""

import json
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from masquerade.core import plugins

NOUNS = {  # by the first word of what pydantic calls a mistake
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table of names and values",
    "model": "a table of settings",
}

INSIDE = ("function", "literal[")  # how pydantic names a place that is no key of ours

# Not typing.Self: the run-time checks of the tests look at methods one by one.
S = TypeVar("S", bound="Settings")
P = TypeVar("P", bound="Plug")


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, defaults validated."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _said(cls, value: Any) -> Any:
        """What a command line cannot know: `none` may be a word, and a word a list of plug-ins."""
        if not isinstance(value, dict):
            return value
        fields = {n: f.annotation for n, f in cls.model_fields.items()}
        words = {n for n, kind in fields.items() if "none" in get_args(kind)}
        told = {k: "none" if v is None and k in words else v for k, v in value.items()}
        lists = {n for n, kind in fields.items() if get_origin(kind) is tuple and settings_in(kind)}
        return {k: listed(v) if isinstance(v, str) and k in lists else v for k, v in told.items()}

    def replace(self: S, **changes: Any) -> S:
        """A copy with some fields changed, validated as a whole."""
        return type(self).parse({**self.tree(), **changes})

    def override(self: S, texts: Sequence[str]) -> S:
        """A copy after `key=value` texts such as `maskers.0.masks=3`, applied in order.

        Values are JSON where they parse as JSON and plain text otherwise; `none` is null and
        `()` the empty list. Raises `ValueError` with every mistake in one message.
        """
        tree = self.tree()
        wrong = []
        for text in texts:
            key, equals, value = text.partition("=")
            if not equals or not key:
                wrong.append(f"{text!r} is not of the form key=value")
                continue
            try:
                assign(tree, key.split("."), parsed(value))
            except (KeyError, IndexError, TypeError, ValueError) as error:
                wrong.append(f"{key}: {error.args[0]}")
        try:
            changed = type(self).parse(tree)
        except ValueError as error:
            raise ValueError("\n".join([*wrong, str(error)])) from None
        if wrong:
            raise ValueError("\n".join(wrong))
        return changed

    def tree(self) -> dict[str, Any]:
        """The settings as nested dicts and lists, ready for JSON; plug-ins carry their `kind`."""
        return self.model_dump(mode="json", serialize_as_any=True)

    @classmethod
    def parse(cls: type[S], tree: Any) -> S:
        """Settings from nested dicts; raises `ValueError` with one line per mistake."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ValueError("\n".join(sentences(cls, tree, error))) from None


class Plug(Settings):
    """Base of a family's settings (`MaskerConfig`, `ObjectiveConfig`, ...).

    Attributes:
        family: The package whose modules may stand here, as `masquerade.maskers`.
        noun: What one of them is called in messages.
    """

    family: ClassVar[str] = ""
    noun: ClassVar[str] = "plug-in"

    @classmethod
    def called(cls: type[P], name: object) -> type[P]:
        """The `Config` class of a module of this family; raises `ValueError` for any other name."""
        found = getattr(plugins.module(cls.family, name, cls.noun), "Config", None)
        if not (isinstance(found, type) and issubclass(found, cls)):
            raise ValueError(f"{name} has no Config that is a {cls.__name__}")
        return found

    @classmethod
    def shorthand(cls, text: str) -> Any:
        """What a bare word means where this family is expected; a name by default."""
        return {"kind": text}

    @property
    def kind(self) -> str:
        """The name of the module these settings belong to."""
        return plugins.short(self.family, type(self).__module__)

    @model_validator(mode="wrap")
    @classmethod
    def _resolve(cls: type[P], value: Any, handler: Callable[[Any], P]) -> P:
        if isinstance(value, str):
            value = cls.shorthand(value)
        if isinstance(value, dict):
            rest = {k: v for k, v in value.items() if k != "kind"}
            if cls.__name__ != "Config":
                if "kind" not in value:
                    known = ", ".join(plugins.names(cls.family))
                    raise ValueError(f"say which {cls.noun} with 'kind'; there are: {known}")
                return cls.called(value["kind"]).model_validate(rest)
            value = rest
        return handler(value)

    @model_serializer(mode="wrap")
    def _name(self, handler: Callable[[Any], Any]) -> dict[str, Any]:
        return {"kind": self.kind, **handler(self)}


def parsed(text: str) -> Any:
    """A command-line value: JSON if it is JSON, `none`, `()`, a comma list, else the text."""
    if text in ("()", ""):
        return []
    if text.lower() in ("none", "null"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def assign(tree: Any, keys: Sequence[str], value: Any) -> None:
    """Put a value at a dotted place of nested dicts and lists.

    A bare plug-in name on the way becomes a table of that `kind`, a comma list of them with an
    index below it a list; an index may name the place just after the end of a list.
    """
    for key, below in pairwise(keys):
        if isinstance(tree, list):
            tree[position(tree, key)] = deep = opened(tree[position(tree, key)])
        else:
            old = tree.get(key, [] if below.isdigit() else {})
            entries = isinstance(old, str) and below.isdigit()
            tree[key] = deep = listed(old) if entries else opened(old)
        tree = deep
    last = keys[-1]
    if isinstance(tree, list):
        if last.isdigit() and int(last) == len(tree):
            tree.append(value)
        else:
            tree[position(tree, last)] = value
    else:
        old = tree.get(last)
        words = isinstance(value, str) and isinstance(old, list)
        tree[last] = listed(value) if words else value


def listed(text: str) -> list[Any]:
    """The words of a comma list."""
    return [word for word in text.split(",") if word]


def opened(value: Any) -> Any:
    """A dict or list that deeper keys can be written into."""
    if isinstance(value, str):
        return {"kind": value}
    if value is None:
        return {}
    if not isinstance(value, dict | list):
        raise ValueError(f"{value!r} has no settings of its own")
    return value


def position(entries: list[Any], key: str) -> int:
    """A list index written as text."""
    if not key.isdigit() or int(key) >= len(entries):
        raise ValueError(f"there is no entry {key!r} in a list of {len(entries)}")
    return int(key)


def sentences(cls: type[Settings], tree: Any, error: ValidationError) -> list[str]:
    """One sentence per mistake, with the nearest known name where a key is unknown."""
    lines = []
    found = error.errors(include_url=False)
    for item in found:
        if item["type"] == "too_short" and any(inside(e["loc"], item["loc"]) for e in found):
            continue  # pydantic counts good entries only: the bad ones are told themselves
        place = tuple(p for p in item["loc"] if not (isinstance(p, str) and p.startswith(INSIDE)))
        where = ".".join(str(p) for p in place)
        if item["type"] == "extra_forbidden":
            lines.append(unknown(owner(cls, tree, place[:-1]), str(place[-1]), place))
        elif item["type"] == "value_error":
            text = item["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {text[:1].lower()}{text[1:]}" if where else text)
        else:
            came = item["input"]
            plain = isinstance(came, str | int | float | bool | None)
            lines.append(f"{where} {wanted(item)}{f', got {came!r}' if plain else ''}".lstrip())
    return lines


def inside(place: Sequence[int | str], outer: Sequence[int | str]) -> bool:
    """Whether a place lies below another."""
    return len(place) > len(outer) and tuple(place[: len(outer)]) == tuple(outer)


def wanted(item: ErrorDetails) -> str:
    """What a value had to be, as the rest of a sentence that begins with its key."""
    kind, limits = item["type"], item.get("ctx", {})
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("more than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
    if kind in bounds:
        words, limit = bounds[kind]
        return f"must be {words} {limits[limit]:g}"
    if kind == "literal_error":
        return f"must be one of {limits['expected'].replace(' or ', ', ').replace(chr(39), '')}"
    if kind == "too_short":
        least = limits["min_length"]
        return f"must have at least {least} entr{'y' if least == 1 else 'ies'}"
    if kind in ("missing", "string_too_short"):
        return "is missing" if kind == "missing" else "must not be empty"
    start = kind.partition("_")[0]
    return f"must be {NOUNS[start]}" if start in NOUNS else f"is wrong: {item['msg']}"


def unknown(model: type[Settings], key: str, place: tuple[int | str, ...]) -> str:
    """`masquerade.maskers.x has no setting 'gird'. Did you mean 'grid'? It has: ...`."""
    known = list(model.model_fields)
    near = get_close_matches(key, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    at = ".".join(str(p) for p in place[:-1])
    prefix = f"{at}: " if at else ""
    name = model.__module__ if model.__name__ == "Config" else model.__name__
    return f"{prefix}{name} has no setting {key!r}.{hint} It has: {', '.join(known)}"


def owner(cls: type[Settings], tree: Any, place: Sequence[int | str]) -> type[Settings]:
    """The settings class at a place, following the plug-ins that the values name."""
    model = chosen(cls, tree)
    if not place:
        return model
    key, rest = place[0], list(place[1:])
    value = tree.get(key) if isinstance(tree, dict) else getattr(tree, str(key), None)
    field = model.model_fields.get(str(key))
    candidates = settings_in(field.annotation) if field else []
    table = isinstance(value, dict) and is_table(field.annotation if field else None)
    if value is not None and rest and (table or isinstance(value, list | tuple)):
        value, rest = value[rest[0]], rest[1:]
    return owner(candidates[0], value, rest) if candidates else model


def chosen(cls: type[Settings], value: Any) -> type[Settings]:
    """The plug-in class a value names, or the class itself."""
    if isinstance(value, Settings):
        return type(value)
    if issubclass(cls, Plug) and cls.__name__ != "Config" and isinstance(value, dict):
        return cls.called(value["kind"]) if "kind" in value else cls
    return cls


def settings_in(annotation: Any) -> list[type[Settings]]:
    """The settings classes mentioned in a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for inner in get_args(annotation) for found in settings_in(inner)]


def is_table(annotation: Any) -> bool:
    """Whether a field is a dict from names to values."""
    return getattr(annotation, "__origin__", None) is dict
