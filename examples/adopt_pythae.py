"""A VAE of pythae (pip install pythae==0.1.2), trained by its own trainer: adopted as a run, measured and looked at."""

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig

import reparam
from reparam.data import DataOptions, load

data = load("digits", DataOptions())
x, test = data.train.pixels / 255, data.test.pixels / 255

model = VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=4, reconstruction_loss="bce"))
options = BaseTrainerConfig(
    output_dir="pythae", num_epochs=5, per_device_train_batch_size=64, learning_rate=1e-3, no_cuda=True
)
trainer = BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=options)
trainer.prepare_training()
for epoch in range(5):
    trainer.train_step(epoch)

run = reparam.adopt(model, "digits", likelihood="bernoulli", out="runs/pythae")
nll = run.evaluate(["nll"], samples=100, nll_images=300, progress=False)["nll"]
model.eval()
with torch.no_grad():
    theirs = -model.get_nll(test, n_samples=100)  # it returns log p(x)
print(f"-log p(x): {nll.value:.2f} nats by Reparam, {theirs:.2f} by pythae")
