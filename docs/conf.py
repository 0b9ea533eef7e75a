"""How Sphinx builds the documentation: `make docs` writes build/docs/index.html."""

from masquerade import __version__

project = "masquerade"
author = "The masquerade developers"
copyright = "The masquerade developers, Apache-2.0"  # the name that Sphinx reads
release = __version__
extensions = [
    "myst_parser",  # Markdown, as GitHub shows it
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # docstrings in Google's form
]
html_theme = "furo"
html_title = f"masquerade {__version__}"
exclude_patterns = ["results"]  # pages of benchmarks, linked from README.md
myst_heading_anchors = 3
default_role = "code"  # a word in single backticks is code
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": True}


def without_pydantic(
    app: object, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leaves out what pydantic adds to each class of settings."""
    return True if name.startswith("model_") else None


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", without_pydantic)  # type: ignore[attr-defined]  # Sphinx's own class
