#!/usr/bin/env bash
# Everything about ToyFaces from nothing: both tokenizers, the packaged bundles, the editors.
# Two cores: about two hours for the tokenizers and four for the editors. Interrupted, it resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
make install

# 1. The tokenizers, which do not need each other.
$python -m e2eve.train +experiment=toyfaces_source_tokenizer
$python -m e2eve.train +experiment=toyfaces_driver_tokenizer

# 2. What comes with the package: their bundles, as the training runs wrote them.
for side in source driver; do
  mkdir -p e2eve/pretrained/toyfaces_$side
  cp runs/toyfaces_${side}_tokenizer/bundle/* e2eve/pretrained/toyfaces_$side/
done

# 3. The editor that `make train` trains in minutes, then the same for hours.
$python -m e2eve.train
$python -m e2eve.train +experiment=toyfaces_block_long
