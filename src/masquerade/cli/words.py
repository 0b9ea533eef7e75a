"""One grammar: `masquerade VERB [TARGET...] [key=value ...]`."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*=", re.ASCII)


class Words(NamedTuple):
    """A command line after the verb.

    Attributes:
        targets: Words that are not of the form key=value.
        reserved: Values of the keys that the verb takes itself.
        settings: All other `key=value` words, in order.
    """

    targets: list[str]
    reserved: dict[str, str]
    settings: list[str]

    def flag(self, key: str, usual: bool = False) -> bool:
        """A reserved key that is true or false; `usual` where it is not given."""
        value = self.reserved.get(key, str(usual)).lower()
        if value not in ("true", "false"):
            raise ValueError(f"{key} is true or false, got {value!r}")
        return value == "true"

    def whole(self, key: str, usual: int) -> int:
        """A reserved key that is a whole number, 0 or more."""
        value = self.reserved.get(key, str(usual))
        if not re.fullmatch("[0-9]+", value):
            raise ValueError(f"{key} is a whole number, got {value!r}")
        return int(value)


def sorted_out(
    words: Iterable[str], reserved: Iterable[str] = (), fields: Iterable[str] = ()
) -> Words:
    """Targets, reserved keys and settings of a command line.

    A word is key=value if what stands before its first "=" is a dotted name; so `runs/a=b` is a
    target, and a folder called `a=b` is written `./a=b`.

    Args:
        words: The command line after the verb.
        reserved: Keys that the verb takes itself; of a key given twice the last counts.
        fields: The first parts of the settings' keys, so that a misspelt reserved key is told
            from a misspelt setting.

    Raises:
        ValueError: A key is nearest to a reserved one, or to nothing where there are no settings.
    """
    found = Words([], {}, [])
    own, settings = list(reserved), list(fields)
    for word in words:
        key, _, value = word.partition("=")
        if not KEY.match(word):
            found.targets.append(word)
        elif key in own:
            found.reserved[key] = value
        else:
            near = get_close_matches(key, [*own, *settings], n=1)
            known = key.partition(".")[0] in settings
            if not known and (not settings or (near and near[0] in own)):
                hint = f" Did you mean {near[0]}=?" if near else ""
                if Path(word).exists():
                    hint = f" A file or folder of that name is written ./{word}."
                takes = f" It takes: {', '.join(f'{k}=' for k in own) or 'no settings'}."
                raise ValueError(
                    f"{key}= is nothing this verb knows.{hint}{'' if settings else takes}"
                )
            found.settings.append(word)
    return found


def most(targets: list[str], count: int, usage: str) -> None:
    """Raises `ValueError` where there are more targets than a verb has a use for."""
    if len(targets) > count:
        raise ValueError(
            f"{targets[count]!r} is one name too many: {usage} (settings are written key=value)"
        )
