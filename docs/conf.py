"""How Sphinx makes the site of these pages: `make docs`.

Pages are Markdown (MyST) and notebooks, which are executed as the site is made. What a program can say of itself is not
written down: a line such as `<!-- names: models -->` is replaced by what `generated.py` makes of docstrings and help.
"""

import os
import sys
from pathlib import Path

# Help is as wide as a page, whatever the terminal; notebooks leave nothing behind, and miss no widgets for progress.
os.environ |= {
    "COLUMNS": "100",
    "NO_COLOR": "1",
    "TTY_COMPATIBLE": "0",
    "FEDPRIME_CACHE": "off",
    "PYTHONWARNINGS": "ignore:IProgress not found",
}
sys.path.insert(0, str(Path(__file__).parent))

import generated

import fedprime

project = "fedprime"
author = "The fedprime authors"
version = release = fedprime.__version__
project_copyright = author

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"  # docstrings put names between single backticks

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "fedprime"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


def setup(app) -> None:  # noqa: ANN001
    """Lets the marks in pages be replaced."""
    app.connect("source-read", generated.fill_in)
