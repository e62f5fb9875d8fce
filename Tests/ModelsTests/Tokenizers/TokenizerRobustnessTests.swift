import ModelFiles
import Models
import Testing

/// Broken files are refused or read, never crashed on; long texts take linear time.
@Suite struct TokenizerRobustnessTests {
  private static let files = [
    "spm-bpe.model", "spm-unigram-bytes.model", "llama2c.bin", "bytes-llama3.json", "wordpiece.json",
    "wordpiece-vocab.txt", "llama-like.json", "unigram.json", "mixed-splits.json",
  ]

  /// Uses a tokenizer, if one came of the bytes.
  private static func attempt(_ kind: TokenizerFile.Kind, _ bytes: [UInt8]) -> Bool {
    guard let tokenizer = try? TokenizerFixtures.tokenizer(kind, bytes) else { return false }
    let ids = tokenizer.encode(Array("Hello wörld 123\n\n  <s>x</s> \u{2581}a".utf8), addSpecial: true)
    _ = tokenizer.decode(ids)
    _ = tokenizer.ggufEntries
    return true
  }

  @Test(arguments: files)
  func truncatedFiles(_ name: String) throws {
    let bytes = try TokenizerFixtures.bytes(name)
    let kind = TokenizerFixtures.kind(name)
    #expect(TokenizerRobustnessTests.attempt(kind, bytes))
    var refused = 0
    for length in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 150)) {
      if !TokenizerRobustnessTests.attempt(kind, Array(bytes[..<length])) { refused += 1 }
    }
    // A list of lines is still one when lines are missing.
    #expect(kind == .wordPiece || refused > 0)
  }

  @Test(arguments: files)
  func flippedBytes(_ name: String) throws {
    let bytes = try TokenizerFixtures.bytes(name)
    let kind = TokenizerFixtures.kind(name)
    var attempts = 0
    for place in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 200)) {
      for mask: UInt8 in [0xFF, 0x01, 0x80] {
        var broken = bytes
        broken[place] ^= mask
        _ = TokenizerRobustnessTests.attempt(kind, broken)
        attempts += 1
      }
    }
    #expect(attempts > 400)
  }

  @Test func flippedNormalizationRules() throws {
    let bytes = try TokenizerFixtures.bytes("spm-unigram.model")
    for place in stride(from: 8, to: bytes.count, by: bytes.count / 60) {
      var broken = bytes
      broken[place] ^= 0xFF
      _ = TokenizerRobustnessTests.attempt(.sentencePiece, broken)
    }
  }

  @Test(arguments: TokenizerFixtures.names)
  func longRuns(_ name: String) throws {
    let tokenizer = try TokenizerFixtures.tokenizer(name)
    for unit in [" ", "a", "ab", "\n", "\u{301}", "\u{2581}", "é", "日", "1", "'", "\0", "<"] {
      let text = Array(repeating: Array(unit.utf8), count: 200_000 / unit.utf8.count).flatMap { $0 }
      let ids = tokenizer.encode(text, addSpecial: false)
      #expect(ids.count <= 4 * text.count)
    }
  }

  @Test(arguments: [
    ("", "has no pieces"), ("\u{0A}\u{7F}", "bytes where"), ("hello", "no SentencePiece model"),
    ("\u{0A}\u{00}", "piece 0 is empty"), ("\u{0A}\u{03}\u{0A}\u{01}a", "no unknown piece"),
    ("\u{0A}\u{05}\u{0A}\u{01}a\u{18}\u{02}\u{0A}\u{05}\u{0A}\u{01}b\u{18}\u{02}", "both the unknown"),
    ("\u{0A}\u{05}\u{0A}\u{01}a\u{18}\u{02}\u{0A}\u{05}\u{0A}\u{01}a\u{18}\u{02}", "twice"),
    ("\u{0A}\u{05}\u{0A}\u{01}a\u{18}\u{09}", "unknown type 9"),
    ("\u{0A}\u{05}\u{0A}\u{01}a\u{18}\u{02}\u{12}\u{02}\u{18}\u{04}", "model type 4"),
  ])
  func sentencePieceErrors(_ text: String, _ message: String) throws {
    let error = #expect(throws: TokenizerError.self) {
      _ = try TokenizerFixtures.tokenizer(.sentencePiece, Array(text.utf8))
    }
    #expect(error?.path == "the-file")
    #expect(error?.message.contains(message) ?? false, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    (#"{"model":{"type":"WordLevel","vocab":{"a":0}}}"#, "the model 'WordLevel' is not supported"),
    (#"{"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}}"#, "same id"),
    (#"{"model":{"type":"BPE","vocab":{"a":99999999},"merges":[]}}"#, "no usable id"),
    (#"{"model":{"type":"BPE","vocab":{"a":9999999},"merges":[]}}"#, "highest id is 9999999"),
    (#"{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}"#, "merge 0"),
    (#"{"model":{"type":"BPE","vocab":{"a":0},"merges":["ab"]}}"#, "not two tokens"),
    (#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"normalizer":{"type":"X"}}"#, "normalizer 'X'"),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"X"}}"#,
      "pre-tokenizer 'X'"
    ),
    (#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"decoder":{"type":"X"}}"#, "decoder 'X'"),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"post_processor":{"type":"X"}}"#,
      "post-processor 'X'"
    ),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":"#
        + #"{"Regex":"(a)\\1"},"behavior":"Isolated","invert":false}}"#,
      "the pattern '(a)\\1' is not supported"
    ),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"post_processor":{"type":"BertProcessing","#
        + #""sep":["s",7],"cls":["c",0]}}"#, "names id 7"
    ),
    (#"{"model":{"type":"Unigram","unk_id":5,"vocab":[["a",-1.0]]}}"#, "unknown id"),
    (#"{"a":1}"#, "no \"model\""), ("[", "no JSON"),
  ])
  func jsonErrors(_ text: String, _ message: String) throws {
    let error = #expect(throws: TokenizerError.self) {
      _ = try TokenizerFixtures.tokenizer(.json, Array(text.utf8))
    }
    #expect(error?.message.contains(message) ?? false, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    ([UInt8](), "has 0 bytes"), ([4, 0, 0, 0, 0, 0, 0, 0], "cut off"),
    ([4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4, 5], "has 5 bytes"),
    ([4, 0, 0, 0, 0, 0, 0xC0, 0x7F, 1, 0, 0, 0, 65], "not a number"),
    ([4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 65], "1 pieces"),
  ])
  func llama2cErrors(_ bytes: [UInt8], _ message: String) throws {
    let error = #expect(throws: TokenizerError.self) { _ = try TokenizerFixtures.tokenizer(.llama2c, bytes) }
    #expect(error?.message.contains(message) ?? false, "\(error?.message ?? "")")
  }

  @Test func ggufErrors() throws {
    func message(_ entries: [GGUFEntry]) -> String {
      do {
        _ = try TokenizerList.tokenizer(ofGGUF: entries, path: "x.gguf")
        return "read"
      } catch { return "\(error)" }
    }
    let llama = GGUFEntry("tokenizer.ggml.model", .string("llama"))
    let tokens = GGUFEntry("tokenizer.ggml.tokens", .strings(["<unk>", "a"]))
    #expect(
      message([GGUFEntry("tokenizer.ggml.model", .string("rwkv"))])
        == "x.gguf: the tokenizer model 'rwkv' is not supported")
    #expect(message([llama]).contains("missing or empty"))
    #expect(
      message([llama, tokens, GGUFEntry("tokenizer.ggml.scores", .float32s([0]))]).contains("1 scores"))
    #expect(
      message([llama, tokens, GGUFEntry("tokenizer.ggml.token_type", .int32s([1, 9]))]).contains(
        "unknown type 9"))
    #expect(
      message([llama, tokens, GGUFEntry("tokenizer.ggml.bos_token_id", .uint32(2))]).contains("has 2 pieces"))
    #expect(message([llama, tokens]) == "read")
    let gpt2 = GGUFEntry("tokenizer.ggml.model", .string("gpt2"))
    #expect(message([gpt2, tokens, GGUFEntry("tokenizer.ggml.pre", .string("zz"))]).contains("'zz'"))
  }
}
