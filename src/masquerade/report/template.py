"""Pages from templates; every text in them is escaped, style and script stand inside."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def rendered(template: str, page: dict[str, Any]) -> str:
    """The page of a template of this folder, filled with `page`."""
    package = files("masquerade.report")
    environment = Environment(
        loader=PackageLoader("masquerade.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ours = {
        "style": Markup(package.joinpath("style.css").read_text(encoding="utf-8")),
        "script": Markup(package.joinpath("script.js").read_text(encoding="utf-8")),
    }
    return environment.get_template(template).render(**ours, **page)
