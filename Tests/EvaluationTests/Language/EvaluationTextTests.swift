import Evaluation
import Models
import Testing

@Suite struct EvaluationTextTests {
  static func text(_ string: String) throws -> EvaluationText {
    try EvaluationText(name: "text.txt", bytes: Array(string.utf8))
  }

  @Test func hashIsSHA256() throws {
    // FIPS 180-2, appendix B.1.
    let text = try Self.text("abc")
    #expect(text.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(text.byteCount == 3)
  }

  /// The rule of llama.cpp on a hand example: 2 chunks of 16 from 1 + 35 tokens, 4 tokens left over.
  @Test func chunksAreThoseOfLlamaCpp() throws {
    let bytes = (0..<35).map { UInt8(65 + $0) }
    let text = try EvaluationText(name: "t", bytes: bytes)
    let chunks = try text.chunks(tokenizer: ByteTokenizer(), modelContext: 100, context: 16)
    #expect(chunks.textTokens == 36)
    #expect(chunks.chunks.count == 2)
    // Chunk 0: BOS (id 256) and bytes 0 … 14. Chunk 1 begins with token 16 = byte 15, which BOS replaces.
    #expect(chunks.chunks[0].tokens == [256] + (65..<80))
    #expect(chunks.chunks[1].tokens == [256] + (81..<96))
    // Positions 8 … 14 predict tokens 9 … 15: n_ctx − 1 − n_ctx/2 = 7.
    #expect(chunks.chunks.map(\.first) == [8, 8])
    #expect(chunks.chunks.map(\.scoredCount) == [7, 7])
    #expect(chunks.scoredCount == 14)
    #expect(chunks.addsBeginningOfText && !chunks.fromStart && !chunks.isDocuments)
  }

  @Test func withoutBOSNothingIsReplaced() throws {
    let text = try EvaluationText(name: "t", bytes: (0..<32).map { UInt8(65 + $0) })
    let chunks = try text.chunks(
      tokenizer: ByteTokenizer(addsBeginningOfText: false), modelContext: 100, context: 16)
    #expect(chunks.chunks.map(\.tokens) == [Array(65..<81), Array(81..<97)])
  }

  @Test func oddContextRoundsDown() throws {
    let text = try EvaluationText(name: "t", bytes: (0..<32).map { UInt8(65 + $0) })
    let chunks = try text.chunks(tokenizer: ByteTokenizer(), modelContext: 100, context: 17)
    // n_ctx 17: first = 8, scored 17 − 1 − 8 = 8.
    #expect(chunks.chunks[0].first == 8 && chunks.chunks[0].scoredCount == 8)
  }

  @Test func fromStartScoresAll() throws {
    let text = try EvaluationText(name: "t", bytes: (0..<32).map { UInt8(65 + $0) })
    let chunks = try text.chunks(tokenizer: ByteTokenizer(), modelContext: 100, context: 16, fromStart: true)
    #expect(chunks.chunks.map(\.scoredCount) == [15, 15])
  }

  @Test func limitEndsAtWholeChunks() throws {
    let text = try EvaluationText(name: "t", bytes: [UInt8](repeating: 65, count: 500))
    func count(_ limit: Int) throws -> Int {
      try text.chunks(tokenizer: ByteTokenizer(), modelContext: 100, context: 16, limit: limit).chunks.count
    }
    #expect(try count(64) == 4)
    #expect(try count(70) == 4)
    #expect(try count(1) == 1)
    #expect(try count(100_000) == 31)
  }

  @Test func spreadTakesChunksFromAllOver() throws {
    let text = try EvaluationText(name: "t", bytes: (0..<3200).map { UInt8(33 + $0 / 50) })
    func chunks(_ limit: Int?, spread: Bool) throws -> EvaluationChunks {
      try text.chunks(
        tokenizer: ByteTokenizer(), modelContext: 100, context: 16, limit: limit, spread: spread)
    }
    let (all, some) = (try chunks(nil, spread: false), try chunks(320, spread: true))
    #expect(some.isSpread && some.chunks.count == 20 && some.context == 16)
    let places = some.chunks.compactMap { all.chunks.firstIndex(of: $0) }
    #expect(places.count == 20 && places == places.sorted())
    // No gap is wider than two parts.
    for (one, next) in zip([-1] + places, places + [all.chunks.count]) { #expect(next - one <= 20) }
    #expect(try chunks(nil, spread: true).chunks == all.chunks)
    #expect(try chunks(100_000, spread: true).chunks == all.chunks)
    #expect(try chunks(1, spread: true).chunks.count == 1)
    let lines = (0..<50).map { "{\"text\": \"document \($0)\"}" }.joined(separator: "\n")
    let documents = try Self.text(lines).chunks(
      tokenizer: ByteTokenizer(), modelContext: 100, limit: 120, spread: true)
    #expect(documents.tokenCount <= 120 && documents.chunks.count >= 9)
  }

  @Test func defaultContextIsTheModelsOr512() throws {
    let text = try EvaluationText(name: "t", bytes: [UInt8](repeating: 65, count: 2000))
    #expect(try text.chunks(tokenizer: ByteTokenizer(), modelContext: 100).context == 100)
    #expect(try text.chunks(tokenizer: ByteTokenizer(), modelContext: 8192).context == 512)
  }

  @Test func shortTextShortensTheDefaultContext() throws {
    let text = try EvaluationText(name: "t", bytes: [UInt8](repeating: 65, count: 40))
    let chunks = try text.chunks(tokenizer: ByteTokenizer(), modelContext: 512)
    #expect(chunks.context == 41 && chunks.chunks.count == 1)
    #expect(
      chunks.notes == [
        "the text has only 41 tokens: the context was shortened from 512",
        "a single chunk was evaluated: standard errors are unknown",
      ])
  }

  @Test func tooShort() throws {
    let text = try EvaluationText(name: "t", bytes: [UInt8](repeating: 65, count: 9))
    #expect(
      throws: EvaluationError(.tooShort, "t", "the text has 10 tokens, a chunk needs 16; give a longer text")
    ) { try text.chunks(tokenizer: ByteTokenizer(), modelContext: 512) }
    let longer = try EvaluationText(name: "t", bytes: [UInt8](repeating: 65, count: 99))
    #expect(
      throws: EvaluationError(
        .tooShort, "t", "the text has 100 tokens, a chunk needs 256; give a longer text or a shorter context")
    ) { try longer.chunks(tokenizer: ByteTokenizer(), modelContext: 512, context: 256) }
  }

  @Test func contextBeyondTheModelIsRefused() throws {
    let text = try EvaluationText(name: "t", bytes: [UInt8](repeating: 65, count: 99))
    #expect(
      throws: EvaluationError(.mismatch, "t", "a context of 1024 tokens is longer than the model's 512")
    ) { try text.chunks(tokenizer: ByteTokenizer(), modelContext: 512, context: 1024) }
  }

  @Test func linesOfJSONAreDocuments() throws {
    let text = try Self.text("{\"text\":\"abcdefgh\"}\n\n{\"id\":1,\"text\":\"xy\"}\n{\"text\":\"\"}\n")
    #expect(text.isDocuments)
    #expect(text.documents.map { String(decoding: $0, as: UTF8.self) } == ["abcdefgh", "xy", ""])
    let chunks = try text.chunks(tokenizer: ByteTokenizer(), modelContext: 100, context: 4)
    // BOS abc | (BOS for d) efg | a lone h has nothing to predict | BOS xy | a lone BOS.
    #expect(chunks.chunks.map(\.tokens) == [[256, 97, 98, 99], [256, 101, 102, 103], [256, 120, 121]])
    #expect(chunks.fromStart && chunks.isDocuments && chunks.scoredCount == 8)
    #expect(chunks.textTokens == 9 + 3 + 1)
    let limited = try text.chunks(tokenizer: ByteTokenizer(), modelContext: 100, context: 4, limit: 5)
    #expect(limited.chunks.count == 2)
  }

  @Test func brokenLineOfJSONIsNamed() {
    #expect(
      throws: EvaluationError(
        .badText, "text.txt", "line 3 is no JSON object with a string \"text\", as the lines before are")
    ) { try Self.text("{\"text\":\"a\"}\n\n{\"txt\":\"b\"}\n") }
  }

  @Test func textThatBeginsWithABraceIsText() throws {
    let text = try Self.text("{ is a brace\nand more")
    #expect(!text.isDocuments && text.documents.count == 1)
  }

  @Test func binaryAndEmptyAreRefused() {
    #expect(throws: EvaluationError(.badText, "b", "not a text: byte 2 is zero")) {
      try EvaluationText(name: "b", bytes: [65, 66, 0, 67])
    }
    #expect(throws: EvaluationError(.tooShort, "b", "the text is empty")) {
      try EvaluationText(name: "b", bytes: [])
    }
  }
}
