"""Settings of the documentation: `nox -s docs` builds it."""

import os

import gaussmix

# Examples are run where they are, without a display.
os.environ.setdefault("MPLBACKEND", "Agg")

project = "gaussmix"
author = "The gaussmix developers"
copyright = "the gaussmix developers"
version = release = gaussmix.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
nitpicky = True
# Names of other projects, and words of type descriptions.
nitpick_ignore_regex = [("py:class", r"(?!gaussmix).*"), ("py:obj", r"(?!gaussmix).*"), ("py:meth", r"(?!gaussmix).*")]
templates_path = ["_templates"]
exclude_patterns = ["_build"]

html_theme = "pydata_sphinx_theme"
html_title = "gaussmix"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 4,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
# Pages that answer only to browsers, or seldom.
linkcheck_ignore = [r"https://doi\.org/.*", r"https://www\.jstor\.org/.*"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    # All examples are run; an error in one ends the build.
    "filename_pattern": r"[\\/]\d\d_",
    "ignore_pattern": r"(__init__|generate_digits)\.py",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "matplotlib_animations": False,
    "image_scrapers": ("matplotlib",),
    "doc_module": ("gaussmix",),
    "reference_url": {"gaussmix": None},
    "download_all_examples": False,
}


def skip_routing(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to each estimator for the routing of metadata."""
    return skip or name == "get_metadata_routing" or (name.startswith("set_") and name.endswith("_request"))


def setup(app):
    """Connect the above."""
    app.connect("autodoc-skip-member", skip_routing)
