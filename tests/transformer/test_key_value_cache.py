"""Reading in pieces equals reading at once, wherever the rows stand."""

import pytest
import torch

from e2eve.transformer import GPT, GPTConfig, SequenceLayout
from e2eve.transformer.gpt.network import KeyValueCache, PassTokens, attend_shared
from tests.factories import random_ids

LAYOUT = SequenceLayout(driver=4, source=9)
GPT_SMALL = GPTConfig(layers=2, heads=2, width=16, codebook_size=32)


def tokens(ids: torch.Tensor, spans: list[tuple[int, int]]) -> PassTokens:
    """Columns first to end of each row."""
    rows = torch.tensor([row for row, span in enumerate(spans) for _ in range(*span)])
    columns = torch.tensor([column for span in spans for column in range(*span)])
    firsts = torch.tensor([span[0] for span in spans])
    return PassTokens(ids[rows, columns], rows, columns, columns - firsts[rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize(
    "passes",
    [
        [[(n, n + 1)] * 4 for n in range(9)],
        [[(0, 9)] * 4],
        [[(0, 1), (0, 3), (0, 0), (0, 9)], [(1, 9), (3, 5), (0, 9), (9, 9)], [(0, 0)] * 4],
        [[(0, 4)] * 4, [(2, 6)] * 4, [(5, 9)] * 4],  # what is read again is overwritten
    ],
)
def test_reading_in_pieces_equals_reading_at_once(passes, samples, dtype):
    gpt = GPT(GPT_SMALL, LAYOUT).to(dtype)
    prefix = random_ids(4 // samples, LAYOUT.conditioning)
    own = random_ids(4, 9)
    with torch.no_grad():
        whole = torch.cat([prefix.repeat_interleave(samples, 0), own], 1)
        expected = gpt.head(gpt.hidden(whole))[:, LAYOUT.conditioning :]
        decoder = KeyValueCache(gpt, gpt, prefix, samples, 9)
        for spans in passes:
            if not any(end > start for start, end in spans):
                continue
            read = tokens(own, spans)
            logits = decoder.read(read)
            torch.testing.assert_close(
                logits, expected[read.rows, read.columns], atol=1e-5, rtol=1e-5
            )


def test_wrong_tokens_that_were_read_ahead_leave_no_trace():
    gpt = GPT(GPT_SMALL, LAYOUT)
    prefix, right, wrong = random_ids(1, 13), random_ids(2, 9), random_ids(2, 9)
    with torch.no_grad():
        decoder, clean = (KeyValueCache(gpt, gpt, prefix, 2, 9) for _ in range(2))
        decoder.read(tokens(wrong, [(0, 9), (0, 5)]))
        for spans in ([(0, 3), (0, 2)], [(3, 4), (2, 3)]):
            read = tokens(right, spans)
            torch.testing.assert_close(decoder.read(read), clean.read(read), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("inputs", "samples"), [(1, 1), (1, 3), (2, 3)])
def test_a_shared_prefix_is_seen_as_if_each_row_had_its_own(inputs, samples):
    rows, prefix, seen, width = inputs * samples, 5, 4, 3
    shared = torch.randn(2, inputs, 2, prefix, 8)
    keys, values = torch.randn(2, rows, 2, seen, 8)
    queries = torch.randn(rows, 2, width, 8)
    visible = torch.ones(rows, 1, width, seen, dtype=torch.bool).tril(1)
    k, v = torch.cat([shared.repeat_interleave(samples, 1), torch.stack([keys, values])], 3)
    everywhere = torch.ones(rows, 1, width, prefix, dtype=torch.bool)
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries, k, v, attn_mask=torch.cat([everywhere, visible], -1)
    )
    mixed = attend_shared(queries, keys, values, visible, shared)
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-5)
