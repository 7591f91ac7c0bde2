"""A tokenizer as `diffusers`' VQModel, which `pip install -e '.[verify]'` brings."""

import re
from typing import Any

from e2eve.tokenizers import Tokenizer

VQModel = Any
"""A `diffusers.VQModel`, whose package users don't have."""

# Applied in this order to our names.
RULES = (
    (r"^to_code\.", "quant_conv."),
    (r"^from_code\.", "post_quant_conv."),
    (r"^quantizer\.codebook\.", "quantize.embedding."),
    (r"^(encoder|decoder)\.stem\.", r"\1.conv_in."),
    (r"^(encoder|decoder)\.norm\.", r"\1.conv_norm_out."),
    (r"^(encoder|decoder)\.head\.", r"\1.conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"^encoder\.levels\.", "encoder.down_blocks."),
    (r"^encoder\.downsamples\.(\d+)\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"^decoder\.levels\.", "decoder.up_blocks."),
    (r"^decoder\.upsamples\.(\d+)\.", r"decoder.up_blocks.\1.upsamplers.0."),
    (r"\.blocks\.", ".resnets."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"\.attentions\.(\d+)\.norm\.", r".attentions.\1.group_norm."),
    (r"\.query\.", ".to_q."),
    (r"\.key\.", ".to_k."),
    (r"\.value\.", ".to_v."),
    (r"\.out\.", ".to_out.0."),
)


def as_vq_model(tokenizer: Tokenizer) -> VQModel:
    """The same networks with the same weights, of a tokenizer with the published kinds of layers.

    The widths of its levels are multiples of 32, the groups of its normalisations.
    """
    from diffusers import VQModel

    config = tokenizer.config
    attends = config.attends()
    model = VQModel(
        down_block_types=[f"{'Attn' * here}DownEncoderBlock2D" for here in attends],
        up_block_types=[f"{'Attn' * here}UpDecoderBlock2D" for here in attends[::-1]],
        block_out_channels=[config.channels * m for m in config.multipliers],
        layers_per_block=config.residual_blocks,
        latent_channels=config.latent_channels,
        sample_size=config.image_size,
        num_vq_embeddings=config.codebook_size,
        vq_embed_dim=config.code_dim,
        mid_block_add_attention=config.middle,
    )
    weights = {}
    for name, tensor in tokenizer.state_dict().items():
        for pattern, replacement in RULES:
            name = re.sub(pattern, replacement, name)
        linear = ".attentions." in name and tensor.ndim == 4
        weights[name] = tensor.flatten(1) if linear else tensor
    model.load_state_dict(weights)
    return model.eval()
