"""What a masked autoencoder for spectra is trained with: its losses."""

from .losses import Reduction, masked_mse, masked_sse

__all__ = ["Reduction", "masked_mse", "masked_sse"]
