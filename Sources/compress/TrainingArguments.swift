public import ArgumentParser
public import Passes

/// What is distilled into a smaller student, and how it learns.
struct TrainingArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Teach a smaller student what the model predicts; sizes are what it has: layers=4,width=0.75,ffn=0.5,heads=0.5, or params=0.5.",
      valueName: "sizes"))
  var distill: StudentShape?

  @Option(
    help: ArgumentHelp(
      "Teach a smaller student of the sizes that this config.json states.", valueName: "config.json"))
  var student: String?

  @Option(
    help: ArgumentHelp(
      "After pruning, else after quantizing, train this many steps, or this long (5min, 90s), towards the original's predictions: pruned weights stay zero, of a quantized model codes and scales are trained.",
      valueName: "steps|time"))
  var recover: TrainingLength?

  @Option(
    help: ArgumentHelp(
      "What --recover trains of a quantized model: codes and scales, or scales alone; auto takes codes of up to 6 bits and scales (default: auto).",
      valueName: "auto|codes|scales"))
  var tune: String?

  @Option(
    help: ArgumentHelp(
      "Text to learn from: a file (.txt, .jsonl), a folder of them, or 'self' for text that the model writes (default: the calibration text).",
      valueName: "file|dir|self"))
  var train: String?

  @Option(
    help: ArgumentHelp(
      "Tokens of text that the model writes itself, to be learned from beside --train's: what a training goes through then repeats less (default: 0).",
      valueName: "tokens"))
  var ownTokens: Int?

  @Option(
    help: "Steps of training: the reproducible measure (default: \(TrainingOptions.defaultSteps)).")
  var trainSteps: Int?

  @Option(
    help: "Minutes of training instead of steps; what comes out then depends on the machine's speed.")
  var trainMinutes: Double?

  @Option(
    help:
      "The highest learning rate (default: 2e-3 at a width of 256 and 4096 tokens a step, less for wider students)."
  )
  var learningRate: Double?

  @Option(help: "What both models' logits are divided by (default: 1).")
  var temperature: Double?

  @Option(help: "What the student learns by: \(TrainingOptions.losses.joined(separator: ", ")).")
  var loss: String?

  @Option(help: "The weight of the text itself beside the teacher's predictions, 0 to 1 (default: 0).")
  var textWeight: Double?

  @Option(
    help:
      "The weight of states inside the models beside predictions, compared through learned matrices (default: 0)."
  )
  var hiddenWeight: Double?

  @Option(
    help:
      "The weight of self-attention relations of the last block beside predictions, for encoders too (default: 0)."
  )
  var relationWeight: Double?

  @Option(
    help:
      "The share of batches that are written by the student, from beginnings of the text on, and judged by the model, 0 to 1 (default: 0)."
  )
  var onPolicy: Double?

  @Option(help: "The tokens of a step of training (default: 4096).")
  var batchTokens: Int?

  @Option(
    help:
      "What training multiplies: bf16 (sums and weights stay in f32), f32, or auto: bf16 where the processor has it (default: auto)."
  )
  var precision: String?

  @Option(
    help: ArgumentHelp(
      "Keep the teacher's likeliest tokens, and the text that it writes, in this folder: training needs no teacher in memory then, and other runs use them again.",
      valueName: "dir"))
  var teacherCache: String?

  @Option(
    help: ArgumentHelp(
      "With --teacher-cache: how many tokens of each prediction are kept, the others as one (default: \(TrainingArguments.keptTokens)).",
      valueName: "k"))
  var teacherTokens: Int?

  @Option(
    help: ArgumentHelp(
      "Where training keeps what it takes to go on (default: the run's folder with .training behind it).",
      valueName: "dir"))
  var state: String?

  @Flag(help: "Go on with a training that was stopped.")
  var resume = false

  /// The tokens that are kept of a prediction.
  static let keptTokens = 128

  /// Whether any flag asks for a stage.
  var isGiven: Bool { distill != nil || student != nil || recover != nil }
  /// Whether any flag says how to train.
  private var hasOptions: Bool {
    trainSteps != nil || trainMinutes != nil || learningRate != nil || temperature != nil || loss != nil
      || textWeight != nil || batchTokens != nil || precision != nil
      || hiddenWeight != nil || relationWeight != nil || onPolicy != nil || ownTokens != nil
  }

  func validate() throws {
    if let tune, !TrainingOptions.tunings.contains(tune) {
      throw ValidationError("--tune must be one of \(TrainingOptions.tunings.joined(separator: ", ")).")
    }
    if tune != nil, recover == nil { throw ValidationError("--tune belongs to --recover.") }
    if let trainSteps, trainSteps < 1 { throw ValidationError("--train-steps must be at least 1.") }
    if let ownTokens, !(0...1_000_000_000).contains(ownTokens) {
      throw ValidationError("--own-tokens must be from 0 to 1000000000.")
    }
    if ownTokens ?? 0 > 0, train == CalibrationPlan.selfSource {
      throw ValidationError("--own-tokens goes beside a text to learn from, and --train self is none.")
    }
    if let trainMinutes, !(trainMinutes > 0 && trainMinutes <= 100_000) {
      throw ValidationError("--train-minutes must be a positive number.")
    }
    if let learningRate, !(learningRate > 0 && learningRate <= 1) {
      throw ValidationError("--learning-rate must be between 0 and 1.")
    }
    if let temperature, !(temperature >= 0.05 && temperature <= 100) {
      throw ValidationError("--temperature must be from 0.05 to 100.")
    }
    if let textWeight, !(0...1).contains(textWeight) {
      throw ValidationError("--text-weight must be from 0 to 1.")
    }
    if let batchTokens, !(16...1 << 24).contains(batchTokens) {
      throw ValidationError("--batch-tokens must be from 16 to \(1 << 24).")
    }
    if let loss, !TrainingOptions.losses.contains(loss) {
      throw ValidationError("--loss must be one of \(TrainingOptions.losses.joined(separator: ", ")).")
    }
    if let hiddenWeight, !(0...1000).contains(hiddenWeight) {
      throw ValidationError("--hidden-weight must be from 0 to 1000.")
    }
    if let relationWeight, !(0...1000).contains(relationWeight) {
      throw ValidationError("--relation-weight must be from 0 to 1000.")
    }
    if let onPolicy, !(0...1).contains(onPolicy) {
      throw ValidationError("--on-policy must be from 0 to 1.")
    }
    if let teacherTokens, !(1...1 << 20).contains(teacherTokens) {
      throw ValidationError("--teacher-tokens must be from 1 to \(1 << 20).")
    }
    if teacherTokens != nil, teacherCache == nil || !isGiven {
      throw ValidationError(
        "--teacher-tokens belongs to --teacher-cache and --distill or --recover; in a recipe it is "
          + "'teacher-tokens'.")
    }
    if let precision, !["auto", "bf16", "f32"].contains(precision) {
      throw ValidationError("--precision must be auto, bf16 or f32.")
    }
    if distill != nil, student != nil { throw ValidationError("Choose --distill or --student.") }
    if distill == nil, student == nil, trainSteps != nil || trainMinutes != nil {
      throw ValidationError(
        "--train-steps and --train-minutes belong to --distill; --recover has its own steps.")
    }
    if !isGiven, hasOptions {
      throw ValidationError("Options of training belong to --distill or --recover.")
    }
  }

  private var options: TrainingOptions {
    var options = TrainingOptions()
    options.steps = trainSteps
    options.minutes = trainMinutes
    options.learningRate = learningRate
    if let temperature { options.temperature = temperature }
    if let loss { _ = options.setLoss(loss) }
    if let textWeight { options.textWeight = textWeight }
    if let batchTokens { options.batchTokens = batchTokens }
    if let hiddenWeight { options.hiddenWeight = hiddenWeight }
    if let onPolicy { options.onPolicy = onPolicy }
    if let relationWeight { options.relationWeight = relationWeight }
    if let precision { _ = options.setPrecision(precision) }
    if teacherCache != nil { options.teacherTokens = teacherTokens ?? TrainingArguments.keptTokens }
    return options
  }

  /// The distillation, which comes before everything else.
  var distillation: DistillPass? {
    var stated = distill
    if let student {
      stated = StudentShape()
      stated?.configuration = student
    }
    return stated.map { shape in
      var pass = DistillPass(shape)
      pass.training = options
      return pass
    }
  }

  /// The tokens of a step where a quantized model is trained: more and smaller steps than a student takes.
  private static let quantizedBatch = 1024

  /// The recovery, which comes behind pruning and before rounding, or behind rounding where nothing is pruned.
  ///
  /// - Parameter isQuantized: whether it comes behind rounding.
  func recovery(isQuantized: Bool) -> RecoverPass? {
    recover.map { length in
      var own = options
      if isQuantized, batchTokens == nil { own.batchTokens = TrainingArguments.quantizedBatch }
      (own.steps, own.minutes) = (length.steps, length.minutes)
      if let tune { _ = own.setTuning(tune) }
      return RecoverPass(own)
    }
  }
}

/// How long a training is: steps, or minutes.
struct TrainingLength: ExpressibleByArgument, Equatable {
  var steps: Int?
  var minutes: Double?

  /// The length of a text such as `200`, `5min`, `90s` or `1.5h`; nil for anything else.
  init?(argument: String) {
    if let steps = Int(argument) {
      guard steps >= 1, steps <= 100_000_000 else { return nil }
      self.steps = steps
      return
    }
    let number = argument.prefix { $0.isNumber || $0 == "." }
    let units = ["s": 1.0 / 60, "sec": 1.0 / 60, "m": 1, "min": 1, "h": 60]
    guard let value = Double(number), let unit = units[String(argument.dropFirst(number.count))] else {
      return nil
    }
    let minutes = value * unit
    guard minutes >= 0.001, minutes <= 100_000 else { return nil }
    self.minutes = minutes
  }
}

extension StudentShape: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
