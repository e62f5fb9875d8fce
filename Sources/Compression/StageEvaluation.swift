internal import Evaluation
internal import ModelFiles
internal import Models
internal import Passes
internal import Reporting

/// The figures of a stage: what the artifact's model reaches, next to the baseline artifact's.
enum StageMetrics {
  case language(LanguageMetrics)
  case encoder(EncoderMetrics)
  case none(reason: String)
}

/// What a model is compared with.
enum BaselineReference {
  /// Nothing.
  case none
  /// Another model, run side by side.
  case model(RunnableModel)
  /// A language model's logits, so that it need not run again.
  case logits(ReferenceCache)
}

extension EvaluationSubject {
  /// Evaluates a baseline, and keeps of it what later stages are compared with.
  func evaluateBaseline(
    _ model: RunnableModel, name: String, tokenizer: (any Tokenizer)?, records: TokenRecorder? = nil,
    observer: @escaping JobObserver
  ) throws -> (StageMetrics, BaselineReference) {
    guard case .language(let chunks) = self, case .language(let language) = model else {
      return (try evaluate(model, baseline: .none, tokenizer: tokenizer, observer: observer), .model(model))
    }
    let key = ReferenceKey(modelName: name, files: [], vocabulary: language.vocabularySize, chunks: chunks)
    let (metrics, cache) = try LanguageEvaluation.record(
      language, key: key, chunks: chunks, records: records
    ) { progress in
      observer(.progress(step: "evaluate", fraction: Double(progress.done) / Double(max(1, progress.total))))
    }
    return (.language(metrics), .logits(cache))
  }

  /// Evaluates `model` against `baseline`.
  func evaluate(
    _ model: RunnableModel, baseline: BaselineReference, tokenizer: (any Tokenizer)?,
    records: TokenRecorder? = nil, observer: @escaping JobObserver
  ) throws -> StageMetrics {
    let progress: (EvaluationProgress) -> Void = { progress in
      observer(.progress(step: "evaluate", fraction: Double(progress.done) / Double(max(1, progress.total))))
    }
    switch (self, model) {
    case (.none(let reason), _), (_, .none(let reason)): return .none(reason: reason)
    case (.language(let chunks), .language(let model)):
      if case .logits(let cache) = baseline {
        return .language(
          try LanguageEvaluation.run(
            model, reference: cache, chunks: chunks, records: records, progress: progress))
      }
      var reference: (any LanguageModel)?
      if case .model(.language(let baseline)) = baseline { reference = baseline }
      return .language(
        try LanguageEvaluation.run(
          model, baseline: reference, chunks: chunks, records: records, progress: progress))
    case (.encoder(let text, _, let bootstrap), .encoder(let model)):
      guard let tokenizer else { return .none(reason: "there is no tokenizer") }
      var reference: (any EncoderModel)?
      if case .model(.encoder(let baseline)) = baseline { reference = baseline }
      return .encoder(
        try EncoderEvaluation.run(
          model, baseline: reference, tokenizer: tokenizer, text: text, bootstrap: bootstrap,
          progress: progress))
    default: return .none(reason: "the artifact is of another kind than the source")
    }
  }
}

extension EvaluationSubject {
  /// The metrics with the method that they were taken by.
  func report(_ metrics: StageMetrics, activations: ActivationPrecision) -> EvaluationReport {
    switch (metrics, self) {
    case (.language(let metrics), .language(let chunks)):
      var method = LanguageMethod(chunks)
      method.activations = activations.rawValue
      return .language(metrics, method: method)
    case (.encoder(let metrics), .encoder(let text, let context, let bootstrap)):
      var method = EncoderMethod(text, context: context, bootstrap: bootstrap)
      method.activations = activations.rawValue
      return .encoder(metrics, method: method)
    case (.none(let reason), _): return .none(reason: reason)
    default: return .none(reason: "not evaluated")
    }
  }
}
