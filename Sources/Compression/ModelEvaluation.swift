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
  /// - Parameter reference: a file of the baseline's logits on this text: used when it fits, so that the baseline does not run;
  ///   made from the baseline when it does not, or is not there.
  /// - Throws: ``JobError`` when the model cannot be evaluated.
  public static func run(
    _ checkpoint: Checkpoint, baseline: Checkpoint?, reference: String? = nil, plan: EvaluationPlan,
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
    let comparison = try comparison(
      checkpoint, subject: subject, baseline: baseline, reference: reference,
      activations: plan.activations, observer: observer)
    var model = try checkpoint.makeModel(activations: plan.activations)
    if case .language(let language) = model, plan.cache != .f32 {
      model = .language(CachedModel(language, precision: plan.cache))
    }
    let metrics = try subject.evaluate(
      model, baseline: comparison,
      tokenizer: checkpoint.tokenizer, observer: observer)
    if case .none(let reason) = metrics {
      throw JobError(.badInput, "\(checkpoint.source.path): cannot be evaluated: \(reason)")
    }
    return ModelEvaluation(
      report: subject.report(metrics, activations: plan.activations), name: checkpoint.name)
  }

  private static func comparison(
    _ checkpoint: Checkpoint, subject: EvaluationSubject, baseline: Checkpoint?, reference: String?,
    activations: ActivationPrecision, observer: @escaping JobObserver
  ) throws -> BaselineReference {
    guard let reference else {
      return try baseline.map { .model(try $0.makeModel(activations: activations)) } ?? .none
    }
    guard case .language(let chunks) = subject, let architecture = checkpoint.architecture else {
      throw JobError(
        .badInput, "\(checkpoint.source.path): an encoder has no logits to keep; leave --reference out")
    }
    let inputs = [checkpoint, baseline].compactMap { $0 }.flatMap { [$0.source.path] + $0.source.inputFiles }
    try OutputPlace.check(file: reference, inputs: inputs, force: true)
    let source = ReferenceSource(path: reference, baseline: baseline, observer: observer)
    return .logits(try source.cache(for: chunks, vocabulary: architecture.vocabularySize))
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
