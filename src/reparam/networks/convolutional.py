"""The VAE report's structure (4): two stride-2 convolutions and their transpose.

Shapes: `B` batch, `C H W` image, `F` features, `K` latent, `P` parameters of the likelihood a pixel.
"""

from torch import nn

from reparam.networks.pair import ACTIVATIONS, ActivationName, Cut, ImageDecoder, Pad, Pair

CHANNELS = (32, 64)


def plain_pair(shape: tuple[int, int, int], latent: int, parameters: int, activation: ActivationName = "relu") -> Pair:
    """Convolutions of 32 and 64 channels, kernel 4, stride 2; a linear map to and from the latent. Sides that are no multiples of
    4 are padded inside."""
    channels, height, width = shape
    first, second = CHANNELS
    act = ACTIVATIONS[activation]
    small = (second, -(-height // 4), -(-width // 4))
    features = small[0] * small[1] * small[2]
    padded = (4 * small[1], 4 * small[2])
    uneven = padded != (height, width)
    encoder = nn.Sequential(
        *([Pad(*padded)] if uneven else []),
        nn.Conv2d(channels, first, 4, stride=2, padding=1),
        act(),
        nn.Conv2d(first, second, 4, stride=2, padding=1),
        act(),
        nn.Flatten(),
    )
    decoder = nn.Sequential(
        nn.Linear(latent, features),
        act(),
        nn.Unflatten(1, small),
        nn.ConvTranspose2d(second, first, 4, stride=2, padding=1),
        act(),
        nn.ConvTranspose2d(first, parameters * channels, 4, stride=2, padding=1),
        *([Cut(height, width)] if uneven else []),
    )
    return Pair(encoder, features, ImageDecoder(decoder, (parameters * channels, height, width)))
