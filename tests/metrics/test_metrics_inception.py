"""The network of the standard FID: structure and preparation here, its published weights where they are at hand (slow)."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F

from reparam.distributions import keyed_generator
from reparam.evaluation.networks.features import FeatureNetwork
from reparam.metrics.distances import frechet_distance
from reparam.metrics.inception import Convolution, Inception, folded, load_inception, prepared


def test_folding_is_the_batch_normalisation_it_replaces() -> None:
    g = keyed_generator("cpu", "fold")
    script, convolutions = {}, [m for m in Inception().modules() if isinstance(m, Convolution)]
    for number, module in enumerate(convolutions):
        outputs = len(module.weight)
        script[f"c{number}.weight"] = torch.randn(module.weight.shape, generator=g)
        script[f"c{number}.beta"], script[f"c{number}.mean"] = torch.randn(2, outputs, generator=g)
        script[f"c{number}.var"] = torch.rand(outputs, generator=g) + 0.1
    model = Inception()
    model.load_state_dict(folded(script))
    first = model.layers[0]
    x = torch.randn(2, 3, 9, 9, generator=g)
    plain = F.conv2d(x, script["c0.weight"], stride=2)
    expected = F.relu(F.batch_norm(plain, script["c0.mean"], script["c0.var"], None, script["c0.beta"], eps=0.001))
    torch.testing.assert_close(first(x), expected, rtol=1e-4, atol=1e-4)
    # Inception v3 to its last pool has 21,785,568 with two numbers a channel of batch normalisation, of which one is left here.
    assert sum(p.numel() for p in model.parameters()) == 21_785_568 - 17_216


def test_images_are_prepared_as_the_network_was_trained() -> None:
    grey = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
    ready = prepared(grey)
    assert ready.shape == (2, 3, 299, 299)
    torch.testing.assert_close(ready[0], torch.full((3, 299, 299), -1.0))
    torch.testing.assert_close(ready[1], torch.full((3, 299, 299), 127 / 128))
    # Means of p(x|z) are rounded to the 8 bits that pictures have: 0.4999 * 255 = 127.47.
    torch.testing.assert_close(prepared(torch.full((1, 3, 8, 8), 0.4999)), torch.full((1, 3, 299, 299), -1 / 128))


def test_the_features_are_2048_an_image_and_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    model = Inception().eval()
    network = FeatureNetwork("test", lambda x: model(prepared(x)), torch.device("cpu"), batch=2)
    x = torch.rand(3, 1, 12, 12, generator=keyed_generator("cpu", "x"))
    features = network.features(x)
    assert features.shape == (3, 2048)
    torch.testing.assert_close(features[2:], network.features(x[2:]), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_published_weights_give_the_reference_features_and_distance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    """Issue: the Inception path agrees with the published graph and an independent matrix root to 1e-3 relative."""
    from reparam.data import load

    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path))
    monkeypatch.setenv("REPARAM_DATA", str(shared_data))
    kept: dict[str, torch.jit.ScriptModule] = {}
    opened = torch.jit.load
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: kept.setdefault("script", opened(*a, **k)))
    model, reference = load_inception(torch.device("cpu")), kept["script"].eval()
    real = load("mnist").test.images[:60].float() / 255
    made = (real + 0.2 * torch.rand(real.shape, generator=keyed_generator("cpu", "noise"))).clamp(0, 1)
    features, expected = [], []
    for images in (real, made):
        network = FeatureNetwork("own", lambda x: model(prepared(x)), torch.device("cpu"), batch=20)
        features.append(network.features(images))
        network = FeatureNetwork("reference", lambda x: reference(prepared(x)), torch.device("cpu"), batch=20)
        expected.append(network.features(images).double().numpy())
    a, b = expected
    np.testing.assert_allclose(features[0], a, atol=1e-4)
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False) + 0j).real
    distance = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(
        np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root
    )
    assert frechet_distance(*features).value == pytest.approx(distance, rel=1e-3)
