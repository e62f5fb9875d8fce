internal import Evaluation
public import ModelFiles
public import Models
public import Passes
public import Reporting

/// How good a model is on a text, by itself or next to another: the `eval` command.
public struct ModelEvaluation: Sendable {
  /// The figures and the method.
  public var report: EvaluationReport
  /// The model's name.
  public var name: String

  /// Evaluates `checkpoint` as `plan` says, against `baseline` where there is one.
  ///
  /// - Throws: ``JobError`` when the model cannot be evaluated.
  public static func run(
    _ checkpoint: Checkpoint, baseline: Checkpoint?, plan: EvaluationPlan,
    observer: @escaping JobObserver = { _ in }
  ) throws -> ModelEvaluation {
    let subject = try EvaluationSubject(checkpoint: checkpoint, plan: plan, seed: 0)
    if case .none(let reason) = subject {
      throw JobError(.badInput, "\(checkpoint.source.path): cannot be evaluated: \(reason)")
    }
    if let mine = checkpoint.architecture, let other = baseline?.architecture {
      guard mine.isEncoder == other.isEncoder, mine.vocabularySize == other.vocabularySize else {
        throw JobError(
          .badInput,
          "\(baseline?.source.path ?? ""): cannot be the baseline: the model has \(mine.vocabularySize) tokens, "
            + "the baseline \(other.vocabularySize)"
            + (mine.isEncoder == other.isEncoder ? "" : " and is of another kind"))
      }
    }
    let metrics = try subject.evaluate(
      try checkpoint.makeModel(activations: plan.activations),
      baseline: try baseline?.makeModel(activations: plan.activations), tokenizer: checkpoint.tokenizer,
      observer: observer)
    if case .none(let reason) = metrics {
      throw JobError(.badInput, "\(checkpoint.source.path): cannot be evaluated: \(reason)")
    }
    return ModelEvaluation(report: subject.report(metrics, activations: plan.activations), name: checkpoint.name)
  }

  /// The evaluation as JSON.
  public var json: JSONValue {
    .object(
      JSONObject([
        ("schema", .string("compress.eval")), ("version", .integer(1)), ("model", .string(name)),
        ("evaluation", report.json),
      ]))
  }

  /// The evaluation as text.
  public var text: String { MeasurementText.text(of: report, model: name) }
}
