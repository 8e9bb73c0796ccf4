"""The pages of pictures that have several, as pictures of their own or as the channels of one.

Each is handed on as a TIFF of one page, in its own mode, so that all that reads pictures reads it as any other.
"""

import io
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from reparam.data.io.archives import Tree
from reparam.data.io.picture_files import pages as count_pages
from reparam.data.options import Pages
from reparam.errors import DataError

SUFFIXES = (".tif", ".tiff")
_COLOURS = 3


class PagedTree:
    """A folder or zip in which each page of a TIFF is a picture (`stack#07.tif`), or in which all of its pages are one. Has what
    a `FolderTree` has. Files that cannot be read keep their names, and are told of where they are opened as pictures."""

    def __init__(self, tree: Tree, pages: Pages) -> None:
        self.tree, self.where = tree, tree.where
        self._pages: dict[
            str, tuple[str, int | None]
        ] = {}  # the file, and which page (None: the file as it is; -1: all)
        for name in tree.names:
            number = _pages_of(tree, name) if PurePosixPath(name).suffix.lower() in SUFFIXES else 1
            path = PurePosixPath(name)
            if number < 2:
                self._pages[name] = (name, None)
            elif pages == "channels":
                self._pages[name] = (name, -1)
            else:
                width = len(str(number))
                for page in range(number):
                    single = f"{path.stem}#{page + 1:0{width}}{path.suffix}"
                    self._pages[str(path.with_name(single))] = (name, page)
        self.names = tuple(sorted(self._pages))

    def size(self, name: str) -> int:
        return self.tree.size(self._pages[name][0])

    def open(self, name: str) -> BinaryIO:
        """Raises `DataError` where it is too large or no plain file, and for pages that are no channels."""
        file, page = self._pages[name]
        if page is None:
            return self.tree.open(file)
        out = io.BytesIO()
        with self.tree.open(file) as opened, Image.open(opened, formats=("TIFF",)) as picture:
            if page >= 0:
                picture.seek(page)
                picture.save(out, "TIFF", compression="raw")
            else:
                _merged(picture, f"{self.where}/{file}").save(out, "TIFF", compression="raw")
        out.seek(0)
        return out

    def note(self, pages: Pages) -> tuple[str, ...]:
        """What was done, where there were several pages."""
        own = [page for _, page in self._pages.values() if page is not None]
        if not own:
            return ()
        if pages == "channels":
            return (f"the pages of {len(own):,} TIFFs are their channels",)
        files = len({file for file, page in self._pages.values() if page is not None})
        together = "--group '(.*)#' keeps those of a file in one split"
        return (f"each page is a picture: {len(own):,} of {files:,} TIFFs; {together}",)


def _pages_of(tree: Tree, name: str) -> int:
    """How many pages a TIFF has; 1 where it cannot be read."""
    try:
        with tree.open(name) as file, Image.open(file, formats=("TIFF",)) as picture:
            file.seek(0)
            return count_pages(file, "TIFF", picture)
    except Exception:  # decoders raise almost anything on damaged data
        return 1


def _merged(picture: Any, where: str) -> Image.Image:
    """Three grey pages as one coloured picture. Raises `DataError` for others."""
    if picture.n_frames != _COLOURS:
        remedy = "give an array [N, C, H, W] in a .npy, or --pages images"
        raise DataError(f"{where} has {picture.n_frames} pages, and as channels {_COLOURS} are read: {remedy}")
    channels: list[np.ndarray] = []
    for page in range(_COLOURS):
        picture.seek(page)
        pixels = np.asarray(picture)
        if pixels.ndim != 2 or pixels.dtype != np.uint8 or (channels and pixels.shape != channels[0].shape):
            remedy = "save them as 8-bit grey of one size, or use --pages images"
            raise DataError(f"{where} has pages that are no channels of 8 bits: {remedy}")
        channels.append(pixels)
    return Image.fromarray(np.stack(channels, -1))
