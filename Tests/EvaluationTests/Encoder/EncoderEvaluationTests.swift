import Evaluation
import ModelFiles
import Models
import TensorCore
import Testing

@Suite struct EncoderEvaluationTests {
  static let tokenizer = ByteTokenizer(addsEnd: true)
  static let table = "cat,dog,3\ncat,house,1\nbird,birds,5\ntree,bark,2\nrow,boat,3\n"

  static func text(_ string: String) throws -> EncoderText {
    try EncoderText(name: "t", bytes: Array(string.utf8))
  }

  /// The embedding of each sentence, from the fake directly.
  static func embeddings(_ model: FakeEncoder, _ text: EncoderText) -> [[Double]] {
    text.sentences.map { sentence in
      var tokens = tokenizer.encode(sentence, addSpecial: true)
      if tokens.count > model.contextLength { tokens = tokens.prefix(model.contextLength - 1) + [257] }
      return model.embed([tokens]).elements.map(Double.init)
    }
  }

  static func cosine(_ a: [Double], _ b: [Double]) -> Double {
    func dot(_ x: [Double], _ y: [Double]) -> Double { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }
    return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
  }

  @Test func metricsAgreeWithNaiveFormulas() throws {
    let text = try Self.text(Self.table)
    let baseline = FakeEncoder()
    let model = FakeEncoder(noise: 0.4)
    let metrics = try EncoderEvaluation.run(
      model, baseline: baseline, tokenizer: Self.tokenizer, text: text, bootstrap: Bootstrap(resamples: 200))
    let new = Self.embeddings(model, text)
    let old = Self.embeddings(baseline, text)
    let cosines = zip(new, old).map { Self.cosine($0, $1) }
    let similarity = try #require(metrics.similarity)
    #expect(metrics.sentences == 9 && metrics.truncated == 0)
    #expect(abs(similarity.mean.value - cosines.reduce(0, +) / 9) < 1e-12)
    #expect(abs(similarity.minimum - (cosines.min() ?? .nan)) < 1e-12)
    let correlation = try #require(metrics.correlation)
    let scores = text.pairs.map(\.score)
    func pairs(_ embeddings: [[Double]]) -> [Double] {
      text.pairs.map { Self.cosine(embeddings[$0.first], embeddings[$0.second]) }
    }
    let spearman = try #require(Statistics.spearman(pairs(new), scores))
    let oldSpearman = try #require(Statistics.spearman(pairs(old), scores))
    let pearson = try #require(Statistics.pearson(pairs(new), scores))
    #expect(correlation.pairs == 5)
    #expect(abs(correlation.spearman.value - spearman) < 1e-12)
    #expect(abs(correlation.pearson.value - pearson) < 1e-12)
    #expect(abs((correlation.baselineSpearman?.value ?? .nan) - oldSpearman) < 1e-12)
    #expect(abs((correlation.spearmanChange?.value ?? .nan) - (spearman - oldSpearman)) < 1e-12)
    #expect((correlation.spearman.standardError ?? 0) > 0)
  }

  @Test func comparedWithItselfNothingDiffers() throws {
    let model = FakeEncoder(noise: 0.2)
    let metrics = try EncoderEvaluation.run(
      model, baseline: model, tokenizer: Self.tokenizer, text: try Self.text(Self.table),
      bootstrap: Bootstrap(resamples: 50))
    #expect(metrics.similarity?.mean == Estimate(1, standardError: 0))
    #expect(metrics.similarity?.minimum == 1)
    #expect(metrics.correlation?.spearmanChange == Estimate(0, standardError: 0))
  }

  @Test func longSentencesKeepTheirEnd() throws {
    let seen = Locked<[[Int]]>([])
    let model = RecordingEncoder(seen: seen)
    let metrics = try EncoderEvaluation.run(
      model, tokenizer: Self.tokenizer, text: try Self.text("abcdefghij\nab\n"))
    #expect(seen.withLock { $0 } == [[256, 97, 98, 99, 100, 257], [256, 97, 98, 257]])
    #expect(metrics.truncated == 1 && metrics.sentences == 2)
    #expect(metrics.similarity == nil && metrics.correlation == nil)
  }

  @Test func embeddingsMustFitAndBeFinite() throws {
    let text = try Self.text("abc\nxyz\n")
    #expect(
      throws: EvaluationError(.mismatch, "t", "embeddings have 3 numbers, the baseline's 4")
    ) {
      try EncoderEvaluation.run(
        FakeEncoder(), baseline: FakeEncoder(embeddingLength: 4), tokenizer: Self.tokenizer, text: text)
    }
    #expect(
      throws: EvaluationError(.nonFinite, "t", "the model's embedding of sentence 1 is not finite")
    ) { try EncoderEvaluation.run(FakeEncoder(noise: .nan), tokenizer: Self.tokenizer, text: text) }
  }

  @Test func aSentenceWithoutTokensIsAnError() throws {
    struct Deaf: Tokenizer {
      var vocabularySize: Int { 1 }
      var beginningOfText: Int? { nil }
      var endOfText: Int? { nil }
      var stopIDs: Set<Int> { [] }
      var addsBeginningOfText: Bool { false }
      var ggufEntries: [GGUFEntry] { [] }
      func encode(_ text: [UInt8], addSpecial: Bool) -> [Int] { text == Array("b".utf8) ? [] : [0] }
      func decode(_ ids: [Int]) -> [UInt8] { [] }
      func piece(_ id: Int) -> [UInt8] { [] }
    }
    let text = try EncoderText(name: "t", bytes: Array("a\nb\n".utf8))
    let error = #expect(throws: EvaluationError.self) {
      try EncoderEvaluation.run(FakeEncoder(), tokenizer: Deaf(), text: text)
    }
    #expect(error?.reason == .badText)
    #expect(error?.message.contains("sentence 2 gives no tokens") ?? false)
  }

  /// An encoder that notes what it is fed.
  struct RecordingEncoder: EncoderModel {
    var embeddingLength: Int { 1 }
    var contextLength: Int { 6 }
    let seen: Locked<[[Int]]>

    func embed(_ sequences: [[Int]]) -> Matrix {
      seen.withLock { $0 += sequences }
      return Matrix(rows: sequences.count, columns: 1, elements: sequences.map { Float($0.count) })
    }
  }
}
