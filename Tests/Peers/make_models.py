#!/usr/bin/env python3
"""Models in the shapes of files that people have, with random weights from fixed seeds, as `transformers` writes them.

Usage: make_models.py FOLDER TEXT TOKENIZER.model [--only NAME …]
TEXT trains the small byte-level tokenizers; TOKENIZER.model is any SentencePiece file (the reference model's will do).
Weights are spread wide (logits of a freshly initialised model are all alike, and would hide a mistake).
"""
import argparse
import json
import os
import shutil

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (AutoModel, BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
                          T5Config, T5ForConditionalGeneration, ViTConfig, ViTModel)

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(text, folder, kind, vocabulary=2000):
    """A trained byte-level tokenizer with the pre-tokenizer, normaliser and special tokens of a family."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    pattern = {"llama3": LLAMA3, "qwen2": QWEN2}.get(kind)
    if pattern:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    special = {"llama3": ["<|begin_of_text|>", "<|end_of_text|>"], "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
               "gpt2": ["<|endoftext|>"]}[kind]
    tokenizer.train([text], trainers.BpeTrainer(vocab_size=vocabulary - len(special), show_progress=False,
                                               initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens(special)
    ids = [tokenizer.token_to_id(token) for token in special]
    configuration = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "eos_token": special[-1],
                     "clean_up_tokenization_spaces": False}
    if kind == "llama3":
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{special[0]} $A", pair=f"{special[0]} $A {special[0]} $B",
                                          special_tokens=[(special[0], ids[0])])])
        configuration["bos_token"] = special[0]
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump(configuration, file)
    return tokenizer.get_vocab_size(), ids[0], ids[-1]


def spread(model, seed):
    """Random weights of a size that gives peaked distributions, and norms that are not all one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() < 2:
                parameter.copy_(1 + 0.2 * noise if "norm" in name.lower() and "bias" not in name else 0.2 * noise)
            else:
                fan = parameter.shape[-1] if "embed" not in name else 1
                parameter.copy_(noise * (1.2 / fan**0.5))
    return model.eval()


def torch_shards(model, folder, parts=3):
    """pytorch_model-0000x-of-0000y.bin and its index, as older checkpoints have them."""
    state = {name: tensor for name, tensor in model.state_dict().items()}
    names = list(state)
    weight_map = {}
    for part in range(parts):
        file = f"pytorch_model-{part + 1:05}-of-{parts:05}.bin"
        chosen = names[part::parts]
        torch.save({name: state[name] for name in chosen}, os.path.join(folder, file))
        weight_map.update({name: file for name in chosen})
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    with open(os.path.join(folder, "pytorch_model.bin.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": size}, "weight_map": weight_map}, file)
    model.config.save_pretrained(folder)


def sizes(hidden=256, inner=512, layers=3, heads=8, groups=4, context=512, **more):
    return dict(hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
                num_key_value_heads=groups, max_position_embeddings=context, **more)


def llama(folder, text, kind, dtype, tied=False, sharded=False, **more):
    vocabulary, bos, eos = byte_level(text, folder, kind)
    config = LlamaConfig(vocab_size=vocabulary, bos_token_id=bos, eos_token_id=eos, tie_word_embeddings=tied, **sizes(**more))
    model = spread(LlamaForCausalLM(config), 1).to(dtype)
    model.save_pretrained(folder, **({"max_shard_size": "1MB"} if sharded else {}))


def with_sentencepiece(kind, folder, spm, seed, **more):
    import sentencepiece

    shutil.copy(spm, os.path.join(folder, "tokenizer.model"))
    vocabulary = sentencepiece.SentencePieceProcessor(model_file=spm).vocab_size()
    config, model = {"llama": (LlamaConfig, LlamaForCausalLM), "mistral": (MistralConfig, MistralForCausalLM)}[kind]
    return spread(model(config(vocab_size=vocabulary, bos_token_id=1, eos_token_id=2, **more)), seed)


ROPE3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=128)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=128)


def make(name, folder, text, spm):
    if name == "llama3-sharded-bf16":
        llama(folder, text, "llama3", torch.bfloat16, sharded=True, rope_parameters=ROPE3)
    elif name == "llama-linear-mqa-f32":
        llama(folder, text, "gpt2", torch.float32, tied=True, groups=1,
              rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0))
    elif name == "llama-yarn-f32":
        llama(folder, text, "llama3", torch.float32, rope_parameters=YARN)
    elif name in ["qwen2-f32", "qwen3-bf16"]:
        vocabulary, bos, eos = byte_level(text, folder, "qwen2")
        # Padded rows, as Qwen has them; Qwen3's heads are wider than hidden / heads.
        common = dict(vocab_size=vocabulary + 32, bos_token_id=None, eos_token_id=eos)
        if name == "qwen2-f32":
            model = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **common, **sizes(groups=2)))
        else:
            model = Qwen3ForCausalLM(Qwen3Config(head_dim=64, tie_word_embeddings=False, **common, **sizes(groups=2)))
        spread(model, 2).to(torch.float32 if name == "qwen2-f32" else torch.bfloat16).save_pretrained(folder)
    elif name == "mistral-window-f16":
        with_sentencepiece("mistral", folder, spm, 3, sliding_window=64, **sizes()).half().save_pretrained(folder)
    elif name == "llama-bin-shards-f16":
        torch_shards(with_sentencepiece("llama", folder, spm, 4, **sizes()).half(), folder)
    elif name == "llama-f64":
        with_sentencepiece("llama", folder, spm, 5, **sizes()).double().save_pretrained(folder)
    elif name == "llama-width-96":  # divides by 32, not by 256
        with_sentencepiece("llama", folder, spm, 6, **sizes(96, 160, heads=6, groups=3)).save_pretrained(folder)
    elif name == "llama-width-72":  # divides by nothing
        with_sentencepiece("llama", folder, spm, 7, **sizes(72, 200, heads=6, groups=3)).save_pretrained(folder)
    elif name == "bert-vocab-cls":
        words = sorted({word for line in open(text, encoding="utf-8") for word in line.lower().split() if word.isalpha()})
        pieces = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [chr(c) for c in range(33, 127)]
                  + ["##" + chr(c) for c in range(97, 123)] + words[:3000])
        pieces = list(dict.fromkeys(pieces))
        with open(os.path.join(folder, "vocab.txt"), "w") as file:
            file.write("\n".join(pieces) + "\n")
        config = BertConfig(vocab_size=len(pieces), hidden_size=96, num_hidden_layers=3, num_attention_heads=6,
                            intermediate_size=192, max_position_embeddings=128)
        spread(BertModel(config), 8).save_pretrained(folder)
        os.makedirs(os.path.join(folder, "1_Pooling"), exist_ok=True)
        with open(os.path.join(folder, "1_Pooling", "config.json"), "w") as file:
            json.dump({"word_embedding_dimension": 96, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, file)
    elif name == "gpt2":
        vocabulary, bos, eos = byte_level(text, folder, "gpt2")
        spread(GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=128, n_layer=2, n_head=4, n_positions=256)),
               9).save_pretrained(folder)
    elif name == "t5":
        spread(T5ForConditionalGeneration(T5Config(vocab_size=512, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)),
               10).save_pretrained(folder)
    elif name == "vit-bin":
        model = spread(ViTModel(ViTConfig(hidden_size=96, num_hidden_layers=2, num_attention_heads=4, intermediate_size=192,
                                          image_size=64, patch_size=16)), 11)
        state = dict(model.state_dict())
        state["embeddings.position_ids"] = torch.arange(17).unsqueeze(0)
        state["num_batches_tracked"] = torch.tensor(3)
        state["mask"] = torch.ones(4, 4, dtype=torch.bool)
        state["an_unreasonably_long_prefix." * 3 + "projection.weight"] = torch.randn(64, 256)
        torch.save({"state_dict": state, "epoch": 3}, os.path.join(folder, "pytorch_model.bin"))
        model.config.save_pretrained(folder)
    elif name == "middle-400m":
        config = LlamaConfig(vocab_size=32000, tie_word_embeddings=False, **sizes(1024, 2816, 24, 16, 8, 1024))
        vocabulary, bos, eos = byte_level(text, folder, "llama3", 20000)
        config.vocab_size = vocabulary
        spread(LlamaForCausalLM(config), 12).to(torch.bfloat16).save_pretrained(folder)
    else:
        raise SystemExit(f"no model is named '{name}'")


NAMES = ["llama3-sharded-bf16", "llama-linear-mqa-f32", "llama-yarn-f32", "qwen2-f32", "qwen3-bf16", "mistral-window-f16",
         "llama-bin-shards-f16", "llama-f64", "llama-width-96", "llama-width-72", "bert-vocab-cls", "gpt2", "t5", "vit-bin",
         "middle-400m"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("text")
    parser.add_argument("spm")
    parser.add_argument("--only", nargs="+", default=NAMES)
    options = parser.parse_args()
    for name in options.only:
        folder = os.path.join(options.folder, name)
        os.makedirs(folder, exist_ok=True)
        make(name, folder, options.text, options.spm)
        print(name, sum(os.path.getsize(os.path.join(folder, file)) for file in os.listdir(folder)) >> 10, "KiB")


if __name__ == "__main__":
    main()
