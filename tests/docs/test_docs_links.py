"""Links between the pages resolve, on the file system as on the built site; nothing points out of the repository's reach."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|^\s*(?::\w[\w-]*:.*|```\{(?:literal)?include\} (\S+))$",
    re.M,
)
FENCE = re.compile(r"^```.*?^```\s*$", re.M | re.S)


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    text = re.sub(r"[`*_]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text("utf-8"))
    return {slug(line.lstrip("#")) for line in text.splitlines() if re.match(r"#{1,3} ", line)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    broken = []
    for match in LINK.finditer(page.read_text("utf-8")):
        target = next((group for group in match.groups() if group), None)
        if target is None or re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert not broken, f"{page.name} links to what is not there: {', '.join(broken)}"


def test_pages_of_the_site_are_all_in_its_contents() -> None:
    contents = (ROOT / "docs" / "index.md").read_text("utf-8")
    listed = set(re.findall(r"^[\w/-]+$", contents, re.M))
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not page.startswith("generated/") and page != "index"} <= listed
