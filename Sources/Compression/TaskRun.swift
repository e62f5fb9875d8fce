public import Evaluation
internal import ModelFiles
public import Models
internal import Passes
public import Reporting

/// A language model on questions, by itself or next to another: `eval --task`.
public enum TaskRun {
  /// Answers the questions of `tasks`.
  ///
  /// - Throws: ``JobError`` when a model is no language model or has no tokenizer.
  public static func run(
    _ checkpoint: Checkpoint, baseline: Checkpoint?, tasks: [TaskText], activations: ActivationPrecision,
    observer: @escaping JobObserver = { _ in }
  ) throws -> [TaskReport] {
    let models = try [checkpoint, baseline].map { try $0.map { try open($0, activations) } }
    return try tasks.map { task in
      func answers(_ place: Int, _ step: String) throws -> TaskAnswers? {
        guard let (model, tokenizer) = models[place] else { return nil }
        return try TaskEvaluation.run(model, tokenizer: tokenizer, task: task) {
          observer(
            .progress(step: "\(step) \(task.name)", fraction: Double($0.done) / Double(max(1, $0.total))))
        }
      }
      guard let mine = try answers(0, "answer") else {
        throw JobError(.other, "\(checkpoint.source.path): no model")
      }
      return TaskReport(task, answers: mine, baseline: try answers(1, "baseline"))
    }
  }

  private static func open(
    _ checkpoint: Checkpoint, _ activations: ActivationPrecision
  ) throws -> (any LanguageModel, any Tokenizer) {
    guard let tokenizer = checkpoint.tokenizer else {
      throw JobError(
        .badInput, "\(checkpoint.source.path): questions need a tokenizer (--tokenizer FILE)")
    }
    guard case .language(let model) = try checkpoint.makeModel(activations: activations) else {
      throw JobError(.badInput, "\(checkpoint.source.path): questions need a language model")
    }
    return (model, tokenizer)
  }
}
