"""What the pages share: figures as data in one HTML file that opens anywhere, offline, in light and dark.

No script, no font, nothing that is fetched.
"""

import base64
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reparam.errors import ReparamError
from reparam.reports.charts import DARK, FAINT, INK, PAPER, Chart, Entry, for_dark
from reparam.reports.figures import Figure
from reparam.reports.pictures import Panel, to_png


@dataclass(frozen=True)
class Part:
    """A picture as the page embeds it: data URIs, its natural size in pixels, names of rows and columns, legend, a heading."""

    light: str
    dark: str
    width: int
    height: int
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    legend: tuple[Entry, ...] = ()
    heading: str = ""


@dataclass(frozen=True)
class ShownFigure:
    """A figure that could be drawn."""

    name: str
    title: str
    caption: str
    note: str
    parts: tuple[Part, ...]


def shown(name: str, figure: Figure, note: str, parts: Sequence[tuple[str, Panel | Chart]]) -> ShownFigure:
    """`parts`: with a heading each, or none."""
    return ShownFigure(name, figure.title, figure.caption, note, tuple(_embedded(*part) for part in parts))


def _embedded(heading: str, part: Panel | Chart) -> Part:
    if isinstance(part, Chart):
        light, dark = (data_uri(svg.encode(), "image/svg+xml") for svg in (part.svg, for_dark(part.svg)))
        return Part(light, dark, part.width, part.height, legend=part.legend, heading=heading)
    uri = data_uri(to_png(part.image), "image/png")
    return Part(uri, "", part.image.width, part.image.height, part.rows, part.columns, heading=heading)


def data_uri(data: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def reason(error: Exception) -> str:
    """Why a figure is missing. A model of one's own may raise anything: that is no reason to leave the others out."""
    return str(error) if isinstance(error, ReparamError) else f"{type(error).__name__}: {error}"


def render_page(template: str, **values: Any) -> str:
    """A page as text; names from data are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("reparam.reports")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    colours = {"ink": INK, "faint": FAINT, "paper": PAPER, "dark": DARK}
    written = f"{datetime.datetime.now():%Y-%m-%d %H:%M}"
    return page.get_template(template).render(values, colours=colours, written=written)
