internal import CDefaultText
internal import Evaluation
internal import Foundation
internal import ModelFiles
internal import Models
internal import Passes
internal import TensorCore
internal import WeightCodecs

/// Everything a job decides before it writes a byte.
struct JobPlan {
  /// The model as it came.
  var checkpoint: Checkpoint
  /// The passes, the baseline first.
  var stages: [any Pass]
  /// What each pass does to each tensor.
  var plans: [PassPlan]
  /// What stages are evaluated on, or why they are not.
  var subject: EvaluationSubject
  /// What passes observe the model on; nil when none does, or the model cannot be run.
  var calibration: CalibrationSet?
  /// The same for models that a pruned one is compared with, where no stage observes the model.
  var comparisonCalibration: CalibrationSet?
  /// What passes that train learn from; nil as above.
  var training: CalibrationSet?
  /// Remarks for the report.
  var notes: [String] = []
  /// The file name of artifacts without extension.
  var fileName: String
  /// The tensors that hold a NaN or infinity and were let through.
  var damaged: Set<String>

  /// Opens and checks everything.
  ///
  /// - Throws: what is wrong with the model, the recipe or the evaluation text.
  init(
    model: String, tokenizer: String?, recipe: Recipe, allowNonfinite: Bool, cache: String? = nil,
    observer: @escaping JobObserver
  ) throws {
    try JobPlan.checkOwnText(recipe)
    let source = try ModelFiles.open(model, tokenizer: tokenizer)
    checkpoint = ContainerOutput.prepared(
      try Checkpoint.load(source), for: recipe.container, stages: recipe.stages)
    stages = [BaselinePass()] + recipe.stages
    fileName = JobPlan.fileName(checkpoint.name)
    plans = []
    damaged = allowNonfinite ? try checkpoint.nonfiniteTensors(observer: observer) : []
    var current = checkpoint
    for stage in stages {
      let plan = try JobPlan.located(checkpoint.source.path) { try stage.plan(for: current) }.sparing(damaged)
      current = try stage.planned(plan, from: current)
      // A layout is made from formats and shapes alone: what the container cannot hold shows here, not an hour later.
      _ = try ContainerOutput.layout(of: current, in: recipe.container, packed: recipe.layout)
      if let loader = recipe.loader {
        let layout = recipe.container == .safetensors ? try current.packedLayout(recipe.layout) : nil
        try JobPlan.located(checkpoint.source.path) {
          try LoaderRules.of(loader).check(current, in: recipe.container, layout: layout)
        }
      }
      plans.append(plan)
    }
    var evaluation = recipe.evaluation
    evaluation.spread = evaluation.spread ?? !recipe.budget.isEmpty
    subject = try EvaluationSubject(checkpoint: checkpoint, plan: evaluation, seed: recipe.seed)
    try subject.check(recipe.budget, path: checkpoint.source.path)
    if !allowNonfinite { try checkpoint.refuseNonfinite(observer: observer) }
    if recipe.observes && !damaged.isEmpty {
      notes.append("not calibrated: weights hold NaN or infinity")
    } else if recipe.observes {
      calibration = try CalibrationSource(
        checkpoint: checkpoint, plan: recipe.calibration, subject: subject,
        seed: UInt64(clamping: recipe.seed),
        observer: observer
      ).set()
      if let obstacle = CalibrationSource.obstacle(checkpoint) { notes.append("not calibrated: \(obstacle)") }
    } else if recipe.comparesPruning, damaged.isEmpty, case .language = subject {
      comparisonCalibration = try CalibrationSource(
        checkpoint: checkpoint, plan: recipe.calibration, subject: subject,
        seed: UInt64(clamping: recipe.seed),
        observer: observer
      ).set()
    } else if recipe.calibration.text != nil, !recipe.trains {
      notes.append("the calibration text is not used: no stage observes the model at work")
    }
    try readTraining(recipe, cache: cache, observer: observer)
  }

  /// What is learned from: the training text, else the calibration text, else what the program carries.
  private mutating func readTraining(_ recipe: Recipe, cache: String?, observer: @escaping JobObserver) throws
  {
    guard recipe.trains else {
      if recipe.training.text != nil {
        notes.append("the training text is not used: no stage trains")
      }
      return
    }
    guard damaged.isEmpty else {
      throw JobError(
        .badInput, "\(checkpoint.source.path): weights that hold NaN or infinity cannot be trained")
    }
    var plan = recipe.training
    plan.text = plan.text ?? recipe.calibration.text
    if plan.isSelf, plan.tokens == CalibrationPlan.training.tokens { plan.tokens = JobPlan.selfTokens }
    var source = CalibrationSource(
      checkpoint: checkpoint, plan: plan, subject: subject, seed: UInt64(clamping: recipe.seed),
      observer: observer)
    source.purpose = .training
    source.cache = cache
    training = try source.set()
    if let obstacle = CalibrationSource.obstacle(checkpoint) {
      throw JobError(.badInput, "\(checkpoint.source.path): cannot train: \(obstacle)")
    }
  }

  /// Refuses text of the model's own beside text of its own: the text to learn from may be that to calibrate on.
  private static func checkOwnText(_ recipe: Recipe) throws {
    var plan = recipe.training
    plan.text = plan.text ?? recipe.calibration.text
    guard recipe.trains, plan.ownTokens > 0, plan.isSelf else { return }
    throw JobError(
      .usage,
      "--own-tokens goes beside a text to learn from, and '\(CalibrationPlan.selfSource)' is none; give one with --train, or "
        + "training: {tokens: \(plan.ownTokens)} in a recipe")
  }

  /// The tokens of a training text that the model writes itself.
  private static let selfTokens = 1 << 17

  /// The most bytes that the artifacts of all stages can take, about.
  var outputBytes: Int { plans.reduce(0) { $0 + $1.bytes } }

  /// Pass errors know the tensor, not the file.
  static func located<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as PassError {
      throw JobError(.badInput, "\(path): \(error.description)")
    }
  }

  /// A name that is safe in paths.
  static func fileName(_ name: String) -> String {
    let safe = String(name.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "-" })
    // File systems allow 255 bytes, and endings, stage numbers and hidden names come on top.
    let trimmed = String(
      String(decoding: safe.utf8.prefix(120), as: UTF8.self).drop { ".-\u{FFFD}".contains($0) })
    return trimmed.isEmpty ? "model" : trimmed
  }
}

/// What the stages of a job are evaluated on.
enum EvaluationSubject {
  case language(EvaluationChunks)
  case encoder(EncoderText, context: Int, bootstrap: Bootstrap)
  /// Not at all, and why.
  case none(reason: String)

  /// The evaluation text read, tokenized and cut as `plan` says.
  init(checkpoint: Checkpoint, plan: EvaluationPlan, seed: Int) throws {
    guard let architecture = checkpoint.architecture else {
      self = .none(reason: "the architecture is unknown, so the model cannot be run")
      return
    }
    guard let tokenizer = checkpoint.tokenizer else {
      self = .none(reason: "there is no tokenizer beside the model (--tokenizer FILE)")
      return
    }
    if architecture.isEncoder {
      let text =
        try plan.text.map { try EncoderText(path: $0) }
        ?? EncoderText(name: EvaluationSubject.defaultName, bytes: EvaluationSubject.defaultText, limit: 256)
      self = .encoder(
        text, context: architecture.contextLength, bootstrap: Bootstrap(seed: UInt64(clamping: seed)))
    } else {
      let text =
        try plan.text.map { try EvaluationText(path: $0) }
        ?? EvaluationText(name: EvaluationSubject.defaultName, bytes: EvaluationSubject.defaultText)
      self = .language(
        try text.chunks(
          tokenizer: tokenizer, modelContext: architecture.contextLength, context: plan.context,
          limit: plan.tokens, spread: plan.spread ?? false))
    }
  }

  /// Refuses a budget that nothing measured here could tell anything about.
  func check(_ budget: QualityBudget, path: String) throws {
    guard !budget.isEmpty else { return }
    switch self {
    case .none(let reason):
      throw JobError(.badInput, "\(path): there is no telling whether a budget holds: \(reason)")
    case .encoder:
      guard budget.maxKLD == nil, budget.maxPerplexityIncrease == nil else {
        throw JobError(
          .badInput,
          "\(path): an encoder predicts no tokens, so it has no KL divergence and no perplexity; "
            + "use --min-agreement, which bounds the mean cosine to the baseline")
      }
    case .language(let chunks):
      guard chunks.chunks.count > 1 else {
        throw JobError(
          .badInput,
          "\(chunks.textName): a budget needs two chunks of evaluation text or more, the text gives one; give a "
            + "longer one, or a shorter --context")
      }
    }
  }

  /// The name of the text that the program carries.
  static let defaultName = "evaluation.txt (shipped)"
  /// The text that the program carries.
  static var defaultText: [UInt8] {
    Array(UnsafeBufferPointer(start: cdt_evaluation_text(), count: cdt_evaluation_text_size()))
  }
}
