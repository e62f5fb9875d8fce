public import Evaluation
internal import ModelFiles
public import Models
internal import Passes
public import Reporting

/// What a model is asked to do.
public enum ModelTask: Sendable {
  /// Questions with answers, for language models.
  case questions(TaskText)
  /// Texts with labels; a language model is asked by a template, nil for the plain one.
  case labels(LabelledText, template: LabelTemplate?)

  /// The task at `path`: a table of texts with labels (.csv, .tsv), or questions, a JSON object a line.
  ///
  /// - Throws: ``FileError`` or ``EvaluationError`` when it is neither.
  public init(path: String, template: LabelTemplate? = nil, words: [String]? = nil) throws {
    guard LabelledText.isTable(path) else {
      self = .questions(try TaskText(path: path))
      return
    }
    let text = try LabelledText(path: path)
    var template = template ?? .plain(isPairs: text.isPairs)
    template.words = words
    self = .labels(text, template: template)
  }

  fileprivate var name: String {
    switch self {
    case .questions(let text): text.name
    case .labels(let text, _): text.name
    }
  }
}

/// A model on tasks, by itself or next to another: `eval --task`.
public enum TaskRun {
  /// A model with what reads texts for it.
  private struct Subject {
    var path: String
    var model: RunnableModel
    var tokenizer: any Tokenizer
  }

  /// Does the tasks.
  ///
  /// - Throws: ``JobError`` when a model cannot do a task or has no tokenizer.
  public static func run(
    _ checkpoint: Checkpoint, baseline: Checkpoint?, tasks: [ModelTask], activations: ActivationPrecision,
    observer: @escaping JobObserver = { _ in }
  ) throws -> [TaskOutcome] {
    let model = try open(checkpoint, activations)
    let other = try baseline.map { try open($0, activations) }
    return try tasks.map { task in
      func progress(_ step: String) -> (EvaluationProgress) -> Void {
        {
          observer(
            .progress(step: "\(step) \(task.name)", fraction: Double($0.done) / Double(max(1, $0.total))))
        }
      }
      switch task {
      case .questions(let text):
        return .questions(
          TaskReport(
            text, answers: try answers(model, text, progress("answer")),
            baseline: try other.map { try answers($0, text, progress("baseline")) }))
      case .labels(let text, let template):
        return .labels(
          ClassificationReport(
            text, found: try labels(model, text, template, progress("label")),
            baseline: try other.map { try labels($0, text, template, progress("baseline")) }))
      }
    }
  }

  private static func answers(
    _ subject: Subject, _ text: TaskText, _ progress: (EvaluationProgress) -> Void
  ) throws -> TaskAnswers {
    guard case .language(let model) = subject.model else {
      throw JobError(.badInput, "\(subject.path): questions need a language model")
    }
    return try TaskEvaluation.run(model, tokenizer: subject.tokenizer, task: text, progress: progress)
  }

  private static func labels(
    _ subject: Subject, _ text: LabelledText, _ template: LabelTemplate?,
    _ progress: (EvaluationProgress) -> Void
  ) throws -> [FoundLabels] {
    switch subject.model {
    case .language(let model):
      try ClassificationEvaluation.run(
        model, tokenizer: subject.tokenizer, text: text,
        template: template ?? .plain(isPairs: text.isPairs), progress: progress)
    case .encoder(let model):
      try ClassificationEvaluation.run(model, tokenizer: subject.tokenizer, text: text, progress: progress)
    case .none(let reason): throw JobError(.badInput, "\(subject.path): \(reason)")
    }
  }

  private static func open(_ checkpoint: Checkpoint, _ activations: ActivationPrecision) throws -> Subject {
    guard let tokenizer = checkpoint.tokenizer else {
      throw JobError(
        .badInput, "\(checkpoint.source.path): tasks need a tokenizer (--tokenizer FILE)")
    }
    return Subject(
      path: checkpoint.source.path, model: try checkpoint.makeModel(activations: activations),
      tokenizer: tokenizer)
  }
}
