public import Models
import TensorCore

/// Embeddings of a model against its baseline's, and against people's scores.
public enum EncoderEvaluation {
  /// How many sentences are embedded at a time.
  private static let batch = 32

  /// Evaluates `model` on `text`.
  ///
  /// - Parameters:
  ///   - baseline: the model that it is compared with; nil to leave the comparison out.
  ///   - tokenizer: the tokenizer of both.
  ///   - bootstrap: how standard errors of correlations are found.
  ///   - progress: called after each batch of sentences; an error it throws ends the evaluation.
  /// - Throws: ``EvaluationError`` when the models do not fit together or an embedding is not finite.
  public static func run(
    _ model: any EncoderModel, baseline: (any EncoderModel)? = nil, tokenizer: any Tokenizer,
    text: EncoderText,
    bootstrap: Bootstrap = Bootstrap(), progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> EncoderMetrics {
    if let baseline, baseline.embeddingLength != model.embeddingLength {
      throw EvaluationError(
        .mismatch, text.name,
        "embeddings have \(model.embeddingLength) numbers, the baseline's \(baseline.embeddingLength)")
    }
    let limit = min(model.contextLength, baseline?.contextLength ?? .max)
    let sequences = text.sentences.map { tokenizer.encode($0, addSpecial: true) }
    if let empty = sequences.firstIndex(where: \.isEmpty) {
      throw EvaluationError(
        .badText, text.name,
        "sentence \(empty + 1) gives no tokens, and the tokenizer puts none around it: nothing can be embedded"
      )
    }
    let cut = sequences.map { truncate($0, to: limit) }
    var embeddings: [[Double]] = []
    var reference: [[Double]] = []
    for start in stride(from: 0, to: cut.count, by: batch) {
      let part = Array(cut[start..<min(start + batch, cut.count)])
      embeddings += try unitVectors(model.embed(part), first: start, text: text, name: "model")
      if let baseline {
        reference += try unitVectors(baseline.embed(part), first: start, text: text, name: "baseline")
      }
      try progress(EvaluationProgress(done: start + part.count, total: cut.count, loss: nil))
    }
    return EncoderMetrics(
      sentences: cut.count,
      truncated: zip(sequences, cut).reduce(0) { $0 + ($1.0.count > $1.1.count ? 1 : 0) },
      similarity: baseline == nil ? nil : similarity(embeddings, reference),
      correlation: correlation(
        embeddings, baseline == nil ? nil : reference, pairs: text.pairs, bootstrap: bootstrap))
  }

  /// The sequence cut to `limit` tokens, its last one ([SEP]) kept.
  package static func truncate(_ tokens: [Int], to limit: Int) -> [Int] {
    guard tokens.count > limit, let last = tokens.last, limit > 0 else { return tokens }
    return Array(tokens[..<(limit - 1)]) + [last]
  }

  /// The rows scaled to length one, so that a dot product is a cosine.
  private static func unitVectors(
    _ matrix: Matrix, first: Int, text: EncoderText, name: String
  ) throws -> [[Double]] {
    try (0..<matrix.rows).map { row in
      let values = matrix.row(row).map(Double.init)
      let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard length.isFinite else {
        throw EvaluationError(
          .nonFinite, text.name, "the \(name)'s embedding of sentence \(first + row + 1) is not finite")
      }
      return length > 0 ? values.map { $0 / length } : values
    }
  }

  /// The dot product of unit vectors, kept within −1 … 1.
  private static func cosine(_ x: [Double], _ y: [Double]) -> Double {
    // Equal vectors are at an angle of zero; rounding of the product must not say otherwise.
    if x == y, x.contains(where: { $0 != 0 }) { return 1 }
    return max(-1, min(1, zip(x, y).reduce(0) { $0 + $1.0 * $1.1 }))
  }

  private static func similarity(_ model: [[Double]], _ baseline: [[Double]]) -> EncoderMetrics.Similarity {
    let cosines = zip(model, baseline).map(cosine)
    let sorted = cosines.sorted()
    return EncoderMetrics.Similarity(
      mean: Estimate(blocks: cosines.map { BlockSum(sum: $0, count: 1) }), minimum: sorted[0],
      percentile1: Statistics.quantile(ofSorted: sorted, 0.01))
  }

  private static func correlation(
    _ model: [[Double]], _ baseline: [[Double]]?, pairs: [EncoderText.Pair], bootstrap: Bootstrap
  ) -> EncoderMetrics.Correlation? {
    let scores = pairs.map(\.score)
    let cosines = pairs.map { cosine(model[$0.first], model[$0.second]) }
    guard let spearman = Statistics.spearman(cosines, scores),
      let pearson = Statistics.pearson(cosines, scores)
    else { return nil }
    func error(_ statistic: @Sendable ([Int]) -> Double?) -> Double? {
      bootstrap.standardError(blockCount: pairs.count, statistic)
    }
    var result = EncoderMetrics.Correlation(
      pairs: pairs.count,
      spearman: Estimate(
        spearman, standardError: error { Statistics.spearman(pick(cosines, $0), pick(scores, $0)) }),
      pearson: Estimate(
        pearson, standardError: error { Statistics.pearson(pick(cosines, $0), pick(scores, $0)) }),
      baselineSpearman: nil, spearmanChange: nil)
    guard let baseline else { return result }
    let old = pairs.map { cosine(baseline[$0.first], baseline[$0.second]) }
    guard let oldSpearman = Statistics.spearman(old, scores) else { return result }
    result.baselineSpearman = Estimate(
      oldSpearman, standardError: error { Statistics.spearman(pick(old, $0), pick(scores, $0)) })
    result.spearmanChange = Estimate(
      spearman - oldSpearman,
      standardError: error { indices in
        let picked = pick(scores, indices)
        guard let new = Statistics.spearman(pick(cosines, indices), picked),
          let before = Statistics.spearman(pick(old, indices), picked)
        else { return nil }
        return new - before
      })
    return result
  }

  private static func pick(_ values: [Double], _ indices: [Int]) -> [Double] { indices.map { values[$0] } }
}
