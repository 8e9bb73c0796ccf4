"""The equations of the pages are ones that the site can show: `make docs` stops at any other."""

import re
from pathlib import Path

import pytest
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

DOCS = Path(__file__).resolve().parents[2] / "docs"
CODE = re.compile(r"^( *)```.*?^\1```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
EQUATION = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$(?!\s)([^$]+?)(?<!\s)\$(?![\w$])", re.DOTALL)
PAGES = sorted(path for path in DOCS.rglob("*.md") if "$" in CODE.sub("", path.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_equations_can_be_shown(page: Path) -> None:
    found = [block or inline for block, inline in EQUATION.findall(CODE.sub("", page.read_text()))]
    wrong = []
    for equation in found:
        try:
            tex2mathml(" ".join(equation.split()))
        except MathError as error:
            wrong.append(f"{equation}: {error}")
    assert not wrong


def test_what_cannot_be_shown_is_found() -> None:
    with pytest.raises(MathError):
        tex2mathml(r"\Big( x \Big)")
