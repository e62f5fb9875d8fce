#!/usr/bin/env python3
"""Makes the reference model's tokenizer, SentencePiece BPE of 512 pieces, of the training text of generate_text.py.

Usage: make_tokenizer.py TRAINING.txt TOKENIZER.model
Needs sentencepiece (a maker's tool: nothing of it is needed to use `compress`). The same text gives the same pieces; the file also
records the paths that it was made with.
"""
import sys
from pathlib import Path

import sentencepiece


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    text, model = sys.argv[1], Path(sys.argv[2])
    prefix = model.with_suffix("")
    sentencepiece.SentencePieceTrainer.train(
        input=text, model_prefix=str(prefix), vocab_size=512, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", split_digits=True, add_dummy_prefix=True, remove_extra_whitespaces=False,
        input_sentence_size=200000, shuffle_input_sentence=False, bos_id=1, eos_id=2, unk_id=0, pad_id=-1, num_threads=1)
    prefix.with_suffix(".vocab").unlink()
    prefix.with_suffix(".model").replace(model)


if __name__ == "__main__":
    main()
