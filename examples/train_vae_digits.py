"""Train a VAE on scikit-learn's 1,797 digits, measure it, draw from it: seconds, and nothing to download.

python examples/train_vae_digits.py
"""

import reparam

# Options are the command's, with underscores. Without `out` the run lies in runs/MODEL-DATA-TIME.
run = reparam.train("vae", data="digits", epochs=25, hidden=(128,), latent=8, learning_rate=3e-3)

for name, measure in run.evaluate(["elbo", "reconstruction", "kl", "active_units", "psnr"]).items():
    error = "" if measure.stderr is None else f" ± {measure.stderr:.2f}"
    print(f"{name:15} {measure.value:8.2f}{error} {measure.unit}  (n = {measure.n})")

images = run.sample(64, seed=1)  # [64, 1, 8, 8] in [0, 1]; image i is the same whatever the number asked for
print(f"samples {tuple(images.shape)}, mean grey value {images.mean():.3f}")
print(f"page: {run.report()}")
