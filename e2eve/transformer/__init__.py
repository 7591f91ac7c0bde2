"""Token models, which draw the edited image's ids: what an editor asks of one, and the families."""

from e2eve.transformer.gpt.family import GPT
from e2eve.transformer.gpt.network import GPTConfig
from e2eve.transformer.gpt.speculative import GPTSampling
from e2eve.transformer.masked import Masked, MaskedConfig, MaskedSampling
from e2eve.transformer.model import (
    Conditioning,
    EditTokens,
    Progress,
    SequenceLayout,
    TokenModel,
    TokenModelConfig,
    TokenNLL,
    build_token_model,
    check_names_config,
    config_from_description,
    register,
)
from e2eve.transformer.sampling import SamplingSettings

__all__ = [
    "GPT",
    "Conditioning",
    "EditTokens",
    "GPTConfig",
    "GPTSampling",
    "Masked",
    "MaskedConfig",
    "MaskedSampling",
    "Progress",
    "SamplingSettings",
    "SequenceLayout",
    "TokenModel",
    "TokenModelConfig",
    "TokenNLL",
    "build_token_model",
    "check_names_config",
    "config_from_description",
    "register",
]
