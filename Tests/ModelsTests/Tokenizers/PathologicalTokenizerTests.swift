import ModelFiles
import Models
import Testing

/// Tokenizer files that are well-formed and would need unbounded time or memory.
@Suite struct PathologicalTokenizerTests {
  /// A BPE vocabulary of two letters with another part.
  private static func document(_ part: String) -> [UInt8] {
    Array(#"{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]},\#(part)}"#.utf8)
  }

  private static func split(_ pattern: String) -> [UInt8] {
    document(
      #""pre_tokenizer":{"type":"Split","pattern":{"Regex":"\#(pattern)"},"behavior":"Isolated","invert":false}"#
    )
  }

  private static func repeated(_ step: String) -> String {
    Array(repeating: step, count: 60).joined(separator: ",")
  }

  private static func message(_ bytes: [UInt8]) -> String? {
    #expect(throws: TokenizerError.self) { _ = try TokenizerFixtures.tokenizer(.json, bytes) }?.message
  }

  @Test func chainsThatDoubleTheTextAreRefused() {
    let replace = #"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#
    let metaspace = #"{"type":"Metaspace","replacement":"  ","prepend_scheme":"never","split":false}"#
    for part in [
      #""normalizer":{"type":"Sequence","normalizers":[\#(Self.repeated(replace))]}"#,
      #""pre_tokenizer":{"type":"Sequence","pretokenizers":[\#(Self.repeated(metaspace))]}"#,
      #""decoder":{"type":"Sequence","decoders":[\#(Self.repeated(replace))]}"#,
    ] {
      #expect(Self.message(Self.document(part))?.contains("4096 times longer") ?? false)
    }
  }

  @Test func usualChainsAreNot() throws {
    let steps = #"{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}"#
    let bytes = Self.document(#""normalizer":{"type":"Sequence","normalizers":[\#(steps)]}"#)
    #expect(try TokenizerFixtures.tokenizer(.json, bytes) != nil)
  }

  @Test(arguments: [
    "(?:(?:(?:(?:){1000}){1000}){1000}){1000}", "(?:(?:a{2}b{2}){1000}){1000}",
    "a" + String(repeating: "?", count: 10_000), String(repeating: "(", count: 8000),
    String(
      repeating: "[a]", count: 10_000),
  ])
  func patternsTooLargeToCompileAreRefused(_ pattern: String) {
    #expect(Self.message(Self.split(pattern))?.contains("is not supported") ?? false)
  }

  // Each of these takes 2 to the length, or the square of it, unless steps are counted.
  @Test(arguments: ["(?:a|a)*b", "(?:a+)+b", "(?:a*a)*b", "(?=a*+b)a", "a*?b", "(?:a?){200}b"])
  func patternsThatBacktrackEnd(_ pattern: String) throws {
    guard let tokenizer = try? TokenizerFixtures.tokenizer(.json, Self.split(pattern)) else { return }
    let text = [UInt8](repeating: UInt8(ascii: "a"), count: 20_000)
    // No place of the text matches: all of it is one word of unmergeable letters.
    #expect(tokenizer.encode(text, addSpecial: false) == [Int](repeating: 0, count: text.count))
  }

  @Test func aNormalizationRuleOfMegabytesIsRefused() {
    // A trie of one unit, and a replacement of 5000 bytes.
    let rules: [UInt8] = [4, 0, 0, 0] + [0, 0, 0, 0] + [UInt8](repeating: 65, count: 5000) + [0]
    let entries = [
      GGUFEntry("tokenizer.ggml.model", .string("t5")),
      GGUFEntry("tokenizer.ggml.tokens", .strings(["<unk>", "a"])),
      GGUFEntry(
        "tokenizer.ggml.precompiled_charsmap", .array(rules.map { .uint8($0) }, elementType: 0)),
    ]
    let error = #expect(throws: TokenizerError.self) {
      _ = try TokenizerList.tokenizer(ofGGUF: entries, path: "x.gguf")
    }
    #expect(error?.message.contains("5000 bytes") ?? false)
  }

  @Test(arguments: [Float.nan, .infinity, 1e30, 256, 0.5])
  func normalizationRulesThatAreNoBytesAreRefused(_ number: Float) {
    let entries = [
      GGUFEntry("tokenizer.ggml.model", .string("t5")),
      GGUFEntry("tokenizer.ggml.tokens", .strings(["<unk>", "a"])),
      GGUFEntry("tokenizer.ggml.precompiled_charsmap", .float32s([number])),
    ]
    let error = #expect(throws: TokenizerError.self) {
      _ = try TokenizerList.tokenizer(ofGGUF: entries, path: "x.gguf")
    }
    #expect(error?.message.contains("a list of bytes") ?? false)
  }
}
