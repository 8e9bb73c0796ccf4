"""The pages of pictures that have several, as pictures of their own.

Each is handed on as a TIFF of one page, in its own mode, so that all that reads pictures reads it as any other.
"""

import io
from pathlib import PurePosixPath
from typing import BinaryIO

from PIL import Image

from reparam.data.io.archives import Tree
from reparam.data.io.deep import GREY_MODES, holds_numbers
from reparam.data.io.picture_files import pages as count_pages
from reparam.data.options import Pages
from reparam.errors import DataError, escaped

SUFFIXES = (".tif", ".tiff")


class PagedTree:
    """A folder or zip in which each page of a TIFF is a picture (`stack#07.tif`) or, under "channels", a file is a picture whose
    channels its pages are. Has what a `FolderTree` has. Files that cannot be read keep their names, and are told of where they
    are opened as pictures."""

    def __init__(self, tree: Tree, pages: Pages) -> None:
        self.tree, self.where, self.pages = tree, tree.where, pages
        self._places: dict[str, tuple[str, int]] = {}  # the file and the page that a name stands for
        self._of_file: dict[str, tuple[str, ...]] = {}
        for name in tree.names:
            path = PurePosixPath(name)
            number = _pages_of(tree, name) if path.suffix.lower() in SUFFIXES else 1
            if number < 2:
                continue
            width = len(str(number))
            own = [str(path.with_name(f"{path.stem}#{page + 1:0{width}}{path.suffix}")) for page in range(number)]
            if taken := set(own).intersection(tree.names):
                raise DataError(
                    f"{self.where} holds '{escaped(min(taken))}', as a page of '{escaped(name)}' is called: rename it"
                )
            self._places |= {one: (name, page) for page, one in enumerate(own)}
            self._of_file[name] = tuple(own)
        names = {one for name in tree.names for one in self.parts(name)}
        self.names = tuple(sorted(names)) if pages == "images" else tree.names

    def parts(self, name: str) -> tuple[str, ...]:
        """The names of the pages of a file; of a file with one page, its own."""
        return self._of_file.get(name, (name,))

    def size(self, name: str) -> int:
        return self.tree.size(self._places.get(name, (name, 0))[0])

    def open(self, name: str) -> BinaryIO:
        """Raises `DataError` where it is too large or no plain file, and for a channel in colour."""
        if name not in self._places:
            return self.tree.open(name)
        file, page = self._places[name]
        out = io.BytesIO()
        with self.tree.open(file) as opened, Image.open(opened, formats=("TIFF",)) as picture:
            picture.seek(page)
            if self.pages == "channels" and picture.mode not in GREY_MODES and not holds_numbers(picture):
                raise DataError(
                    f"{self.where}/{escaped(file)} has pages in colour, which are no channels: use --pages images"
                )
            picture.save(out, "TIFF", compression="raw")
        out.seek(0)
        return out

    def note(self) -> tuple[str, ...]:
        """What was done, where there were several pages."""
        if not self._of_file:
            return ()
        if self.pages == "channels":
            return (f"the pages of {len(self._of_file):,} TIFFs are their channels",)
        together = "--group '(.*)#' keeps those of a file in one split"
        return (f"each page is a picture: {len(self._places):,} of {len(self._of_file):,} TIFFs; {together}",)


def with_pages(tree: Tree, pages: Pages) -> Tree:
    """What `--pages` makes of a folder or zip."""
    return tree if pages == "first" else PagedTree(tree, pages)


def _pages_of(tree: Tree, name: str) -> int:
    """How many pages a TIFF has; 1 where it cannot be read."""
    try:
        with tree.open(name) as file, Image.open(file, formats=("TIFF",)) as picture:
            file.seek(0)
            return count_pages(file, "TIFF", picture)
    except Exception:  # decoders raise almost anything on damaged data
        return 1
