public import ModelFiles
public import Models
internal import TensorCore
import Training

/// Makes a smaller student of the model and teaches it what the original predicts: a structural cut to begin with, then training. The
/// result is an ordinary checkpoint of smaller sizes.
public struct DistillPass: Pass {
  public static let name = "distill"

  /// What the student has of the model's sizes.
  public var shape: StudentShape
  /// How it learns.
  public var training = TrainingOptions()
  /// Whether the student begins with random weights, not with those that are left of the teacher; it may have the teacher's size then.
  public var startsRandom = false

  /// A student of `shape`.
  public init(_ shape: StudentShape) { self.shape = shape }

  public init(options: inout RecipeMapping) throws(RecipeError) {
    shape = StudentShape()
    shape.layers = try options.integer("layers", in: 1...4095)
    shape.width = try options.number("width", in: 0.001...1)
    shape.neurons = try options.number("ffn", in: 0.001...1)
    shape.heads = try options.number("heads", in: 0.001...1)
    shape.parameters = try options.number("params", in: 0.001...1)
    shape.configuration = try options.string("student")
    if let start = try options.string("start") {
      guard start == "cut" || start == "random" else {
        throw options.failure("unknown start '\(start)'; known are cut, random")
      }
      startsRandom = start == "random"
    }
    guard shape != StudentShape() || startsRandom else {
      throw options.failure(
        "give some of 'layers', 'width', 'ffn' and 'heads', what the student has, or 'params', or 'student'")
    }
    if shape.parameters != nil,
      shape.layers != nil || shape.width != nil || shape.neurons != nil
        || shape.heads != nil
    {
      throw options.failure("give 'params' or sizes, not both")
    }
    if let file = shape.configuration {
      var alone = StudentShape()
      alone.configuration = file
      guard shape == alone else { throw options.failure("give 'student' or sizes, not both") }
    }
    training = try TrainingOptions(&options)
    try options.finish(
      known: ["layers", "width", "ffn", "heads", "params", "student", "start"] + TrainingOptions.keys)
  }

  public var options: JSONValue {
    var object = JSONObject()
    if let file = shape.configuration { object["student"] = .string(file) }
    if let layers = shape.layers { object["layers"] = .integer(layers) }
    for (key, share) in [
      ("width", shape.width), ("ffn", shape.neurons), ("heads", shape.heads), ("params", shape.parameters),
    ] {
      if let share { object[key] = .number(share) }
    }
    if startsRandom { object["start"] = .string("random") }
    training.write(to: &object)
    return .object(object)
  }

  public var label: String {
    ["distill", shape.label, startsRandom ? "random" : ""].filter { !$0.isEmpty }.joined(separator: "-")
  }
  public var trains: Bool { true }

  /// The cut that the student starts from; nil for a student of the teacher's size.
  private func cut(of checkpoint: Checkpoint) throws -> StructurePass? {
    try TrainingRun.check(checkpoint)
    if startsRandom, shape == StudentShape() { return nil }
    guard let architecture = checkpoint.architecture as? any ResizableArchitecture else {
      throw PassError("models of this architecture cannot be made smaller here")
    }
    if let file = shape.configuration {
      var pass = StructurePass(StructureShares())
      pass.exactSizes = try StudentConfiguration(path: file).sizes(of: architecture)
      return pass
    }
    let shares = try shape.shares(of: checkpoint, architecture)
    guard !shares.isEmpty else {
      throw PassError(
        "the student has all sizes of its teacher; ask for fewer layers, or less width, ffn or heads")
    }
    return StructurePass(shares)
  }

  public func plan(for checkpoint: Checkpoint) throws -> PassPlan {
    var plan =
      try cut(of: checkpoint)?.plan(for: checkpoint) ?? RecoverPass(training).plan(for: checkpoint)
    for place in plan.entries.indices {
      plan.entries[place].to = ParameterLayout.storedFormat(plan.entries[place].from)
    }
    return plan
  }

  public func planned(_ plan: PassPlan, from checkpoint: Checkpoint) throws -> Checkpoint {
    plan.reencode(try cut(of: checkpoint)?.planned(plan, from: checkpoint) ?? checkpoint)
  }

  public func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
  {
    let cut = try cut(of: checkpoint)
    let run = TrainingRun(options: training, context: context, teacher: context.original ?? checkpoint)
    return try run.run(plan) {
      // Nothing is cut anew where a training goes on: shapes alone matter then.
      if run.goesOn || startsRandom {
        let student = try cut?.planned(plan, from: checkpoint) ?? checkpoint
        let drawn = startsRandom ? try RandomStart.drawn(student, seed: context.seed) : student
        return PassResult(checkpoint: drawn, plan: plan)
      }
      var own = context
      own.calibration = run.calibration
      return try cut?.apply(plan, to: checkpoint, in: own) ?? PassResult(checkpoint: checkpoint, plan: plan)
    }
  }
}

/// Trains a model that was cut, pruned or quantized towards the original's predictions. Pruned weights stay zero; of quantized
/// matrices codes and scales are trained, in the formats that they have.
public struct RecoverPass: Pass {
  public static let name = "recover"

  /// How it learns.
  public var training: TrainingOptions

  /// A recovery by these options.
  public init(_ training: TrainingOptions) { self.training = training }

  public init(options: inout RecipeMapping) throws(RecipeError) {
    training = try TrainingOptions(&options)
    try options.finish(known: TrainingOptions.keys)
  }

  public var options: JSONValue {
    var object = JSONObject()
    training.write(to: &object)
    return .object(object)
  }

  public var label: String { "recover" }
  public var trains: Bool { true }

  public func plan(for checkpoint: Checkpoint) throws -> PassPlan {
    try TrainingRun.check(checkpoint, allowsQuantized: true)
    return PassPlan(
      entries: checkpoint.tensors.map { tensor in
        PassPlan.Entry(
          name: tensor.name, role: checkpoint.role(of: tensor), shape: tensor.shape, from: tensor.format,
          to: tensor.format.isQuantized ? tensor.format : ParameterLayout.storedFormat(tensor.format),
          isPruned: tensor.isSparse)
      })
  }

  public func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult
  {
    // A stage before may have chosen other formats than it had planned.
    let plan = checkpoint.tensors.contains { $0.format.isQuantized } ? try self.plan(for: checkpoint) : plan
    let teacher = context.original ?? checkpoint
    if let tensor = teacher.tensors.first(where: { $0.format.isQuantized }) {
      throw PassError(
        "the model is quantized already ('\(tensor.name)' is in \(tensor.format.rawValue)), so there is no original to learn "
          + "from; start from the unquantized model")
    }
    let run = TrainingRun(options: training, context: context, teacher: teacher)
    return try run.run(plan) { PassResult(checkpoint: checkpoint, plan: plan) }
  }
}
