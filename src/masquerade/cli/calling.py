"""How a verb is called and how it ends: its words, --json, and errors told in words."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec

import typer

P = ParamSpec("P")

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME...] [key=value...]", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def told(verb: Callable[P, None]) -> Callable[P, None]:
    """The verb, with the errors that people can do something about told in words.

    MASQUERADE_TRACEBACK=1 shows where a message comes from.
    """

    @wraps(verb)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        from masquerade.core.errors import Interrupted, MasqueradeError, WrongPath

        try:
            verb(*args, **kwargs)
        except Interrupted as stop:
            ended(128 + stop.signal, str(stop), stop, failed=False)
        except KeyboardInterrupt as stop:
            ended(130, "stopped", stop, failed=False)
        except WrongPath as error:
            ended(2, str(error), error)
        except MasqueradeError as error:
            ended(1, str(error), error)
        except ValueError as error:
            ended(2, str(error), error)
        except BrokenPipeError:  # `masquerade list | head`: nobody reads any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            ended(1, f"{place}{error.strerror or error}", error)
        except (MemoryError, RuntimeError) as error:
            if not exhausted(error):
                raise
            ended(1, "out of memory: lower batch= or size=; dry_run=true says the need", error)

    return inner


def ended(code: int, text: str, error: BaseException, failed: bool = True) -> None:
    """Says what happened and leaves with an exit code."""
    from masquerade.cli import show

    if os.environ.get("MASQUERADE_TRACEBACK"):
        raise error
    (show.fail if failed else show.say)(text)
    sys.exit(code)


def exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch tells it as a RuntimeError."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text
