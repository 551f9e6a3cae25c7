"""The documentation site: `make docs`."""

import os
import sys
import tempfile
from pathlib import Path

from pysoftcorr import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# Bars of progress are for people who wait.
os.environ["TQDM_DISABLE"] = "1"
# Warnings in notebooks say what they warn of, not where files lie on the machine of the build.
_ipython = tempfile.TemporaryDirectory(prefix="ipython-")
_startup = Path(_ipython.name) / "profile_default" / "startup"
_startup.mkdir(parents=True)
(_startup / "warnings.py").write_text(
    "import warnings\n\n"
    "warnings.formatwarning = lambda message, kind, *_, **__: f'{kind.__name__}: {message}\\n'\n"
)
os.environ["IPYTHONDIR"] = _ipython.name

project = "pysoftcorr"
author = "the authors of pysoftcorr"
copyright = "the authors of pysoftcorr, MIT license"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "public_names",
    "command_pages",
    "benchmark_pages",
    "built_links",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]

# Docstrings: `name` is a name of this package where there is one, and plain code where not.
default_role = "py:obj"
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Pages in Markdown; notebooks are run when the site is built, and stop it where a cell fails.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

# Pages from elsewhere in the repository name others by their place there.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"pysoftcorr {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
