"""One grammar: `masquerade VERB [TARGET...] [key=value ...]`."""

from typing import NamedTuple


class Words(NamedTuple):
    """A command line after the verb.

    Attributes:
        targets: Words without an equals sign.
        reserved: Values of the keys that the verb takes itself.
        settings: All other `key=value` words, in order.
    """

    targets: list[str]
    reserved: dict[str, str]
    settings: list[str]

    def flag(self, key: str) -> bool:
        """A reserved key that is true or false; false where it is not given."""
        value = self.reserved.get(key, "false").lower()
        if value not in ("true", "false"):
            raise ValueError(f"{key} is true or false, got {value!r}")
        return value == "true"


def sorted_out(words: list[str], reserved: set[str], most: int | None = None) -> Words:
    """Targets, reserved keys and settings of a command line.

    Raises:
        ValueError: More than `most` targets.
    """
    targets = [w for w in words if "=" not in w]
    pairs = [w.partition("=") for w in words if "=" in w]
    if most is not None and len(targets) > most:
        raise ValueError(
            f"expected at most {most} name{'s' * (most != 1)} here, got {' '.join(targets)}; "
            "settings are written key=value"
        )
    own = {key: value for key, _, value in pairs if key in reserved}
    rest = [f"{key}={value}" for key, _, value in pairs if key not in reserved]
    return Words(targets, own, rest)
