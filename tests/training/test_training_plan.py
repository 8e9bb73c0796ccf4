"""What happens at which step, computed as it is asked for."""

import time

import pytest

from reparam.training.plan import NEVER, Moments, picture_steps, validation_steps


def listed(moments: Moments, last: int) -> list[int]:
    return [step for step in range(last + 1) if step in moments]


@pytest.mark.parametrize(
    ("every", "steps"), [(1.0, 7), (2.5, 20), (0.3, 4), (0.01, 3), (7.3, 100), (30.0, 10), (4.0, 12)]
)
def test_validations_come_every_so_many_steps_and_at_the_end(every: float, steps: int) -> None:
    expected = {max(1, round(every * number)) for number in range(1, int(steps / every) + 1)} | {steps}
    assert listed(validation_steps(every, steps), steps + 5) == sorted(expected)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 200])
@pytest.mark.parametrize(("steps", "per_epoch"), [(1, 0.5), (60, 10.0), (1000, 400.0)])
def test_pictures_come_ever_further_apart(count: int, steps: int, per_epoch: float) -> None:
    first = min(per_epoch / 4, steps / 8)
    between = {round(first * (steps / first) ** (i / (count - 2))) for i in range(count - 2)}
    expected = between | {0, steps} if count > 1 else {steps} if count else set()
    assert listed(picture_steps(count, steps, per_epoch), steps + 5) == sorted(expected)


def test_the_next_one_is_found_from_anywhere_in_any_order() -> None:
    moments = validation_steps(2.5, 20)  # round(2.5), round(5.0), ... by Python's rule: 2, 5, 8, 10, ...
    asked = (0, 3, 2, 9, 6, 20, 1, 21)
    assert [moments.next_from(step) for step in asked] == [2, 5, 2, 10, 8, 20, 2, NEVER]
    assert Moments(set()).next_from(0) == NEVER


def test_many_cost_nothing() -> None:
    began = time.process_time()
    steps = 10**10
    assert steps in validation_steps(0.25, steps)
    assert validation_steps(1e4, steps).next_from(10**9 + 1) == 10**9 + 10**4
    assert picture_steps(10**9, steps, 1e4).next_from(5 * 10**9) < 5 * 10**9 + 200
    assert time.process_time() - began < 1
