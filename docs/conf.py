"""How Sphinx builds the site: ``sphinx-build -W docs docs/_build``.

The lessons are shown as they were executed (``docs/notebooks/build.py``); nothing is run here. MathJax comes with
the site, so that formulas need no network.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import minidl

project = "minidl"
author = "The minidl authors"
project_copyright = f"{author}. MIT-licensed"
version = release = minidl.__version__

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "jupyter_execute"]

# Pages and lessons
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True

# Broken links within the site are errors under -W. Types in docstrings are words, not links.
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]

# The reference, from docstrings in NumPy's style
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
toc_object_entries_show_parents = "hide"
add_module_names = False
numpydoc_show_class_members = False

html_theme = "furo"
html_title = "minidl"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}


def _skip(app, what, name, item, skip, options):
    """Neither the fields of named tuples, which their class describes, nor what a base class elsewhere puts in."""
    alias = (getattr(item, "__doc__", None) or "").startswith("Alias for field number")
    ours = (getattr(item, "__module__", None) or project).startswith(project)
    return True if alias or not ours else None


def _playground(app, error):
    """A page as it is, with its scripts: nothing of it is Sphinx's."""
    if app.builder.format == "html" and not error:
        ignore = shutil.ignore_patterns("*.py", "__pycache__")
        shutil.copytree(
            Path(__file__).with_name("playground"), app.outdir / "playground", ignore=ignore, dirs_exist_ok=True
        )


def setup(app):
    app.connect("build-finished", _playground)
    app.connect("autodoc-skip-member", _skip)
