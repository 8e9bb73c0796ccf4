"""What a figure is, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from PIL import Image

from reparam.core.abilities import Ability
from reparam.reports.charts import Chart
from reparam.reports.pictures import Panel, to_picture
from reparam.reports.run_view import RunView

SPREAD_DRAWS = 20  # behind each map of standard deviations, at least: fewer may be shown


@dataclass(frozen=True)
class Drawing:
    """Panels of tiles and charts, and a sentence on what holds for this run only."""

    parts: tuple[Panel | Chart, ...]
    note: str = ""

    @property
    def panels(self) -> list[Panel]:
        return [part for part in self.parts if isinstance(part, Panel)]

    def picture(self) -> Image.Image:
        """The panels below each other, with their names: a picture that explains itself outside any page."""
        return to_picture(self.panels)


class Figure(NamedTuple):
    """A row of `FIGURES`: the title; what to look for; the ability that a model needs (None: any model); the function, of a view
    and, where there is something to choose, options; those that the page chooses; the section of the page."""

    title: str
    caption: str
    needs: Ability | None
    draw: Callable[..., Drawing]
    page: Callable[[RunView], Any] | None = None
    section: Literal["pictures", "training"] = "pictures"

    def on_page(self, view: RunView) -> Drawing:
        """The figure as a page shows it."""
        return self.draw(view) if self.page is None else self.draw(view, self.page(view))
