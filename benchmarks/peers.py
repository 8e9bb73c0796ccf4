"""The loops that Reparam's training is compared with: the same network, loss, optimiser, batch and images, each its own way.

Each function prepares a peer on uint8 images [N, 1, 28, 28], for a device ("cpu", "cuda"), and returns a call that trains one
pass and gives its steps a second.
The network is 784-400-20-400-784 with a Bernoulli likelihood, trained by Adam at 1e-3 in batches of 128.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from contest import Rate
from torch import Tensor, nn

BATCH, RATE = 128, 1e-3


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.mean, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.back, self.pixels = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.relu(self.hidden(x.view(-1, 784)))
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        return torch.sigmoid(self.pixels(torch.relu(self.back(z)))), mean, log_var


def plain(images: Tensor, device: str = "cpu", network: Callable[[], nn.Module] = Network) -> Rate:
    """The loop of tutorials: pictures one by one through a `DataLoader`, the sum of both losses, `.item()` each step. `network`
    makes a module that takes images [B, C, H, W] to pixels in [0, 1], means and log variances of latents."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    shape = images.shape[1:]
    pictures = images[:, 0].numpy() if shape[0] == 1 else images.permute(0, 2, 3, 1).contiguous().numpy()

    class Pictures(Dataset):
        """What torchvision's data sets with `ToTensor` do."""

        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, place: int) -> tuple[Tensor, int]:
            picture = Image.fromarray(pictures[place])
            pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(*shape[1:], shape[0])
            return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255), 0

    torch.manual_seed(0)
    model, loader = network().to(device), DataLoader(Pictures(), batch_size=BATCH, shuffle=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)

    def one_pass() -> float:
        began, total = time.perf_counter(), 0.0
        for x, _ in loader:
            x = x.to(device)
            optimiser.zero_grad()
            made, mean, log_var = model(x)
            error = F.binary_cross_entropy(made.flatten(1), x.flatten(1), reduction="sum")
            kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
            loss = error + kl
            loss.backward()
            total += loss.item()
            optimiser.step()
        return len(loader) / (time.perf_counter() - began)

    return one_pass


def scanned(images: Tensor, device: str = "cpu") -> Rate:
    """JAX: a whole pass is one compiled `lax.scan` over images that lie on the device."""
    # It would take most of a GPU's memory, which others use as well.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ["JAX_PLATFORMS"] = device
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_default_matmul_precision", "highest")  # float32 on a GPU too, where it would round to TF32

    stored = jnp.asarray(images.view(-1, 784).numpy())
    steps = len(images) // BATCH
    optimiser = optax.adam(RATE)
    sizes = {"hidden": (784, 400), "mean": (400, 20), "log_var": (400, 20), "back": (20, 400), "pixels": (400, 784)}
    key = jax.random.key(0)
    weights = {}
    for number, (name, (inputs, outputs)) in enumerate(sizes.items()):
        bound = inputs**-0.5
        drawn = jax.random.uniform(jax.random.fold_in(key, number), (inputs, outputs), minval=-bound, maxval=bound)
        weights[name] = (drawn, jnp.zeros(outputs))

    def loss(weights, x, key):
        def linear(name, x):
            matrix, offset = weights[name]
            return x @ matrix + offset

        h = jax.nn.relu(linear("hidden", x))
        mean, log_var = linear("mean", h), linear("log_var", h)
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)
        logits = linear("pixels", jax.nn.relu(linear("back", z)))
        error = optax.sigmoid_binary_cross_entropy(logits, x).sum(-1)
        kl = -0.5 * (1 + log_var - mean**2 - jnp.exp(log_var)).sum(-1)
        return (error + kl).mean()

    @jax.jit
    def one(weights, state, key):
        order = jax.random.permutation(key, len(stored))[: steps * BATCH].reshape(steps, BATCH)

        def step(carried, given):
            weights, state = carried
            index, number = given
            x = stored[index].astype(jnp.float32) / 255
            value, gradient = jax.value_and_grad(loss)(weights, x, jax.random.fold_in(key, number))
            moves, state = optimiser.update(gradient, state)
            return (optax.apply_updates(weights, moves), state), value

        (weights, state), losses = jax.lax.scan(step, (weights, state), (order, jnp.arange(steps)))
        return weights, state, losses.mean()

    held = [one(weights, optimiser.init(weights), key)[:2]]  # compiles
    count = [0]

    def one_pass() -> float:
        count[0] += 1
        began = time.perf_counter()
        weights, state, mean = one(*held[0], jax.random.fold_in(key, count[0]))
        mean.block_until_ready()
        held[0] = weights, state
        return steps / (time.perf_counter() - began)

    return one_pass


def pythae_trainer(images: Tensor, device: str = "cpu") -> object:
    """pythae's own trainer on the same network, by its own encoder and decoder classes."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.WARNING)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.mean, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)

        def forward(self, x: Tensor) -> ModelOutput:
            h = torch.relu(self.hidden(x.flatten(1)))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.pixels = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(
                reconstruction=torch.sigmoid(self.pixels(torch.relu(self.hidden(z)))).view(-1, 1, 28, 28)
            )

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(), decoder=Decoder())
    dataset = BaseDataset(images.float() / 255, torch.zeros(len(images)))
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            no_cuda=device == "cpu",
        )
        trainer = BaseTrainer(model, dataset, training_config=training)
    trainer.prepare_training()
    return trainer


def pythae(images: Tensor, device: str = "cpu") -> Rate:
    trainer = pythae_trainer(images, device)

    def one_pass() -> float:
        began = time.perf_counter()
        trainer.train_step(1)  # type: ignore[attr-defined]
        return len(trainer.train_loader) / (time.perf_counter() - began)  # type: ignore[attr-defined]

    return one_pass


PEERS: dict[str, Callable[[Tensor, str], Rate]] = {"pythae": pythae, "plain": plain, "jax": scanned}
