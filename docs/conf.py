"""Sphinx configuration."""

from asennp import __version__ as release

project = "asennp"
author = "The asennp developers"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "myst_parser"]
myst_enable_extensions = ["dollarmath"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
html_theme = "alabaster"
html_title = f"asennp {release}"
# ref.python: a plain name in a docstring (bias, nodes) that more than one class has as a field links nowhere
suppress_warnings = ["docutils", "ref.python"]
