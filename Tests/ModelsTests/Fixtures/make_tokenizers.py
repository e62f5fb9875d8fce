"""Makes the tokenizer fixtures: tiny tokenizers trained on generated text, and what the Python libraries say about a
torture list of texts.

    python make_tokenizers.py              # needs sentencepiece, tokenizers, transformers
    python make_tokenizers.py SHARED_DATA  # also remakes shared.json: digests of ids on real models and texts

Tokenizers that are there are kept, since the trainers of `tokenizers` break ties by hash: delete the folder to train
them anew.
"""
import base64, io, json, os, random, struct, sys

import sentencepiece as spm
import tokenizers
from tokenizers import Tokenizer, AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers, Regex

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizers")
os.makedirs(HERE, exist_ok=True)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def corpus():
    """Sentences of invented and real words in several scripts."""
    rng = random.Random(20260101)
    syllables = ["ka", "to", "mi", "re", "sun", "ber", "lo", "ing", "est", "an", "the", "or", "qua", "xi", "dé", "für"]
    words = ["".join(rng.choice(syllables) for _ in range(rng.randint(1, 4))) for _ in range(400)]
    words += "the a and of to in is was it he she that I'm don't we'll they've isn't you're 3 14 159 2026".split()
    words += ["Straße", "naïve", "café", "Москва", "привет", "мир", "κόσμος", "שלום", "مرحبا", "東京", "日本語", "한국어",
              "नमस्ते", "hello", "world", "Once", "upon", "time"]
    lines = []
    for _ in range(3000):
        line = " ".join(rng.choice(words) for _ in range(rng.randint(3, 14)))
        lines.append(line[:1].upper() + line[1:] + rng.choice([".", "!", "?", ",", "...", ";"]))
    return lines


# ---- The torture list: bytes, since some of it is no UTF-8.
TORTURE = [
    "", " ", "  ", "   ", "a", "A", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\t", "\t\t", " \t \n ", "\0", "a\0b",
    "hello world", "Hello, World!", " hello", "hello ", "  hello  world  ", "hello\nworld", "hello\n\n  world\n",
    "the quick brown fox", "Once upon a time, there was a little girl named Lily.", "don't DON'T we'll WE'LL I'm I'M",
    "they've 'tis 'S 'LL it's it\u2019s", "'\u017f '\u017fa", "x's'S'd'D'm're'RE'Ve",
    "1", "12", "123", "1234", "12345678901234567890", "3.14159", "1,000,000", "a1b2c3", " 1 22 333 4444", "½ ² ③ Ⅷ ٣ ๓",
    "$100.00 + €50 = £?", "!@#$%^&*()_+-=[]{}|;':\",./<>?`~", "...", ". . .", "a.b.c", "---", "()", "foo(bar)[baz]{qux}",
    "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\n", "a  b   c    d     e", " a b ", "a\u00a0b", "\u00a0", "a\u00a0 b",
    "\u2003em\u2003space", "a\u3000b", "\u2581", "\u2581a", "a\u2581b", " \u2581 ", "\u2581\u2581\u2581", "a \u2581b",
    "\u200b", "a\u200bb", "a\u200db", "a\u200cb", "\ufeffbom", "soft\u00adhyphen", "\u2028line\u2029para", "\u0085next",
    "\x01\x02\x03", "\x07bell\x1besc", "\x7f", "\x80\x9f", "e\u0301", "\u00e9", "\u00e9e\u0301", "a\u0300\u0301\u0302\u0303",
    "\u0301", " \u0301a", "\u1e9b\u0323", "\ufb01\ufb02\ufb03", "\u212b\u00c5A\u030a", "\uff21\uff22\uff23\uff11", "\u2460\u2461",
    "ΑΣΑΣ ΟΔΟΣ", "İstanbul ıI", "ǅ ǆ Ǆ", "STRASSE straße ẞ", "Straße naïve café", "Привет, мир!", "Ёлка ёлка й и\u0306",
    "שלום עולם", "שָׁלוֹם", "مرحبا بالعالم", "العَرَبِيَّة", "नमस्ते दुनिया", "ไทยภาษา", "日本語のテキスト", "東京タワー", "你好，世界！", "中文abc中文",
    "한국어 텍스트", "\u1112\u1161\u11ab\u1100\u1173\u11af", "カタカナ ｶﾀｶﾅ", "\U00020000\U0002a6df", "\U0001f600", "😀😃😄",
    "👨\u200d👩\u200d👧\u200d👦", "👍🏽", "🇩🇪🇫🇷", "❤️ ❤", "#️⃣", "a😀b", " 😀 ", "\U0010ffff", "\ue000", "\ufffd", "\u0378",
    "𝕳𝖊𝖑𝖑𝖔", "Ａｂｃ", "㍿", "ﷺ", "<s>", "</s>", "<unk>", "<s>hello</s>", "a<s>b", "a <s> b", "<0x41>", "<0x0A>x",
    "<|endoftext|>", "hi<|endoftext|>there", "hi <|endoftext|> there", "<|endoftext|><|endoftext|>", "<sep>", "a<sep>b<sep>c",
    "a <sep> b", "[CLS] hello [SEP]", "[MASK]", "a[MASK]b", "a [MASK] b", "##a", "a##b", "[UNK]", "<mask>", "x <mask> y", "<keep>",
    "a<keep>b a <keep> b", "STOP", "xSTOPx STOP stop", "a" * 100, "ab" * 60, " " * 70, "\n" * 30, "hello" * 30, "é" * 40, "x" * 101,
    "日" * 50, "\t" * 20 + "x", "word " * 20, "don\u2019t", "\u201cquoted\u201d \u2018single\u2019", "a\u2013b\u2014c", "…", "©®™", "°C ±5",
    "∑∫√∞≠≤", "→←↑↓", "░▒▓█▁▂", "┌─┐", "mixedЯRus한글中文عرب", "http://example.com/path?x=1&y=2#z", "user@example.com",
    "C:\\Users\\x", "a_b_c __init__", "CamelCaseWord", "ALLCAPS", "ǈ", "x\u0338", "\u0e33", "ा", "a\u0903b", "\u17b4",
    "\u2e55\u2e5d\u061d\u166d", "\U0001f9ff\U0001fae0", "\u20bf\u20c0", "\u061c\u2066\u2069\u0890", "\U000e0041",
    " n't 'm do not 's 've 're . ? ! ,", "you ' re", "a \n b \n\n c", "x\n \n y", "  \n  \n", "\n \n", " \r\n x", "end\n", "end \n ",
    "a\u1734b a\u1885b a\ua9bdb a\U000111c9b a\U0001171eb", "a\u1cf2b a\u08d4b a\u08e3b a\u0afab", "a\u08e2b a\U0001bca0b",
]
BROKEN = [b"\xff", b"\xfe\xff", b"a\xffb", b"\xc3", b"a\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82x", b"\xf0\x9f\x98", b"\xf0\x9f\x98 ok",
          b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\x80\x80\x80", b"ok \xe2\x96 no", b"\xe2\x96\x81\xe2\x96", b"\xf4\x90\x80\x80"]


def torture():
    return [text.encode("utf-8") for text in TORTURE] + BROKEN


# ---- SentencePiece
def train_sentencepiece(name, lines, **options):
    path = os.path.join(HERE, name + ".model")
    if os.path.exists(path):
        return path
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, num_threads=1,
                                   minloglevel=2, hard_vocab_limit=False, **options)
    with open(path, "wb") as file:
        file.write(model.getvalue())
    return path


def sentencepieces(lines):
    llama = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                 remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True)
    yield train_sentencepiece("spm-bpe", lines, vocab_size=480, **llama)
    yield train_sentencepiece("spm-bpe-user", lines, vocab_size=460, user_defined_symbols=["<sep>", "<mask>", "\u2581\u2581", "ing s"],
                              control_symbols=["<ctl>"], **llama)
    yield train_sentencepiece("spm-bpe-plain", lines, vocab_size=200, model_type="bpe", character_coverage=0.98,
                              normalization_rule_name="identity")
    yield train_sentencepiece("spm-bpe-suffix", lines, vocab_size=360, model_type="bpe", byte_fallback=True, character_coverage=0.98,
                              normalization_rule_name="identity", treat_whitespace_as_suffix=True)
    yield train_sentencepiece("spm-unigram", lines, vocab_size=350, model_type="unigram", character_coverage=0.99,
                              normalization_rule_name="nmt_nfkc", user_defined_symbols=["<sep>"])
    yield train_sentencepiece("spm-unigram-bytes", lines, vocab_size=520, model_type="unigram", byte_fallback=True, character_coverage=0.98,
                              normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False)


# ---- tokenizers
def byte_level(name, lines, pattern, normalizer=None, ignore_merges=False, template=False, prefix_space=False, digits=False, pairs=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pattern:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    elif digits:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    if ignore_merges:  # a word that no merges reach
        data = json.loads(tokenizer.to_str())
        data["model"]["vocab"]["\u0120worldwide"] = len(data["model"]["vocab"])
        tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<keep>", lstrip=True, rstrip=True, normalized=False),
                          AddedToken("STOP", single_word=True, normalized=True)])
    if template:
        end = tokenizer.token_to_id("<|endoftext|>")
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", end)])])
    text = tokenizer.to_str()
    if pairs:  # the older form of merges
        data = json.loads(text)
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
        text = json.dumps(data, ensure_ascii=False)
    return save(name, text)


def save(name, text):
    path = os.path.join(HERE, name + ".json")
    if os.path.exists(path):
        return path
    text = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def wordpiece(lines):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=320, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    yield save("wordpiece", tokenizer.to_str())
    vocab = sorted(Tokenizer.from_file(os.path.join(HERE, "wordpiece.json")).get_vocab().items(), key=lambda item: item[1])
    with open(os.path.join(HERE, "wordpiece-vocab.txt"), "w", encoding="utf-8") as file:
        file.write("".join(token + "\n" for token, _ in vocab))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False, handle_chinese_chars=False)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    yield save("wordpiece-cased", tokenizer.to_str())


def llama_like(lines):
    """BPE over U+2581 with byte fallback, as Llama 2's tokenizer.json is."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=480, special_tokens=special, limit_alphabet=70, show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    data["pre_tokenizer"] = None
    data["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    data["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    data["post_processor"] = json.loads(processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]).__getstate__())
    yield save("llama-like", json.dumps(data))
    data["normalizer"] = None
    data["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
    data["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "\u2581",
                       "prepend_scheme": "first", "split": False}]}
    data["post_processor"] = None
    yield save("llama-like-metaspace", json.dumps(data))


def unigram(lines):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.train_from_iterator(lines, trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>", "<unk>", "<mask>"], unk_token="<unk>", show_progress=False))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    yield save("unigram", tokenizer.to_str())


def mixed(lines):
    """The remaining components."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="@@", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip(), normalizers.Replace("x", "ks"), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits()])
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<unk>"], limit_alphabet=80, continuing_subword_prefix="@@", end_of_word_suffix="</w>", show_progress=False))
    yield save("mixed", tokenizer.to_str())
    data = json.loads(tokenizer.to_str())
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": "-"}, "behavior": "MergedWithPrevious", "invert": False},
        {"type": "Split", "pattern": {"Regex": "[aeiou]+"}, "behavior": "MergedWithNext", "invert": False},
        {"type": "Split", "pattern": {"Regex": "\\d{1,3}"}, "behavior": "Contiguous", "invert": False},
        {"type": "WhitespaceSplit"}]}
    data["normalizer"] = {"type": "NFKD"}
    yield save("mixed-splits", json.dumps(data))


# ---- llama2.c
def llama2c(model):
    """tokenizer.bin as export of llama2.c's tokenizer.py writes it, and the ids of run.c's encode."""
    processor = spm.SentencePieceProcessor(model_file=model)
    pieces = []
    for i in range(processor.get_piece_size()):
        text = processor.id_to_piece(i)
        text = "\n<s>\n" if i == 1 else "\n</s>\n" if i == 2 else text
        pieces.append((text.replace("\u2581", " ").encode("utf-8"), processor.get_score(i)))
    with open(os.path.join(HERE, "llama2c.bin"), "wb") as file:
        file.write(struct.pack("I", max(len(text) for text, _ in pieces)))
        for text, score in pieces:
            file.write(struct.pack("fI", score, len(text)) + text)
    table = {text: i for i, (text, _) in reversed(list(enumerate(pieces)))}

    def encode(text):
        ids = [1]
        if text:
            ids.append(table[b" "])
        place = 0
        while place < len(text):
            end = place + 1
            while end < len(text) and text[end] & 0xC0 == 0x80 and end - place < 4:
                end += 1
            chunk = text[place:end]
            ids += [table[chunk]] if chunk in table else [byte + 3 for byte in chunk]
            place = end
        while True:
            best, at, merged = -1e10, -1, -1
            for i in range(len(ids) - 1):
                id = table.get(pieces[ids[i]][0] + pieces[ids[i + 1]][0])
                if id is not None and pieces[id][1] > best:
                    best, at, merged = pieces[id][1], i, id
            if at < 0:
                return ids
            ids[at:at + 2] = [merged]
    return encode


# ---- What the libraries say
def b64(data):
    return base64.b64encode(data).decode()


def differing(decoded, texts):
    """The decoded texts; None where that is the text itself."""
    return [None if new.encode("utf-8") == old else b64(new.encode("utf-8")) for new, old in zip(decoded, texts)]


def main():
    lines = corpus()
    texts = torture()
    results = {}
    for path in sentencepieces(lines):
        processor = spm.SentencePieceProcessor(model_file=path)
        ids = [processor.encode(text) for text in texts]
        results[os.path.basename(path)] = {"ids": ids, "decoded": differing([processor.decode(i) for i in ids], texts)}
    encode = llama2c(os.path.join(HERE, "spm-bpe.model"))
    results["llama2c.bin"] = {"ids": [encode(text) for text in texts]}
    paths = [
        byte_level("bytes-gpt2", lines, None, pairs=True),
        byte_level("bytes-gpt2-prefix", lines, None, prefix_space=True),
        byte_level("bytes-llama3", lines, LLAMA3, ignore_merges=True, template=True),
        byte_level("bytes-qwen2", lines, QWEN2, normalizer=normalizers.NFC()),
        byte_level("bytes-gpt4o", lines, GPT4O),
        byte_level("bytes-smollm", lines, None, digits=True),
        *wordpiece(lines), *llama_like(lines), *unigram(lines), *mixed(lines)]
    for path in paths:
        tokenizer = Tokenizer.from_file(path)
        strings = [text.decode("utf-8", errors="replace") for text in texts]
        ids = [tokenizer.encode(text).ids for text in strings]
        plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in strings]
        results[os.path.basename(path)] = {
            "ids": ids, "plain": plain if plain != ids else None,
            "decoded": differing([tokenizer.decode(i) for i in ids], texts)}
    results = {name: {key: value for key, value in entry.items() if value is not None} for name, entry in results.items()}
    with open(os.path.join(HERE, "torture.json"), "w", encoding="utf-8") as file:
        json.dump({"versions": {"sentencepiece": spm.__version__, "tokenizers": tokenizers.__version__},
                   "texts": [b64(text) for text in texts], "results": results}, file, separators=(",", ":"))
        file.write("\n")
    if len(sys.argv) > 1:
        shared(sys.argv[1])


def shared(root):
    """Digests of the ids of the first 20 000 bytes of real texts under real tokenizers."""
    names = ["books-valid.txt", "tinystories-val.txt", "wikitext2-test-raw.txt", "calibration-groups-merged.txt"]
    entries = []
    for model in ["stories260K/tok512.model", "books-7m/tokenizer.model", "minilm-l6-v2/tokenizer.json"]:
        path = os.path.join(root, "models", model)
        if path.endswith(".model"):
            encode = spm.SentencePieceProcessor(model_file=path).encode
        else:
            tokenizer = Tokenizer.from_file(path)
            tokenizer.no_truncation()
            tokenizer.no_padding()
            encode = lambda text: tokenizer.encode(text.decode("utf-8", errors="replace"), add_special_tokens=False).ids
        for name in names:
            with open(os.path.join(root, "text", name), "rb") as file:
                ids = encode(file.read(20000))
            digest = 0xCBF29CE484222325  # FNV-1a
            for byte in b"".join(struct.pack("<I", i) for i in ids):
                digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
            entries.append({"model": model, "text": name, "count": len(ids), "fnv": "%x" % digest, "first": ids[:32]})
    with open(os.path.join(HERE, "shared.json"), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")


main()
