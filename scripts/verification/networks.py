"""The same random weights in our networks and in those of other libraries."""

import torch

from e2eve.reporting.progress import Report
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.transformer import GPT, Conditioning, GPTConfig, GPTSampling, SequenceLayout
from scripts.verification.findings import (
    Findings,
    Row,
    counted,
    installed,
    missing,
    named,
    relative,
    reported,
    within,
)
from tests.references.gpt2 import as_gpt2, generate
from tests.references.vq_model import as_vq_model

LIMIT = 1e-5
TEXT = (
    "Weights are random and copied from ours to the peer. A relative difference is the largest "
    "one, as a share of the peer's largest value; float32 on both sides."
)
SMALL = VQGANConfig(
    image_size=64,
    channels=32,
    multipliers=(1, 2, 2),
    residual_blocks=1,
    latent_channels=64,
    code_dim=32,
    codebook_size=512,
)
TOKENIZERS = {"small tokenizer": SMALL, "published tokenizer": VQGANConfig()}
GPTS = {
    "small GPT": (GPTConfig(4, 4, 128, codebook_size=256), SequenceLayout(4, 64)),
    "published GPT": (GPTConfig(codebook_size=1024), SequenceLayout()),
}


def find(quick: bool, report: Report) -> Findings:
    torch.manual_seed(0)
    rows: list[Row] = []
    chosen = [(f, name) for f, known in PARTS for name in list(known)[: 1 if quick else None]]
    for done, (compare, name) in enumerate(chosen):
        report("networks", done, len(chosen))
        rows += compare(name)
    report("networks", len(chosen), len(chosen))
    return Findings("The same networks", TEXT, rows)


@torch.inference_mode()
def tokenizer_rows(name: str) -> list[Row]:
    """Features, ids and reconstructions of images of noise."""
    if not installed("diffusers"):
        return [missing(f"{name}: features, ids, reconstructions", "diffusers")]
    tokenizer = Tokenizer(TOKENIZERS[name]).eval()
    torch.nn.init.normal_(tokenizer.quantizer.codebook.weight)  # else no two ids are far apart
    model, side = as_vq_model(tokenizer), tokenizer.image_size
    peer = f"{named('diffusers')}, VQModel"
    images = torch.rand(1 if side > 64 else 8, 3, side, side) * 2 - 1
    latents = model.encode(images).latents
    _, _, (_, _, ids) = model.quantize(latents)
    ours = tokenizer.encode(images)
    equal = int((ours.flatten() == ids.flatten()).sum())
    features = relative(tokenizer.latent(images), latents)
    rows = [
        within(f"{name}: features", peer, features, LIMIT),
        counted(f"{name}: ids", peer, equal, ids.numel(), "ids"),
    ]
    shown, theirs = tokenizer.decode(ours), model.decode(latents).sample.clamp(-1, 1)
    claim = f"{name}: reconstructions"
    if side <= 64:
        return [*rows, within(claim, peer, relative(shown, theirs), LIMIT)]
    fast = relative(tokenizer.use_winograd().latent(images), latents)
    tokenizer.double(), model.double()
    exact, latents = tokenizer.decode(ours), tokenizer.latent(images.double())
    precise = relative(exact, model.decode(latents).sample.clamp(-1, 1))
    errors = [f"{relative(each, exact):.1e}" for each in (shown, theirs)]
    told = f"{relative(shown, theirs):.1e}; from float64 ours {errors[0]}, theirs {errors[1]}"
    winograd = f"{name}: features by Winograd convolutions, which editors encode with"
    return [
        *rows,
        within(f"{claim} in float64", peer, precise, LIMIT),
        reported(f"{claim} in float32, where many random layers add up rounding", peer, told),
        reported(winograd, peer, f"{fast:.1e}"),
    ]


@torch.inference_mode()
def gpt_rows(name: str) -> list[Row]:
    """Logits of random ids, and greedy decoding, token by token and with all our guesses."""
    if not installed("transformers"):
        return [missing(f"{name}: logits and greedy decoding", "transformers")]
    config, layout = GPTS[name]
    gpt = GPT(config, layout).eval()
    model, peer = as_gpt2(gpt), f"{named('transformers')}, GPT-2"
    count, codes = 2, len(gpt.head.weight)
    parts = [torch.randint(codes, (count, n)) for n in (layout.driver, layout.source)]
    ids = layout.join(*parts, torch.randint(codes, (count, layout.target)))
    logits = gpt.head(gpt.hidden(ids))
    rows = [within(f"{name}: logits", peer, relative(logits, model(ids).logits), LIMIT)]
    if config.layers < 24:  # at the published size it takes minutes and shows no more
        settings = GPTSampling(0.0)
        given = Conditioning(*parts, torch.ones(count, layout.target, dtype=torch.bool))
        drawn = gpt.sample_speculatively(given, 1, [0] * count, settings).ids[:, 0]
        theirs = generate(model, torch.cat(parts, 1), layout.target, settings, "dynamic")
        equal = int((drawn == theirs).sum())
        claim = f"{name}: greedy decoding equals generate"
        rows.append(counted(claim, peer, equal, theirs.numel(), "tokens"))
    return rows


PARTS = ((tokenizer_rows, TOKENIZERS), (gpt_rows, GPTS))
