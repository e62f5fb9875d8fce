import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// Gives each group of layers the format that keeps the model best at a size, and rounds them with calibration.
struct MixedQuantization {
  let checkpoint: Checkpoint
  let losses: FormatLosses
  let context: PassContext
  /// The plan whose tensors' formats are chosen anew.
  let plan: PassPlan
  /// What the artifact takes beside the groups' bytes as estimated: everything else in the file.
  private let overhead: Int
  private let groupBytes: ClosedRange<Int>

  /// Choices that are tried for one size.
  private static let mostAttempts = 12

  /// Measures the model.
  ///
  /// - Parameter plan: a plan whose entries tell which tensors are quantized.
  init(plan: PassPlan, checkpoint: Checkpoint, calibration: CalibrationSet, context: PassContext) throws {
    self.plan = plan
    self.checkpoint = checkpoint
    self.context = context
    let chosen = Set(
      plan.entries.filter { $0.from != $0.to && $0.to.isQuantized && $0.shape.count == 2 }.map(\.name))
    losses = try FormatLosses(
      checkpoint, calibration: calibration, chosen: chosen, level: context.level, context: context)
    let smallest = losses.groups.map { $0.options.map(\.cost.bytes).min() ?? 0 }
    let largest = losses.groups.map { $0.options.map(\.cost.bytes).max() ?? 0 }
    groupBytes = smallest.reduce(0, +)...max(smallest.reduce(0, +), largest.reduce(0, +))
    var base = plan
    let sizes = losses.groups.map { group in
      group.options.min { $0.cost.bytes < $1.cost.bytes }?.formats ?? [:]
    }
    base.apply(sizes)
    overhead = try context.artifactBytes(base.reencode(checkpoint)) - smallest.reduce(0, +)
  }

  /// The artifact's bytes with every group in its smallest, and in its largest format, about.
  var range: ClosedRange<Int> { groupBytes.lowerBound + overhead...groupBytes.upperBound + overhead }

  /// The best model for a goal.
  func quantized(_ goal: SizeGoal) throws -> PassResult {
    let parameters = checkpoint.parameterCount
    if let bytes = goal.bytes(parameters: parameters) { return try quantized(bytes: bytes) }
    guard let judge = context.judge else {
      throw PassError(
        "neither a size nor a quality budget was given, so there is nothing to choose formats by")
    }
    return try RateSearch(
      range: range, parameters: parameters, attempt: { try quantized(bytes: $0) }, judge: judge
    ).run()
  }

  /// The best model whose artifact has at most `bytes`.
  ///
  /// - Throws: ``PassError`` when the smallest formats take more.
  func quantized(bytes: Int) throws -> PassResult {
    var budget = bytes - overhead
    for _ in 0..<MixedQuantization.mostAttempts {
      guard let allocation = Allocation.best(losses.groups.map { $0.options.map(\.cost) }, budget: budget)
      else {
        throw PassError(
          "the smallest formats take about \(range.lowerBound) bytes, more than the \(bytes) asked for; "
            + "use --format safetensors, which goes down to 2 bits a weight")
      }
      var chosen = plan
      chosen.apply(zip(losses.groups, allocation.choices).map { $0.options[$1].formats })
      // Estimates come from some rows of each layer. Plain rounding takes about the bytes that calibrated rounding does, and
      // is quick.
      let plain = try context.artifactBytes(chosen.reencode(checkpoint))
      guard plain <= bytes else {
        budget -= plain - bytes + bytes / 2000
        continue
      }
      guard
        var result = try CalibratedQuantization(plan: chosen, method: .gptq, context: context).apply(
          to: checkpoint)
      else { throw PassError("the model cannot be calibrated") }
      let size = try context.artifactBytes(result.checkpoint)
      if size <= bytes {
        result.notes.append(
          "formats chosen by \(losses.isMeasured ? "gradients" : "layers' errors") for \(bytes) bytes; \(size) used"
        )
        return result
      }
      budget -= size - bytes + bytes / 2000
    }
    throw PassError("no choice of formats met \(bytes) bytes")
  }
}

extension PassPlan {
  /// Gives tensors other formats.
  mutating func apply(_ formats: [[String: TensorFormat]]) {
    let all = formats.reduce(into: [:]) { $0.merge($1) { $1 } }
    for place in entries.indices {
      guard let format = all[entries[place].name], format != entries[place].to else { continue }
      entries[place].to = format
      entries[place].note = nil
    }
  }
}
