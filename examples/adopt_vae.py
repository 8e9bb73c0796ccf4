"""A VAE of one's own code, in the layout of PyTorch-VAE, trained by one's own loop: adopted as a run, measured and looked at."""

import safetensors.torch
import torch
from torch import nn

import reparam
from reparam.data import DataOptions, load


class VAE(nn.Module):
    def __init__(self, latent_dim=4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 32, 3, 2, 1), nn.LeakyReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU())
        self.fc_mu, self.fc_var = nn.Linear(128, latent_dim), nn.Linear(128, latent_dim)
        self.decoder = nn.Sequential(nn.Linear(latent_dim, 64), nn.LeakyReLU(), nn.Linear(64, 64), nn.Tanh())

    def encode(self, x):
        return [layer(self.encoder(x).flatten(1)) for layer in (self.fc_mu, self.fc_var)]

    def decode(self, z):
        return self.decoder(z).view(-1, 1, 8, 8)  # from -1 to 1


if __name__ == "__main__":
    model, x = VAE(), load("digits", DataOptions()).train.pixels / 127.5 - 1
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for batch in (x[torch.randint(len(x), (128,))] for _ in range(300)):
        mu, log_var = model.encode(batch)
        made = model.decode(mu + (log_var / 2).exp() * torch.randn_like(mu))
        kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1)
        loss = ((made - batch).square().flatten(1).sum(1) + kl).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    safetensors.torch.save_file(model.state_dict(), "vae.safetensors")
    how = {"likelihood": "gaussian", "scale": 0.5**1.5, "values": (-1, 1)}  # squared error of values twice as far apart
    run = reparam.adopt("adopt_vae:VAE", "digits", weights="vae.safetensors", out="runs/adopted", **how)
    print(run.evaluate(["elbo", "nll", "psnr"], progress=False), run.report())
