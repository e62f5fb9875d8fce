internal import ModelFiles
internal import TensorCore
public import Training

/// How long, how fast and by which loss a stage trains: the options that ``DistillPass`` and ``RecoverPass`` share.
public struct TrainingOptions: Sendable, Equatable {
  /// The steps when neither steps nor minutes are given.
  public static let defaultSteps = 500

  /// The steps; nil for ``defaultSteps``, or for as many as ``minutes`` hold.
  public var steps: Int?
  /// The minutes that training may take. What comes out then depends on the machine's speed.
  public var minutes: Double?
  /// The highest learning rate; nil for one that suits the student's width.
  public var learningRate: Double?
  /// What both models' logits are divided by.
  public var temperature = 1.0
  /// The tokens of a step.
  public var batchTokens = 4096
  /// The weight of the text's next token beside the teacher's predictions, 0 … 1.
  public var textWeight = 0.0
  /// The teacher's weight in the loss `jsd`.
  public var beta = 0.5
  /// Whether activations are made again on the way back: less memory, a third more work.
  public var recomputes = false
  /// What products are of: numbers rounded to bfloat16, or as they are; nil for bfloat16 where the processor multiplies it.
  public var roundsProducts: Bool?
  /// The learning rate of a quantized matrix's codes, in codes a step; nil for the usual one.
  public var codeRate: Double?
  /// That of its scales, in parts of a scale a step; nil for the usual one.
  public var scaleRate: Double?
  /// Whether a quantized model learns with activations rounded to 8 bits, as it ships; nil for the usual.
  public var roundsActivations: Bool?
  /// The likeliest tokens of the teacher's predictions that the student learns from, the others as one bucket; nil for all tokens.
  public var teacherTokens: Int?
  /// The weight of states inside the models beside predictions.
  public var hiddenWeight = 0.0
  package var hiddenLoss = HiddenLossKind.squaredError
  /// The share of batches that the student writes and its teacher judges.
  public var onPolicy = 0.0
  /// The weight of self-attention relations beside predictions.
  public var relationWeight = 0.0
  /// The relation heads, nil for as many as divide both models' widths; the teacher's block, counted from 1, nil for the last.
  public var relationHeads, relationLayer: Int?
  package var tuning = CodedWeights.Tuning.auto
  package var loss = DistillationLoss.Kind.forwardKL
  package var schedule = TrainingSettings.Schedule.cosine

  /// The defaults.
  public init() {}

  /// The names of losses.
  public static var losses: [String] { DistillationLoss.Kind.allCases.map(\.rawValue) }

  /// Chooses a loss by its name; false when there is none.
  public mutating func setLoss(_ name: String) -> Bool {
    guard let kind = DistillationLoss.Kind(rawValue: name) else { return false }
    loss = kind
    return true
  }

  /// Chooses what products are of by its name, `auto`, `bf16` or `f32`; false when there is none.
  public mutating func setPrecision(_ name: String) -> Bool {
    guard ["auto", "bf16", "f32"].contains(name) else { return false }
    roundsProducts = name == "auto" ? nil : name == "bf16"
    return true
  }

  /// What of a quantized model can be learned.
  public static var tunings: [String] { CodedWeights.Tuning.allCases.map(\.rawValue) }

  /// Chooses what of a quantized model is learned by its name; false when there is none.
  public mutating func setTuning(_ name: String) -> Bool {
    guard let known = CodedWeights.Tuning(rawValue: name) else { return false }
    tuning = known
    return true
  }

  static let keys = [
    "steps", "minutes", "learning-rate", "schedule", "loss", "temperature", "beta", "text-weight",
    "batch-tokens", "recompute", "precision", "tune", "code-rate", "scale-rate",
    "activations", "teacher-tokens", "hidden-weight", "hidden-loss", "relation-weight", "relation-heads",
    "relation-layer", "on-policy",
  ]

  init(_ options: inout RecipeMapping) throws(RecipeError) {
    steps = try options.integer("steps", in: 1...100_000_000)
    minutes = try options.number("minutes", in: 0.001...100_000)
    learningRate = try options.number("learning-rate", in: 1e-9...1)
    temperature = try options.number("temperature", in: 0.05...100) ?? temperature
    beta = try options.number("beta", in: 0.01...0.99) ?? beta
    textWeight = try options.number("text-weight", in: 0...1) ?? textWeight
    batchTokens = try options.integer("batch-tokens", in: 16...1 << 24) ?? batchTokens
    recomputes = try options.boolean("recompute") ?? recomputes
    if let name = try options.string("loss"), !setLoss(name) {
      throw options.failure(
        "unknown loss '\(name)'; known are \(TrainingOptions.losses.joined(separator: ", "))")
    }
    if let name = try options.string("precision"), !setPrecision(name) {
      throw options.failure("unknown precision '\(name)'; known are auto, bf16, f32")
    }
    codeRate = try options.number("code-rate", in: 1e-6...1)
    scaleRate = try options.number("scale-rate", in: 1e-6...1)
    if let name = try options.string("activations") {
      guard ["int8", "f32"].contains(name) else {
        throw options.failure("unknown activations '\(name)'; known are int8, f32")
      }
      roundsActivations = name == "int8"
    }
    hiddenWeight = try options.number("hidden-weight", in: 0...1000) ?? hiddenWeight
    if let name = try options.string("hidden-loss") {
      guard let known = HiddenLossKind(rawValue: name) else {
        throw options.failure("unknown hidden-loss '\(name)'; known are mse, cosine")
      }
      hiddenLoss = known
    }
    relationWeight = try options.number("relation-weight", in: 0...1000) ?? relationWeight
    relationHeads = try options.integer("relation-heads", in: 1...4096)
    relationLayer = try options.integer("relation-layer", in: 1...4096)
    onPolicy = try options.number("on-policy", in: 0...1) ?? onPolicy
    teacherTokens = try options.integer("teacher-tokens", in: 1...1 << 20)
    if let name = try options.string("tune"), !setTuning(name) {
      throw options.failure(
        "unknown tune '\(name)'; known are \(TrainingOptions.tunings.joined(separator: ", "))")
    }
    if let name = try options.string("schedule") {
      guard let known = TrainingSettings.Schedule(rawValue: name) else {
        throw options.failure("unknown schedule '\(name)'; known are cosine, linear, constant")
      }
      schedule = known
    }
  }

  /// Adds the options to those of a pass.
  func write(to object: inout JSONObject) {
    if let minutes {
      object["minutes"] = .number(minutes)
      if let steps { object["steps"] = .integer(steps) }
    } else {
      object["steps"] = .integer(steps ?? TrainingOptions.defaultSteps)
    }
    if let learningRate { object["learning-rate"] = .number(learningRate) }
    object["schedule"] = .string(schedule.rawValue)
    object["loss"] = .string(loss.rawValue)
    if loss != .crossEntropy {
      object["temperature"] = .number(temperature)
      object["text-weight"] = .number(textWeight)
    }
    if loss == .jensenShannon { object["beta"] = .number(beta) }
    object["batch-tokens"] = .integer(batchTokens)
    if let roundsProducts { object["precision"] = .string(roundsProducts ? "bf16" : "f32") }
    if recomputes { object["recompute"] = .bool(true) }
    if tuning != .auto { object["tune"] = .string(tuning.rawValue) }
    if let codeRate { object["code-rate"] = .number(codeRate) }
    if let scaleRate { object["scale-rate"] = .number(scaleRate) }
    if let roundsActivations { object["activations"] = .string(roundsActivations ? "int8" : "f32") }
    if hiddenWeight > 0 {
      object["hidden-weight"] = .number(hiddenWeight)
      object["hidden-loss"] = .string(hiddenLoss.rawValue)
    }
    if relationWeight > 0 {
      object["relation-weight"] = .number(relationWeight)
      if let relationHeads { object["relation-heads"] = .integer(relationHeads) }
      if let relationLayer { object["relation-layer"] = .integer(relationLayer) }
    }
    if onPolicy > 0 { object["on-policy"] = .number(onPolicy) }
    if let teacherTokens { object["teacher-tokens"] = .integer(teacherTokens) }
  }

  /// The settings for a student of this width.
  ///
  /// - Parameters:
  ///   - isQuantized: whether it is a quantized one, which is near its teacher already and needs smaller steps.
  ///   - isUniform: whether its codes are uniform: those learned more at higher rates, see docs/Distillation.md.
  func settings(width: Int, seed: UInt64, isQuantized: Bool = false, isUniform: Bool = false)
    -> TrainingSettings
  {
    var settings = TrainingSettings()
    settings.steps = minutes == nil ? steps ?? TrainingOptions.defaultSteps : steps
    settings.minutes = minutes
    settings.learningRate =
      learningRate ?? TrainingOptions.rate(width: width, tokens: batchTokens)
      * (isQuantized && !isUniform ? 0.25 : 1)
    if isUniform {
      (settings.codeRate, settings.scaleRate) = TrainingOptions.uniformRates
      let isUsual = learningRate == nil && codeRate == nil && scaleRate == nil
      settings.steadySteps = isUsual ? TrainingOptions.uniformSteps : nil
    }
    if let codeRate { settings.codeRate = codeRate }
    if let scaleRate { settings.scaleRate = scaleRate }
    // At high rates codes are noisy: what is gained shows when the rate goes down, so nothing stops before.
    if isQuantized { settings.patience = settings.tests + 1 }
    settings.tuning = tuning
    settings.roundsActivations = roundsActivations ?? false
    settings.hiddenWeight = hiddenWeight
    settings.hiddenLoss = hiddenLoss
    settings.relationWeight = relationWeight
    settings.onPolicy = onPolicy
    (settings.relationHeads, settings.relationLayer) = (relationHeads, relationLayer)
    settings.schedule = schedule
    settings.batchTokens = batchTokens
    settings.loss.kind = loss
    settings.loss.temperature = temperature
    settings.loss.beta = beta
    settings.loss.textWeight = textWeight
    settings.recomputes = recomputes
    settings.rounds = roundsProducts ?? TrainingSettings.canRound
    settings.seed = seed
    return settings
  }

  /// The usual rates of uniform codes, in codes a step, and of their columns' scales, in parts of a scale.
  private static let uniformRates = (codes: 0.01, scales: 2e-3)
  /// The steps up to which they, and that of norms, are so high (docs/Distillation.md).
  private static let uniformSteps = 700

  /// Narrow models and large batches take larger steps: 2e-3 at a width of 256 and 4096 tokens, in proportion to the inverse of the
  /// width and to the root of the tokens.
  private static func rate(width: Int, tokens: Int) -> Double {
    let base = 2e-3 * 256 / Double(max(1, width)) * (Double(tokens) / 4096).squareRoot()
    return min(3e-3, max(3e-5, base))
  }
}

/// What a training stage did: the curve, and which point of it was kept.
public struct TrainingReport: Sendable, Equatable {
  /// The points that were tested, the start first.
  public var curve: [TrainingPoint]
  /// The step whose weights were kept; 0 where training gained nothing and was undone.
  public var bestStep: Int
  /// The steps that were taken.
  public var steps: Int
  /// Whether it was stopped before its end.
  public var wasInterrupted = false
  /// The times that the text was gone through.
  public var epochs: Double
  /// The loss's name.
  public var loss: String
  /// The highest learning rate.
  public var learningRate: Double
  /// The text's name and SHA-256.
  public var text: String
  public var textHash: String
  /// The tokens that were learned from in one time through, and those held out.
  public var tokens, heldOutTokens: Int

  /// A report of these parts.
  public init(
    curve: [TrainingPoint], bestStep: Int, steps: Int, epochs: Double, loss: String, learningRate: Double,
    text: String, textHash: String, tokens: Int, heldOutTokens: Int
  ) {
    self.curve = curve
    self.bestStep = bestStep
    self.steps = steps
    self.epochs = epochs
    self.loss = loss
    self.learningRate = learningRate
    self.text = text
    self.textHash = textHash
    self.tokens = tokens
    self.heldOutTokens = heldOutTokens
  }
}
