"""Sphinx: `sphinx-build -W -q docs build/docs`. Needs no network, and neither do the pages: equations are MathML."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.writers.html5 import HTML5Translator

project = "Reparam"
author = "The Reparam authors"
html_title = "Reparam"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"
smartquotes = False  # two dashes are an option, not a dash

# Browsers leave no space in "log p" by themselves.
FUNCTION = re.compile(r"(<mo>&ApplyFunction;</mo>)(?=\s*<m(?:i|n|sub|sup|subsup|frac|munderover)\b)")


def _mathml(node: nodes.Element, as_block: bool) -> str:
    try:
        return FUNCTION.sub(r'\1<mspace width="0.17em"/>', tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        raise SphinxError(f"{node.source}:{node.line}: {error} In: {node.astext()}") from error


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Equations as MathML, which browsers draw themselves: no script, nothing fetched."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
