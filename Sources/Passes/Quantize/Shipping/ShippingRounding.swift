import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// Rounds a whole model to uniform codes at one step, and finds the step at which the artifact has a given size.
final class ShippingRounding {
  private let plan: PassPlan
  private let checkpoint: Checkpoint
  private let context: PassContext
  private let costs: ShippingCosts
  private let sweep: CalibrationSweep?
  /// The tensors that are rounded.
  private let chosen: Set<String>
  /// What codes take at any step, about.
  private var curve = RateCurve()
  /// Matrices that no walk through the model meets.
  private var unseen: Set<String>

  /// The least bits that a code takes, all in, and the most; sizes beyond are refused.
  static let bits = 1.0...16.0
  /// Matrices that were not seen at work, in a model that was, are rounded to this part of each row's root mean square.
  private static let unseenStep = 0x1p-5
  /// The part of the wanted bytes that is aimed at, and the least that is taken.
  private static let (aim, least) = (0.9982, 0.9955)
  /// What a Gaussian of the same spread takes is more than what weights do, by about this factor.
  private static let start = 1.12
  /// Walks through the model that a search may take.
  static let attempts = 7

  /// Measures the model: its gradients, and the spread of what will be codes.
  ///
  /// - Throws: ``PassError`` when activations are not finite, or what loading tensors throws.
  init(plan: PassPlan, checkpoint: Checkpoint, context: PassContext) throws {
    self.plan = plan
    self.checkpoint = checkpoint
    self.context = context
    chosen = Set(plan.entries.filter { $0.from != $0.to && $0.to == .uniform8 }.map(\.name))
    unseen = chosen
    var sweep: CalibrationSweep?
    var sensitivity: PredictionSensitivity?
    if let calibration = context.calibration, !calibration.sequences.isEmpty {
      sweep = CalibrationSweep(checkpoint, calibration: calibration, context: context)
      if sweep != nil {
        sensitivity = try PredictionSensitivity(checkpoint, calibration: calibration, context: context)
      }
    }
    self.sweep = sweep
    costs = ShippingCosts(sensitivity: sensitivity)
    try measureRates()
  }

  private func measureRates() throws {
    var curve = RateCurve()
    var seen: Set<String> = []
    try sweep?.observe { step in
      for layer in try self.layers(of: step, shifted: false) {
        layer.layer.addRates(to: &curve)
        seen.insert(layer.name)
      }
    }
    unseen = chosen.subtracting(seen)
    for tensor in checkpoint.tensors where unseen.contains(tensor.name) {
      guard sweep == nil else { continue }
      PlainUniform.addRates(of: try CalibrationSweep.matrix(tensor), to: &curve)
    }
    self.curve = curve
  }

  /// What a step of the walk rounds.
  private func layers(of step: CalibrationSweep.Step, shifted: Bool) throws -> [(
    name: String, layer: UniformLayer
  )] {
    let layers = step.layers.filter { chosen.contains($0.name) }
    guard let first = layers.first else { return [] }
    let width = first.columns
    let isSeen = step.observation.tokens > 0
    let isEmbedding = step.block == nil && checkpoint.role(of: first.name) == .tokenEmbedding
    // Rows that are looked up meet no inputs: each counts by itself.
    let gram = isSeen ? step.observation.gram : [Float](repeating: 0, count: width * width)
    let inputs = try costs.inputs(gram: gram, count: width, isEmbedding: isEmbedding)
    let target =
      isSeen && shifted && !step.observation.cross.isEmpty
      ? try ShiftedTarget(gram: gram, cross: step.observation.cross, count: width) : nil
    return try layers.map { layer in
      let (name, weights) = (layer.name, try layer.weights)
      let rows = weights.rows
      let own = step.block == nil ? (isSeen ? costs.vocabulary(rows: rows) : costs.lookups(rows: rows)) : nil
      let outputs = try own.map { .rows($0) } ?? costs.outputs(of: name, weights: weights, inputs: inputs)
      return (
        name,
        UniformLayer(
          target: target?.target(weights) ?? weights, inputs: inputs, outputs: outputs,
          zeros: weights.prunedWeights)
      )
    }
  }

  // MARK: At one step

  /// The model rounded at `step`.
  func rounded(step: Double) throws -> PassResult {
    let stored = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var replaced: [String: StoredTensor] = [:]
    var outcomes: [String: TensorOutcome] = [:]
    func store(_ tensor: UniformTensor, as name: String, method: String) -> StoredTensor? {
      guard var copy = stored[name] else { return nil }
      copy.format = tensor.format
      copy.bytes = TensorBytes(tensor.bytes)
      replaced[name] = copy
      outcomes[name] = TensorOutcome(method: method, blend: method == "plain" ? nil : ShiftedTarget.blend)
      return copy
    }
    try sweep?.run { step_ in
      let layers = try self.layers(of: step_, shifted: true)
      let results = Locked([UniformLayer.Result?](repeating: nil, count: layers.count))
      try Parallel.forEachThrowing(layers.count) { place in
        let result = try layers[place].layer.rounded(step: step)
        results.withLock { $0[place] = result }
      }
      var made: [String: StoredTensor] = [:]
      for (layer, result) in zip(layers, results.withLock { $0 }) {
        guard let result, let tensor = store(result.tensor, as: layer.name, method: "successive") else {
          continue
        }
        made[layer.name] = tensor
      }
      return made
    }
    for name in unseen.sorted() {
      guard let tensor = stored[name] else { continue }
      let plain = try PlainUniform.rounded(
        try CalibrationSweep.matrix(tensor), step: sweep == nil ? step : Self.unseenStep)
      _ = store(plain, as: name, method: "plain")
    }
    var result = PassResult(checkpoint: plan.reencode(checkpoint), plan: plan)
    for place in result.checkpoint.tensors.indices {
      let name = result.checkpoint.tensors[place].name
      guard let tensor = replaced[name] else { continue }
      result.checkpoint.tensors[place] = tensor
      if let entry = result.plan.entries.firstIndex(where: { $0.name == name }) {
        result.plan.entries[entry].to = tensor.format
      }
    }
    result.outcomes = outcomes
    return result
  }

  // MARK: At one size

  private var weightCount: Int {
    plan.entries.filter { chosen.contains($0.name) }.reduce(0) { $0 + $1.shape.reduce(1, *) }
  }

  /// The bytes of artifacts from the coarsest to the finest codes, about.
  var range: ClosedRange<Int> {
    let weights = weightCount
    return Int(Double(weights) * Self.bits.lowerBound / 8)...Int(Double(weights) * Self.bits.upperBound / 8)
  }

  /// The model whose artifact has at most `bytes`, and hardly less.
  ///
  /// The artifact's size follows the step smoothly, and `RateCurve` says how but for a factor and what surrounds the codes;
  /// the attempts correct these.
  /// - Throws: ``PassError`` when no step gives so small or so large an artifact.
  func rounded(bytes: Int, attempts: Int = ShippingRounding.attempts) throws -> PassResult {
    guard range.contains(bytes) else {
      throw PassError(
        "no uniform codes take \(bytes) bytes: from \(range.lowerBound) to \(range.upperBound) is possible here"
      )
    }
    var (best, points): (PassResult?, [(step: Double, bytes: Double)]) = (nil, [])
    var bestSize = 0
    var expected = Double(bytes) * Self.aim * Self.start
    for _ in 0..<attempts {
      guard let step = curve.step(bytes: expected) else { break }
      let result = try rounded(step: step)
      let size = try context.artifactBytes(result.checkpoint)
      if size <= bytes, size > bestSize {
        (best, bestSize) = (result, size)
        best?.notes.append("one step of \(Float(step)) for all matrices: \(size) bytes of \(bytes)")
      }
      if size <= bytes, Double(size) >= Double(bytes) * Self.least { break }
      points.append((step, Double(size)))
      expected = next(after: points, wanted: Double(bytes) * Self.aim)
    }
    // Where the last attempts were still too large, a step that is surely coarser.
    if best == nil, let step = curve.step(bytes: expected * 0.97) {
      let result = try rounded(step: step)
      if try context.artifactBytes(result.checkpoint) <= bytes { best = result }
    }
    guard let best else {
      throw PassError("no step gave an artifact of at most \(bytes) bytes; give a larger size")
    }
    return best
  }

  /// The curve's bytes to try next: between the sizes nearest to the wanted one below and above it, else by the last two.
  private func next(after points: [(step: Double, bytes: Double)], wanted: Double) -> Double {
    guard let last = points.last else { return wanted }
    let below = points.filter { $0.bytes <= wanted }.max { $0.bytes < $1.bytes }
    let above = points.filter { $0.bytes > wanted }.min { $0.bytes < $1.bytes }
    if let below, let above {
      let (a, b) = (curve.bytes(step: below.step), curve.bytes(step: above.step))
      let share = (wanted - below.bytes) / (above.bytes - below.bytes)
      return a + min(max(share, 0.1), 0.9) * (b - a)
    }
    var slope = 1.0
    let place = curve.bytes(step: last.step)
    if points.count > 1 {
      let other = points[points.count - 2]
      let change = place - curve.bytes(step: other.step)
      if abs(change) > 1 { slope = min(max((last.bytes - other.bytes) / change, 0.5), 2) }
    }
    return place + (wanted - last.bytes) / slope
  }
}
