"""What a run's latents are for: classify with them, and walk between two images.

python examples/latents_and_interpolation.py [RUN]
"""

import sys

import torch
from PIL import Image

import reparam

options = {"epochs": 40, "hidden": (128,), "latent": 8, "learning_rate": 3e-3}
run = reparam.load(sys.argv[1]) if len(sys.argv) > 1 else reparam.train("vae", data="digits", **options)

# Encode: means of q(z|x). How well do they tell the classes apart? (1-nearest neighbour, test against training images)
train, test = run.dataset.train, run.dataset.test
known, _ = run.encode(train.images[:2000].float() / 255)
codes, scales = run.encode(test.images[:1000].float() / 255)
guess = train.labels[:2000][torch.cdist(codes, known).argmin(1)]
print(f"{tuple(codes.shape)} codes, mean posterior scale {scales.mean():.2f}")
print(f"nearest neighbour in latent space is right for {(guess == test.labels[:1000]).float().mean():.1%}")

# Walk: the decoder is a plain module that returns p(x|z).
t = torch.linspace(0, 1, 9)[:, None]
with torch.no_grad():
    strip = run.model.decoder(((1 - t) * codes[0] + t * codes[1]).to(run.device)).mean.cpu()
row = torch.cat(list(strip), dim=-1)  # [C, H, 9 W]
pixels = (255 * row).round().byte().permute(1, 2, 0).numpy()
picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST).save("walk.png")
print("walk.png: from the first test image to the second")
