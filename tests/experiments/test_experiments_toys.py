"""The GAN on known densities: what is drawn of it, and that the generator finds them."""

import math

import torch

from experiments.toys import TOYS, densities, generated, grid, modes_found, play, ring


def test_rings_and_grids_have_their_modes_where_they_should() -> None:
    middles = ring(6, radius=3.0).component_distribution.base_dist.loc
    torch.testing.assert_close(middles.norm(dim=1), torch.full((6,), 3.0))
    torch.testing.assert_close((middles - middles.roll(1, 0)).norm(dim=1), torch.full((6,), 3.0))  # a hexagon
    middles = grid(3, apart=2.0).component_distribution.base_dist.loc
    assert {tuple(point) for point in middles.tolist()} == {(x, y) for x in (-2, 0, 2) for y in (-2, 0, 2)}


def test_modes_are_counted_where_points_are() -> None:
    target = ring(4, radius=1.0, scale=0.1)
    at = target.component_distribution.base_dist.loc
    few = torch.cat([at[:1].expand(97, 2), at[1:2].expand(3, 2), torch.full((100, 2), 9.0)])
    # 200 points: a mode's share is 50, a tenth of it 5. The second has 3; half of the points are near none.
    assert modes_found(target, few) == (1, 0.5)
    assert modes_found(target, at) == (4, 1.0)


def test_the_best_output_is_the_share_of_the_real_density() -> None:
    toy = TOYS["density"]._replace(steps=(1,))
    [(_, model)] = play(toy)
    found = densities(toy, model)
    step = float(found.x[1] - found.x[0])
    torch.testing.assert_close(found.real.sum() * step, torch.tensor(1.0), atol=0.01, rtol=0)
    both = found.real + found.generated
    torch.testing.assert_close(found.best * both, found.real)
    assert 0 <= found.error <= 1


def test_play_brings_the_generator_to_both_modes_and_is_the_same_every_time() -> None:
    """After 100 steps the generator has the density's mean and deviation, as it had not at first; equal seeds, equal bits."""
    toy = TOYS["density"]._replace(steps=(1, 100))
    parts = toy.target.component_distribution.base_dist
    weights = toy.target.mixture_distribution.probs
    mean = float((weights * parts.loc[:, 0]).sum())
    spread = math.sqrt(float((weights * (parts.scale[:, 0] ** 2 + parts.loc[:, 0] ** 2)).sum()) - mean**2)
    models = [[model for _, model in play(toy)] for _ in range(2)]
    runs = [[generated(model)[:, 0] for model in played] for played in models]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    before, after = runs[0]
    assert abs(float(after.std()) - spread) < 0.3 * spread < abs(float(before.std()) - spread)
    assert abs(float(after.mean()) - mean) < 0.5
    # The discriminator nears p / (p + p_G): at least twice as near as one that always returns 1/2.
    found = densities(toy, models[0][1])
    blind = found._replace(output=torch.full_like(found.output, 0.5))
    assert found.error < blind.error / 2
