"""What can be chosen about an evaluation, and the names under which metrics are stored."""

import dataclasses
import math
from typing import Any, get_type_hints

import pytest

from reparam.data.tasks import with_condition
from reparam.errors import ConfigError
from reparam.evaluation import METRICS, EvaluationOptions
from reparam.evaluation.options import StoredName, parse_stored_name, stored_name
from reparam.models import MODELS, Spec
from reparam.run.config import resolve


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("samples", 0),
        ("error", 0.0),
        ("error", math.inf),
        ("quick", 1),
        ("samples", 1.5),
        ("nll_images", "5"),
        ("images", 0),
        ("draws", -1),
        ("seed", -1),
        ("precision", "float16"),
        ("occlusion", 1.0),
        ("occlusion", math.nan),
        ("directions", "upwards"),
        ("split", "train"),
        ("bytes", 0.0),
        ("bytes", math.inf),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_option(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=option) as caught:
        EvaluationOptions(**{option: value})
    assert "\n" not in str(caught.value)


def test_draws_are_stated_or_an_error_is() -> None:
    with pytest.raises(ConfigError, match="leave one of the two out"):
        EvaluationOptions(samples=10, error=0.1)


def test_every_option_has_a_description() -> None:
    for kind in get_type_hints(EvaluationOptions, include_extras=True).values():
        assert [extra for extra in kind.__metadata__ if getattr(extra, "description", "")]


@pytest.mark.parametrize(
    ("parts", "options", "name"),
    [
        (StoredName("flips_2"), {}, "flips_2"),
        (
            StoredName("flips_2", directions="neutral", validation=True),
            {"directions": "neutral", "split": "validation"},
            "flips_2 along neutral on validation",
        ),
        (
            StoredName("rate_psnr", bytes="16", validation=True, quick=True),
            {"bytes": 16.0, "split": "validation", "quick": True},
            "rate_psnr at 16 bytes on validation quick",
        ),
        (StoredName("elbo"), {"directions": "neutral", "bytes": 16.0}, "elbo"),
        (StoredName("rate_psnr", bytes="16"), {"bytes": 16.0}, "rate_psnr at 16 bytes"),
        (StoredName("rate_psnr_jpeg", bytes="0.5"), {"bytes": 0.5}, "rate_psnr_jpeg at 0.5 bytes"),
        (StoredName("iou", occlusion="0.4"), {"occlusion": 0.4}, "iou occluded 0.4"),
        (StoredName("nll", validation=True), {"split": "validation", "samples": 7}, "nll on validation"),
    ],
)
def test_stored_names_say_how_a_metric_was_measured(parts: StoredName, options: dict[str, Any], name: str) -> None:
    assert stored_name(parts.metric, METRICS[parts.metric].reads, EvaluationOptions(**options)) == name
    assert parse_stored_name(name) == parts


def test_an_unknown_form_of_name_is_left_whole() -> None:
    assert parse_stored_name("mine with a twist") == StoredName("mine with a twist")


def test_rows_need_abilities_and_read_options_that_exist() -> None:
    abilities: set[str] = set()
    for name, family in MODELS.items():
        config = resolve(name)
        spec = with_condition(Spec((1, 28, 28), 10), config.task)
        abilities |= family.build(config.options, spec).abilities
    maps = resolve("cvae", task="segmentation")
    abilities |= maps.family.build(maps.options, with_condition(Spec((1, 32, 32), 0, 2), maps.task)).abilities
    options = {field.name for field in dataclasses.fields(EvaluationOptions)}
    for name, metric in METRICS.items():
        assert metric.needs in abilities, name
        assert set(metric.reads) <= options, name
        assert metric.doc, name
        assert metric.meaning, name
