import Evaluation
import ModelFiles
import Models
import Testing

/// What each prediction scored, kept in a file, and compared with another model's.
@Suite("Token records")
struct TokenRecordsTests {
  static let chunks = EvaluationChunks(
    chunks: [
      .init(tokens: [1, 5, 3, 9, 2, 2, 7, 10, 0, 4, 6, 8], first: 4, document: 0),
      .init(tokens: [1, 2, 3], first: 0, document: 0),
      .init(tokens: [1, 10, 9, 8, 7, 6, 5, 4, 3, 2], first: 5, document: 1),
    ], context: 12, fromStart: false, addsBeginningOfText: true, isDocuments: true, textName: "text",
    textHash: "hash", textTokens: 25)

  static func records(
    noise: Double, baseline: Bool = true, chunks: EvaluationChunks = chunks
  ) throws -> (TokenRecords, LanguageMetrics) {
    let recorder = TokenRecorder(
      key: ReferenceKey(modelName: "fake", files: [], vocabulary: 11, chunks: chunks))
    let metrics = try LanguageEvaluation.run(
      FakeLanguageModel(noise: noise), baseline: baseline ? FakeLanguageModel() : nil, chunks: chunks,
      records: recorder)
    return (try #require(recorder.records), metrics)
  }

  @Test("the records add up to the metrics")
  func sums() throws {
    let (records, metrics) = try Self.records(noise: 0.7)
    #expect(records.tokens.count == 7 + 2 + 4 && records.tokens.count == metrics.tokens)
    #expect(records.tokens.map(\.truth) == [2, 7, 10, 0, 4, 6, 8, 2, 3, 5, 4, 3, 2])
    let loss = records.tokens.reduce(0) { $0 + Double($1.loss) } / 13
    let divergence = records.tokens.reduce(0) { $0 + Double($1.divergence) } / 13
    #expect(abs(loss - metrics.loss.value) < 1e-6)
    #expect(abs(divergence - (metrics.divergence?.mean.value ?? .nan)) < 1e-6)
    let sameTop = records.tokens.count { $0.isSameTop }
    #expect(sameTop == metrics.chunks.reduce(0) { $0 + ($1.sameTop ?? 0) })
    // The likeliest token, from the definition.
    let model = FakeLanguageModel(noise: 0.7)
    let row = model.row(position: 4, token: 2)
    #expect(records.tokens[0].isRight == (row.firstIndex(of: row.max() ?? 0) == 2))
    // Chunks of a document are one block.
    #expect(records.sums { _ in 1 } == [BlockSum(sum: 9, count: 9), BlockSum(sum: 4, count: 4)])
  }

  @Test("a file gives the records back, and any byte of it that changes is found")
  func file() throws {
    for baseline in [true, false] {
      let (records, _) = try Self.records(noise: 0.3, baseline: baseline)
      let bytes = TokenFile.bytes(of: records)
      #expect(try TokenFile.read(bytes, name: "t") == records)
    }
    let bytes = TokenFile.bytes(of: try Self.records(noise: 0.3).0)
    for place in stride(from: 0, to: bytes.count, by: 3) {
      var bad = bytes
      bad[place] ^= 0x41
      // What a flip leaves readable says the same, but for names.
      if let read = try? TokenFile.read(bad, name: "t") {
        let good = try TokenFile.read(bytes, name: "t")
        #expect(read.tokens == good.tokens, "byte \(place)")
      }
    }
    for length in stride(from: 0, to: bytes.count, by: 5) {
      #expect(throws: EvaluationError.self) { try TokenFile.read(Array(bytes[..<length]), name: "t") }
    }
    #expect(throws: EvaluationError(.badReference, "t", "not a file of token records")) {
      try TokenFile.read(Array("compress".utf8), name: "t")
    }
    #expect(throws: EvaluationError.self) { try TokenFile.read(bytes + [0], name: "t") }
  }

  @Test("a header that lies is refused")
  func lies() throws {
    let magic = Array("compress tokens 1\n".utf8)
    func file(_ header: String) -> [UInt8] {
      let text = Array(header.utf8)
      return magic + [UInt8(text.count & 255), UInt8(text.count >> 8), 0, 0] + text
    }
    let key =
      "\"key\":{\"modelName\":\"\",\"model\":\"\",\"textName\":\"\",\"text\":\"\",\"context\":4,\"chunks\":\"\",\"rows\":9,\"vocabulary\":9}"
    for blocks in [
      "[9223372036854775807,9223372036854775807]", "[-1]", "[1.5]", "[268435457]", "[200000000,200000000]",
      "[9]",
    ] {
      let count = blocks.split(separator: ",").count
      let nulls = "[" + Array(repeating: "null", count: count).joined(separator: ",") + "]"
      #expect(throws: EvaluationError.self, "\(blocks)") {
        try TokenFile.read(
          file("{\(key),\"hasBaseline\":true,\"blocks\":\(blocks),\"documents\":\(nulls),\"sha256\":\"\"}"),
          name: "t")
      }
    }
    #expect(throws: EvaluationError.self) { try TokenFile.read(magic + [255, 255, 255, 255], name: "t") }
  }

  @Test("a comparison is of the same tokens, by documents")
  func comparison() throws {
    let (first, _) = try Self.records(noise: 0.2)
    let (second, _) = try Self.records(noise: 0.9)
    let comparison = try TokenComparison(first, second)
    let differences = zip(first.tokens, second.tokens).map { Double($1.loss) - Double($0.loss) }
    #expect(abs(comparison.loss.estimate.value - differences.reduce(0, +) / 13) < 1e-12)
    #expect(comparison.loss.blocks == 2)
    #expect(comparison.flips == Flips(first.tokens.map(\.isRight), second.tokens.map(\.isRight)))
    #expect(comparison.divergence != nil)
    #expect(try TokenComparison(first, try Self.records(noise: 0.9, baseline: false).0).divergence == nil)
    #expect(try TokenComparison(first, second, sharesBaseline: false).divergence == nil)
    let corrected = [comparison, comparison].corrected
    let plain = comparison.loss.probability ?? .nan
    #expect(corrected[0].loss.adjusted == min(1, 2 * plain))
  }

  @Test("other texts, contexts and tokens are refused")
  func refusals() throws {
    let (records, _) = try Self.records(noise: 0.2)
    func message(_ edit: (inout EvaluationChunks) -> Void) throws -> String {
      var chunks = Self.chunks
      edit(&chunks)
      let other = try Self.records(noise: 0.2, chunks: chunks).0
      do { _ = try TokenComparison(records, other) } catch { return error.description }
      return ""
    }
    #expect(
      try message { $0.textHash = "x" } == "text: the tokens do not fit: it is of another text ('text')")
    #expect(
      try message { $0.context = 16 }
        == "text: the tokens do not fit: it was made with a context of 16, not 12")
    #expect(try message { $0.chunks[1].tokens[0] = 4 }.contains("it is of other tokens"))
    #expect(try message { $0.chunks.removeLast() }.contains("another limit (9 scored, 13 wanted)"))
  }
}
