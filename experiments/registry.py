"""`EXPERIMENTS`: what `reparam reproduce NAME` knows, in the order of the page; `CELLS`: every cell of theirs, by name."""

from experiments import (
    augmentation,
    autoencoder,
    faces,
    gan,
    gap,
    iwae,
    low_data,
    mixture,
    models,
    quadrants,
    segmentation,
    vae_report,
)
from experiments.cells import Cell
from experiments.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    "structures": vae_report.STRUCTURES,
    "losses": vae_report.LOSSES,
    "latent-dims": vae_report.LATENT_DIMENSIONS,
    "iwae": iwae.IWAE,
    "quadrants": quadrants.QUADRANTS,
    "gap": gap.GAP,
    "faces": faces.FACES,
    "segmentation": segmentation.SEGMENTATION,
    "occlusion": segmentation.OCCLUSION,
    "augmentation": augmentation.AUGMENTATION,
    "low-data": low_data.LOW_DATA,
    "mixture": mixture.MIXTURE,
    "gan": gan.GAN,
    "autoencoder": autoencoder.AUTOENCODER,
    "models": models.COMPARISON,
}
CELLS: dict[str, Cell] = {
    cell.name: cell
    for module in (
        vae_report,
        iwae,
        quadrants,
        gap,
        segmentation,
        faces,
        augmentation,
        low_data,
        mixture,
        gan,
        autoencoder,
        models,
    )
    for cell in module.CELLS
}
