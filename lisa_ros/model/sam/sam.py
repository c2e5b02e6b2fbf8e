"""The three parts of SAM together, driven by text embeddings as in LISA (paper section 4.1, Figure 3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.model.sam.config import SamConfig
from lisa_ros.model.sam.image_encoder import ImageEncoder
from lisa_ros.model.sam.mask_decoder import MaskDecoder
from lisa_ros.model.sam.prompt_encoder import PromptEncoder


class Sam(nn.Module):
    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)

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
        return self.mask_decoder(image_embedding, self.prompt_encoder.position(), sparse, dense)


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
