package import Evaluation
internal import ModelFiles
package import Models
package import Passes

/// Judges candidates of a search: a checkpoint in memory against the baseline's logits, on text that the search may look at.
///
/// The split is honest: candidates are *chosen* on the held-out part of the calibration text, which no observation has seen, and the one
/// that is chosen is *verified* on the evaluation text, which neither calibration nor choice has. A figure that was used to choose is
/// too good (the best of many noisy ones is lucky), so it is never the one that a budget's verdict or a report states.
package struct BudgetEvaluator: Sendable {
  /// The sequences that candidates are scored on, all of their predictions.
  package let chunks: EvaluationChunks
  /// The baseline's logits on them.
  private let reference: ReferenceCache

  /// The evaluator of `baseline`, which runs once, here; nil when it is no language model, or nothing was held out to choose on.
  ///
  /// - Parameters:
  ///   - limit: the most tokens to score, spread over the held-out sequences; nil for all.
  package init?(
    baseline: Checkpoint, calibration: CalibrationSet, limit: Int? = nil,
    progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws {
    guard case .language(let model) = try baseline.makeModel() else { return nil }
    var sequences = calibration.heldOut.filter { $0.count > 1 }
    if let limit, let longest = sequences.map(\.count).max() {
      sequences = CalibrationCut.spread(sequences, limit: max(limit, longest))
    }
    guard !sequences.isEmpty else { return nil }
    chunks = EvaluationChunks(
      chunks: sequences.map { .init(tokens: $0, first: 0) }, context: sequences.map(\.count).max() ?? 0,
      fromStart: true, addsBeginningOfText: baseline.tokenizer?.addsBeginningOfText ?? false,
      isDocuments: true,
      textName: calibration.name, textHash: calibration.sha256, textTokens: calibration.heldOutTokenCount)
    let key = ReferenceKey(
      modelName: baseline.name, files: [], vocabulary: model.vocabularySize, chunks: chunks)
    reference = try LanguageEvaluation.record(model, key: key, chunks: chunks, progress: progress).cache
  }

  /// How far `checkpoint` is from the baseline on the sequences.
  ///
  /// Tensors may be lazy: they are encoded here, in memory, and run in the formats they have.
  package func metrics(
    of checkpoint: Checkpoint, progress: (EvaluationProgress) throws -> Void = { _ in }
  ) throws -> LanguageMetrics {
    guard case .language(let model) = try checkpoint.makeModel() else {
      throw JobError(.badInput, "\(checkpoint.source.path): cannot be run as a language model")
    }
    return try LanguageEvaluation.run(model, reference: reference, chunks: chunks, progress: progress)
  }
}
