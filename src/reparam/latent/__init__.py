"""Putting a trained model to use: generation, directions, augmentation, compression."""
