"""The three parts of SAM together, driven by text embeddings as in LISA (paper section 4.1, Figure 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.sam.image_encoder import ImageEncoder
from lisa_ros.model.sam.mask_decoder import MaskDecoder
from lisa_ros.model.sam.prompt_encoder import PromptEncoder

PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of RGB values 0-255


class Sam(nn.Module):
    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        for name in ("pixel_mean", "pixel_std"):
            self.register_buffer(name, self.fresh_buffer(name), persistent=False)

    def fresh_buffer(self, name: str) -> Tensor:
        """Mean or deviation of the pixel values, float32 [3,1,1]."""
        return torch.tensor(PIXEL_MEAN if name == "pixel_mean" else PIXEL_STD)[:, None, None]

    def normalise(self, pixels: Tensor) -> Tensor:
        """Resized pictures uint8 [B,h,w,3] -> the encoder's input float32 [B,3,S,S], zero padded on the right and
        below."""
        x = (pixels.permute(0, 3, 1, 2).float() - self.pixel_mean) / self.pixel_std
        side = self.config.image_size
        return F.pad(x, (0, side - x.shape[3], 0, side - x.shape[2]))

    def masks(self, image_embedding: Tensor, text_embeddings: Tensor) -> Tensor:
        """Low-resolution mask logits.

        Args:
            image_embedding: [n or 1, dim, g, g].
            text_embeddings: [n, dim]; n may be 0.

        Returns:
            [n, 4g, 4g] logits.
        """
        if len(text_embeddings) == 0:
            side = 4 * image_embedding.shape[-1]
            return image_embedding.new_zeros(0, side, side)
        sparse, dense = self.prompt_encoder(text_embeddings)
        position = self.prompt_encoder.position().to(image_embedding.dtype)
        return self.mask_decoder(image_embedding, position, sparse, dense)


def upscale_masks(low_res: Tensor, image_size: int, resized: tuple[int, int], original: tuple[int, int]) -> Tensor:
    """Low-resolution logits [n,4g,4g] -> logits [n,H,W] of the original picture, in float32 (SAM's postprocess_masks).

    Args:
        image_size: side of the padded square SAM saw.
        resized: height and width of the picture inside that square.
        original: height and width of the picture as it came.
    """
    masks = low_res.float()[:, None]
    masks = F.interpolate(masks, (image_size, image_size), mode="bilinear", align_corners=False)
    masks = masks[..., : resized[0], : resized[1]]
    return F.interpolate(masks, original, mode="bilinear", align_corners=False)[:, 0]
