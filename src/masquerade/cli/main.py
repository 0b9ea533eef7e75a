"""The `masquerade` command. Heavy modules are imported once a verb runs, so that help is quick."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from masquerade import __version__

app = typer.Typer(
    name="masquerade",
    help="Train image encoders without labels by hiding parts of images; measure, show, export.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
export_app = typer.Typer(no_args_is_help=True, help="Take an encoder away.")
app.add_typer(export_app, name="export")

Words = Annotated[list[str] | None, typer.Argument(metavar="[NAME...] [key=value...]")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def pretrain(words: Words = None, json: Json = False) -> None:
    """Train an encoder from a recipe, or go on with a run that was cut.

    masquerade pretrain sequential data=photos size=96 epochs=50 out=runs/a

    NAME is a recipe (`masquerade list recipes`) or the folder of a run. `scale=small|paper|smoke`
    chooses the size of the recipe, `dry_run=true` says what it would cost, `data=`, `seed=`,
    `devices=` and `out=` are what they say; every other key is a setting.
    """
    from masquerade.cli import verbs

    verbs.pretrain(words or [], json)


@app.command()
def evaluate(words: Words = None, json: Json = False) -> None:
    """Measure an encoder: kNN, linear probe, map of the embeddings.

    masquerade evaluate runs/a [knn] [linear] [embedding] [data=...] [knn.k=10]
    """
    from masquerade.cli import verbs

    verbs.evaluate(words or [], json)


@app.command()
def predict(words: Words = None, json: Json = False) -> None:
    """Label images with the probe or the neighbours that evaluate kept.

    masquerade predict runs/a photos/new [with=linear|knn] [out=labels.csv]
    """
    from masquerade.cli import verbs

    verbs.predict(words or [], json)


@app.command()
def report(words: Words = None) -> None:
    """Write a run as one HTML page; further runs are compared with it.

    masquerade report runs/a [runs/b ...]
    """
    from masquerade.cli import verbs

    verbs.report(words or [])


@app.command()
def doctor(words: Words = None, json: Json = False) -> None:
    """Look at every file of a folder of images and say what pretrain would do with it.

    masquerade doctor photos [channels=rgb|grey|keep]
    """
    from masquerade.cli import verbs

    verbs.doctor(words or [], json)


@app.command(name="list")
def list_(words: Words = None, json: Json = False) -> None:
    """What there is: recipes, sources, maskers, objectives, optimizers, protocols.

    masquerade list [maskers] [my_package.my_masker ...]
    """
    from masquerade.cli import listing

    listing.run(words or [], json)


@app.command()
def cache(words: Words = None, json: Json = False) -> None:
    """Where decoded images are kept, how much they take, and how to remove them.

    masquerade cache [clear]
    """
    from masquerade.cli import verbs

    verbs.cache(words or [], json)


@app.command()
def demo(words: Words = None, json: Json = False) -> None:
    """The whole story in minutes: no labels, chance, an adversary, a page to look at.

    masquerade demo [data=toybox|fashion_mnist|folder] [seed=0] [out=runs/demo]
    """
    from masquerade.cli import verbs

    verbs.demo(words or [], json)


@export_app.command(name="timm")
def export_timm(words: Words = None) -> None:
    """Write an encoder so that plain timm loads it.

    masquerade export timm runs/a [out=encoder]
    """
    from masquerade.cli import verbs

    verbs.export_timm(words or [])


def version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"masquerade {__version__}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train image encoders without labels by hiding parts of images; measure, show, export."""


def main() -> None:
    """Run the command; mistakes end in one message and an exit code, not in a traceback.

    Exit codes: 0 done, 1 it could not be done, 2 a mistake in the command, 130 Ctrl-C, 143
    SIGTERM. MASQUERADE_TRACEBACK=1 shows where a message comes from.
    """
    if os.environ.get("MASQUERADE_TRACEBACK"):
        app()
    told(app)()


def told(run: Callable[[], Any]) -> Callable[[], None]:
    """The same, with the errors that people can do something about told in words."""

    @wraps(run)
    def inner() -> None:
        from masquerade.core.errors import Interrupted, MasqueradeError

        try:
            run()
        except Interrupted as stop:
            sys.stderr.write(f"{stop}\n")
            sys.exit(128 + stop.signal)
        except KeyboardInterrupt:
            sys.stderr.write("stopped\n")
            sys.exit(130)
        except MasqueradeError as error:
            sys.stderr.write(f"error: {error}\n")
            sys.exit(1)
        except ValueError as error:
            sys.stderr.write(f"error: {error}\n")
            sys.exit(2)
        except OSError as error:
            sys.stderr.write(f"error: {error}\n")
            sys.exit(1)

    return inner
