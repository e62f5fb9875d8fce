import Evaluation
import Models
import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

@Suite struct LanguageEvaluationTests {
  static let chunks = EvaluationChunks(
    chunks: [
      .init(tokens: [1, 5, 2, 9, 10, 3, 3, 0], first: 4), .init(tokens: [1, 2, 2, 8, 7, 6, 5, 4], first: 4),
      .init(tokens: [1, 10, 0, 4, 4, 1, 2, 9], first: 0),
    ],
    context: 8, fromStart: false, addsBeginningOfText: true, isDocuments: false, textName: "text",
    textHash: "",
    textTokens: 24, notes: [])

  /// exp(l)/Σ exp(l), the plain way: the logits are small.
  static func probabilities(_ logits: [Float]) -> [Double] {
    let powers = logits.map { exp(Double($0)) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }

  /// One number for each scored prediction of each chunk.
  static func each(_ body: (_ position: Int, _ token: Int, _ next: Int) -> Double) -> [[Double]] {
    chunks.chunks.map { chunk in
      (chunk.first..<chunk.tokens.count - 1).map { body($0, chunk.tokens[$0], chunk.tokens[$0 + 1]) }
    }
  }

  /// Mean and standard error by the textbook formula of the ratio estimator, on plain arrays.
  static func naive(_ values: [[Double]]) -> (mean: Double, error: Double) {
    let all = values.flatMap { $0 }
    let mean = all.reduce(0, +) / Double(all.count)
    var total = 0.0
    for block in values { total += pow(block.reduce(0, +) - mean * Double(block.count), 2) }
    let n = Double(values.count)
    return (mean, sqrt(n / (n - 1) * total) / Double(all.count))
  }

  static func isClose(_ estimate: Estimate, _ expected: (mean: Double, error: Double)) -> Bool {
    guard let error = estimate.standardError else { return false }
    return abs(estimate.value - expected.mean) < 1e-12 * max(1, abs(expected.mean))
      && abs(error - expected.error) < 1e-12
  }

  @Test(arguments: [1 << 20, 22, 1])
  func metricsAgreeWithNaiveFormulas(logitsLimit: Int) throws {
    let baseline = FakeLanguageModel()
    let model = FakeLanguageModel(noise: 0.8)
    let metrics = try LanguageEvaluation.run(
      model, baseline: baseline, chunks: Self.chunks, logitsLimit: logitsLimit)
    func p(_ model: FakeLanguageModel, _ position: Int, _ token: Int) -> [Double] {
      Self.probabilities(model.row(position: position, token: token))
    }
    let loss = Self.each { -log(p(model, $0, $1)[$2]) }
    let baseLoss = Self.each { -log(p(baseline, $0, $1)[$2]) }
    let divergence = Self.each { position, token, _ in
      zip(p(baseline, position, token), p(model, position, token)).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
    }
    let same = Self.each { position, token, _ in
      let a = p(baseline, position, token)
      let b = p(model, position, token)
      return a.firstIndex(of: a.max() ?? 0) == b.firstIndex(of: b.max() ?? 0) ? 1 : 0
    }
    let delta = Self.each { pow(p(model, $0, $1)[$2] - p(baseline, $0, $1)[$2], 2) }
    #expect(metrics.tokens == 3 + 3 + 7 && metrics.context == 8)
    let mean = Self.naive(loss)
    #expect(Self.isClose(metrics.loss, mean))
    #expect(Self.isClose(metrics.perplexity, (exp(mean.mean), exp(mean.mean) * mean.error)))
    let measured = try #require(metrics.divergence)
    let base = Self.naive(baseLoss)
    #expect(Self.isClose(measured.baselinePerplexity, (exp(base.mean), exp(base.mean) * base.error)))
    #expect(Self.isClose(measured.mean, Self.naive(divergence)))
    #expect(Self.isClose(measured.sameTop, Self.naive(same)))
    #expect(measured.sameTop.value > 0 && measured.sameTop.value < 1)
    let squared = Self.naive(delta)
    let root = sqrt(squared.mean)
    #expect(Self.isClose(measured.deltaProbability, (root, squared.error / (2 * root))))
    let difference = zip(loss, baseLoss).map { zip($0, $1).map { $0 - $1 } }
    #expect(Self.isClose(measured.logRatio, Self.naive(difference)))
    let sorted = divergence.flatMap { $0 }.sorted()
    #expect(abs(measured.median - sorted[6]) < 1e-12)
    #expect(abs(measured.maximum - sorted[12]) < 1e-12)
    // 12 · 0.99 = 11.88 and 12 · 0.999 = 11.988.
    let expected99 = sorted[11] * 0.12 + sorted[12] * 0.88
    let expected999 = sorted[11] * 0.012 + sorted[12] * 0.988
    #expect(abs(measured.percentile99 - expected99) < 1e-12)
    #expect(abs(measured.percentile999 - expected999) < 1e-12)
    for (index, chunk) in metrics.chunks.enumerated() {
      #expect(chunk.tokens == loss[index].count)
      #expect(abs(chunk.loss - loss[index].reduce(0, +)) < 1e-12)
      #expect(abs((chunk.divergence ?? .nan) - divergence[index].reduce(0, +)) < 1e-12)
      #expect(chunk.sameTop == Int(same[index].reduce(0, +)))
    }
  }

  @Test func comparedWithItselfNothingDiffers() throws {
    let model = FakeLanguageModel(noise: 0.3)
    let metrics = try LanguageEvaluation.run(model, baseline: model, chunks: Self.chunks)
    let divergence = try #require(metrics.divergence)
    #expect(divergence.mean == Estimate(0, standardError: 0))
    #expect(divergence.maximum == 0 && divergence.median == 0)
    #expect(divergence.sameTop == Estimate(1, standardError: 0))
    #expect(divergence.deltaProbability == Estimate(0, standardError: 0))
    #expect(divergence.logRatio == Estimate(0, standardError: 0))
    #expect(divergence.baselinePerplexity == metrics.perplexity)
  }

  @Test func withoutBaselineThereIsNoDivergence() throws {
    let metrics = try LanguageEvaluation.run(FakeLanguageModel(), chunks: Self.chunks)
    #expect(metrics.divergence == nil)
    #expect(metrics.chunks.allSatisfy { $0.baselineLoss == nil && $0.divergence == nil && $0.sameTop == nil })
  }

  /// Uniform logits: perplexity is the vocabulary's size, whatever their level.
  @Test(arguments: [Float(0), 1e4, -1e4, 88])
  func uniformLogitsHaveThePerplexityOfTheVocabulary(level: Float) throws {
    let model = ConstantModel(vocabularySize: 11, row: [Float](repeating: level, count: 11))
    let metrics = try LanguageEvaluation.run(model, baseline: model, chunks: Self.chunks)
    #expect(abs(metrics.perplexity.value - 11) < 1e-10)
    #expect(metrics.divergence?.mean.value == 0)
  }

  @Test func memoryIsBoundedBySlices() throws {
    let sizes = Locked<[Int]>([])
    let model = FakeLanguageModel(onForward: { count in sizes.withLock { $0.append(count) } })
    _ = try LanguageEvaluation.run(model, baseline: nil, chunks: Self.chunks, logitsLimit: 25)
    // Two rows of 11 fit in 25 logits. Chunks 0, 1: four tokens of context, then 2 + 1; chunk 2: 2 + 2 + 2 + 1.
    #expect(sizes.withLock { $0 } == [4, 2, 1, 4, 2, 1, 2, 2, 2, 1])
  }

  @Test(arguments: [true, false])
  func nonFiniteLogitsAreNamed(isBaseline: Bool) {
    let bad = FakeLanguageModel(nanAt: 5)
    let good = FakeLanguageModel()
    let name = isBaseline ? "baseline" : "model"
    #expect(
      throws: EvaluationError(
        .nonFinite, "text",
        "the \(name)'s logits at position 5 of chunk 0 are not finite: its weights or activations overflow")
    ) {
      try LanguageEvaluation.run(
        isBaseline ? good : bad, baseline: isBaseline ? bad : good, chunks: Self.chunks)
    }
  }

  @Test func vocabulariesMustFit() {
    #expect(
      throws: EvaluationError(
        .mismatch, "text", "the model has 11 logits, its baseline 12: they cannot be compared")
    ) {
      try LanguageEvaluation.run(
        FakeLanguageModel(), baseline: FakeLanguageModel(vocabularySize: 12), chunks: Self.chunks)
    }
    #expect(
      throws: EvaluationError(
        .mismatch, "text",
        "the tokenizer gave token 9, the model has 9 logits: this is another model's tokenizer")
    ) { try LanguageEvaluation.run(FakeLanguageModel(vocabularySize: 9), chunks: Self.chunks) }
  }

  @Test func progressReportsAndMayStop() throws {
    struct Stop: Error {}
    var seen: [EvaluationProgress] = []
    #expect(throws: Stop.self) {
      try LanguageEvaluation.run(FakeLanguageModel(), chunks: Self.chunks) { progress in
        seen.append(progress)
        if progress.done == 2 { throw Stop() }
      }
    }
    #expect(seen.map(\.done) == [1, 2] && seen.allSatisfy { $0.total == 3 && $0.loss != nil })
  }

  /// A model that always says the same.
  struct ConstantModel: LanguageModel {
    var vocabularySize: Int
    var contextLength: Int { 64 }
    var bytesPerToken: Int { 0 }
    var row: [Float]

    func makeCache(capacity: Int) -> KVCache {
      KVCache(capacity: capacity, blocks: 0, heads: 0, headLength: 0)
    }
    func forward(_ tokens: [Int], cache: KVCache, logits: LogitsRequest) -> Matrix {
      guard case .from(let first) = logits else { return Matrix(rows: 0, columns: vocabularySize) }
      let rows = tokens.count - first
      return Matrix(
        rows: rows, columns: vocabularySize, elements: (0..<rows).flatMap { _ in row })
    }
  }
}
