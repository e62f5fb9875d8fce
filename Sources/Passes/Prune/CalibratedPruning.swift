import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// Prunes a model for the inputs that its layers were seen to get, block by block, each layer for those of the pruned model before it.
final class CalibratedPruning {
  private let pass: PrunePass
  private let method: PrunePass.Method
  private let plan: PassPlan
  private let checkpoint: Checkpoint
  private let context: PassContext
  private let sweep: CalibrationSweep
  private let calibration: CalibrationSet
  /// The tensors that are pruned.
  private let chosen: Set<String>
  private var sensitivity: PredictionSensitivity?
  /// The weights that each tensor loses, where tensors do not lose the same share.
  private var counts: [String: Int] = [:]
  private var replaced: [String: StoredTensor] = [:]
  private var outcomes: [String: TensorOutcome] = [:]

  /// Steps of conjugate gradients behind a mask: few where alternating directions left weights that nearly fit it.
  static func steps(_ method: PrunePass.Method) -> Int { method == .admm ? 2 : 10 }
  /// The tokens by which matrices are weighed against each other; a few say as much as many.
  private static let allocationTokens = 512
  /// The rows by which a layer's held-out error is told.
  private static let sampleRows = 512
  /// What is added to the diagonal of H, as a part of its mean.
  private static let ridge = 0.01
  /// How far a matrix's share may be from the model's.
  static let spread = (loss: 0.2, owl: 0.08)

  /// Nil when the model cannot be observed.
  init?(
    _ pass: PrunePass, method: PrunePass.Method, plan: PassPlan, checkpoint: Checkpoint, context: PassContext
  ) {
    guard let calibration = context.calibration, !calibration.sequences.isEmpty,
      let sweep = CalibrationSweep(checkpoint, calibration: calibration, context: context)
    else { return nil }
    (self.pass, self.method, self.plan, self.checkpoint) = (pass, method, plan, checkpoint)
    (self.context, self.sweep, self.calibration) = (context, sweep, calibration)
    chosen = Set(plan.entries.filter(\.isPruned).map(\.name))
  }

  /// The pruned model.
  func pruned() throws -> PassResult {
    try allocate()
    var options = CalibrationSweep.Options()
    options.observesOutputs = method.refits
    options.runsAsStored = true
    let spill = TensorSpill()
    try sweep.run(options) { step in try self.prune(step, spill) }
    var result = PassResult(checkpoint: plan.reencode(checkpoint), plan: plan)
    for place in result.checkpoint.tensors.indices {
      let tensor = result.checkpoint.tensors[place]
      if let made = replaced[tensor.name] {
        result.checkpoint.tensors[place] = made
      } else if chosen.contains(tensor.name) {
        // Nothing was seen of it: an embedding that is only looked up.
        result.checkpoint.tensors[place] = pass.prunedByMagnitude(tensor)
        outcomes[tensor.name] = TensorOutcome(method: PrunePass.Method.magnitude.rawValue)
      }
    }
    result.outcomes = outcomes
    if !counts.isEmpty { result.notes.append(allocationNote) }
    return result
  }

  /// A step's layers, pruned. Those of one shape work in the same memory.
  private func prune(_ step: CalibrationSweep.Step, _ spill: TensorSpill) throws -> [String: StoredTensor] {
    let layers = step.layers.filter { chosen.contains($0.name) }
    guard step.observation.tokens > 0, !layers.isEmpty else { return [:] }
    let shared = try Shared(step, method)
    var result: [String: StoredTensor] = [:]
    try ReusedMemory.keeping(most: layers.reduce(0) { max($0, 16 * $1.rows * step.observation.width) }) {
      for layer in layers {
        guard var copy = checkpoint.tensor(layer.name) else { continue }
        let matrix = try prune(try layer.weights, layer.name, step.observation, shared)
        let bytes = try TensorCoding.encode(matrix, format: copy.format)
        copy.bytes = TensorBytes(bytes)
        copy.keptLimit = matrix.elements.count { $0.bitPattern != 0 }
        result[layer.name] = try Self.running(matrix, as: copy)
        copy.bytes = try spill.keep(bytes)
        replaced[layer.name] = copy
      }
    }
    return result
  }

  /// The form that a pruned layer goes on in: 8 bits, as in the walks of quantization, where its rows have whole blocks. What later layers
  /// are fitted to is changed by far less than by the pruning, and products take half the time.
  private static func running(_ matrix: Matrix, as stored: StoredTensor) throws -> StoredTensor {
    guard matrix.columns % TensorFormat.q8_0.blockSize == 0 else { return stored }
    var copy = stored
    copy.format = .q8_0
    copy.bytes = TensorBytes(try TensorCoding.encode(matrix, format: .q8_0))
    return copy
  }

  // MARK: Shares

  private func allocate() throws {
    guard case .share(let share) = pass.pattern, share > 0, share < 1, pass.allocation != .uniform else {
      return
    }
    var allocation = SparsityAllocation()
    var outliers: [(block: Int, names: [String: Int], above: Int, count: Int)] = []
    let few = calibration.spread(tokens: Self.allocationTokens)
    if pass.allocation == .loss {
      let seen = try PredictionSensitivity(
        checkpoint, calibration: few, context: context, tokens: Self.allocationTokens, meansOnly: true)
      sensitivity = seen
      if let seen, chosen.allSatisfy({ seen.layers[$0] != nil && seen.inputSquares[$0] != nil }) {
        for name in plan.entries.map(\.name) where chosen.contains(name) {
          guard let tensor = checkpoint.tensor(name), let squares = seen.inputSquares[name] else { continue }
          let factor = outputMean(of: name) ?? 1
          allocation.add(
            name, losses: losses(try CalibrationSweep.matrix(tensor), factor: factor, squares))
        }
        counts = allocation.counts(share, spread: Self.spread.loss)
        return
      }
    }
    guard let sweep = CalibrationSweep(checkpoint, calibration: few, context: context) else { return }
    try sweep.observe { step in
      guard step.observation.tokens > 0 else { return }
      let layers = try step.layers.filter { self.chosen.contains($0.name) }.map { ($0.name, try $0.weights) }
      guard !layers.isEmpty else { return }
      if self.pass.allocation == .loss {
        for (name, weights) in layers {
          let g =
            self.outputMean(of: name) ?? 1 / max(weights.quadraticForm(step.observation.gram), 1e-30)
          allocation.add(name, losses: self.losses(weights, factor: g, step.observation.diagonal))
        }
        return
      }
      let block = step.block ?? -1
      if outliers.last?.block != block { outliers.append((block, [:], 0, 0)) }
      for (name, weights) in layers {
        let scores = Self.scores(weights, step.observation).elements
        let limit = 5 * scores.reduce(0.0) { $0 + Double($1) } / Double(max(1, scores.count))
        outliers[outliers.count - 1].names[name] = scores.count
        outliers[outliers.count - 1].above += scores.count { Double($0) > limit }
        outliers[outliers.count - 1].count += scores.count
      }
    }
    if pass.allocation == .loss {
      counts = allocation.counts(share, spread: Self.spread.loss)
      return
    }
    let shares = SparsityAllocation.owl(
      outliers: outliers.map { Double($0.above) / Double(max(1, $0.count)) }, share: share,
      spread: Self.spread.owl)
    for (entry, own) in zip(outliers, shares) {
      for (name, count) in entry.names { counts[name] = SparsityPattern.dropped(own, of: count) }
    }
  }

  /// What losing each weight costs by itself: ½ G w² H_jj, G being the mean over the layer's outputs.
  private func losses(_ weights: consuming Matrix, factor g: Double, _ inputs: [Float]) -> Matrix {
    let columns = inputs.map { Float(0.5 * g * Double($0)) }
    var result = weights
    let (rows, n) = (result.rows, result.columns)
    result.elements.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      nonisolated(unsafe) let target = base
      Parallel.forEach(rows) { row in
        let line = target + row * n
        for column in 0..<n { line[column] *= line[column] * columns[column] }
      }
    }
    return result
  }

  private func outputMean(of name: String) -> Double? {
    guard case .mean(let mean)? = sensitivity?.layers[name] else { return nil }
    return mean
  }

  private var allocationNote: String {
    let shares = plan.entries.compactMap { entry in
      counts[entry.name].map { Double($0) / Double(max(1, entry.shape.reduce(1, *))) }
    }
    let (low, high) = (shares.min() ?? 0, shares.max() ?? 0)
    func percent(_ share: Double) -> String { String(Int((share * 100).rounded())) + " %" }
    return "sparsity by \(pass.allocation.rawValue): from \(percent(low)) to \(percent(high)) of a matrix"
  }

  // MARK: One layer

  /// What layers with one input share.
  private struct Shared {
    /// What changed inputs pull by.
    let pull: TargetMovement?
    let alternating: AlternatingMask?
    /// H with its ridge, for SparseGPT.
    let gram: [Double]
    let refit: MaskedRefit.Gram?

    init(_ step: CalibrationSweep.Step, _ method: PrunePass.Method) throws {
      let observation = step.observation
      let n = observation.width
      pull = method.refits ? try TargetMovement(step, factor: nil, rounds: true) : nil
      alternating =
        method == .admm ? try AlternatingMask(gram: observation.gram, columns: n) : nil
      let mean = observation.diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(1, n))
      let added = Float(mean > 0 ? CalibratedPruning.ridge * mean : 1)
      refit =
        method.refits
        ? MaskedRefit.Gram(observation.gram, ridge: added, columns: n, isRounded: true) : nil
      guard method == .sparsegpt else {
        gram = []
        return
      }
      var gram = observation.gram.map { Double($0) }
      for place in 0..<n { gram[place * n + place] += Double(added) }
      self.gram = gram
    }
  }

  /// |w| √E[x²].
  private static func scores(_ weights: Matrix, _ observation: LayerObservation) -> Matrix {
    let norms = observation.diagonal.map { max(0, $0).squareRoot() }
    var result = weights
    for place in result.elements.indices {
      result.elements[place] = abs(result.elements[place]) * norms[place % norms.count]
    }
    return result
  }

  private func prune(
    _ weights: Matrix, _ name: String, _ observation: LayerObservation, _ shared: Shared
  ) throws -> Matrix {
    let choose = { (scores: Matrix) -> PruneMask in self.mask(of: scores, name) }
    switch method {
    case .magnitude: return choose(weights).applied(to: weights)
    case .wanda:
      outcomes[name] = TensorOutcome(method: method.rawValue)
      return choose(Self.scores(weights, observation)).applied(to: weights)
    case .sparsegpt:
      outcomes[name] = TensorOutcome(method: method.rawValue)
      var pattern = pass.pattern
      if let count = counts[name] { pattern = .share(Double(count) / Double(weights.elements.count)) }
      return try SparseGPT.pruned(weights, gram: shared.gram, pattern: pattern)
    case .refit, .admm: return try refitted(weights, name, observation, shared, choose)
    }
  }

  private func mask(of scores: Matrix, _ name: String) -> PruneMask {
    if let count = counts[name] {
      return PruneMask(lowest: scores, .share(Double(count) / Double(scores.elements.count)), scope: .tensor)
    }
    return PruneMask(lowest: scores, pass.pattern, scope: pass.scope ?? (method == .wanda ? .row : .tensor))
  }

  private func refitted(
    _ weights: Matrix, _ name: String, _ observation: LayerObservation, _ shared: Shared,
    _ choose: (Matrix) -> PruneMask
  ) throws -> Matrix {
    // The weights that are fitted to suit the pruned model's inputs, all the way.
    let pull = shared.pull?.movement(of: weights, at: 0..<weights.rows) ?? []
    var steps = AlternatingMask.steps
    if case .share = pass.pattern { steps = AlternatingMask.shareSteps }
    let (mask, start) =
      shared.alternating?.solve(weights, pull: pull, steps: steps, choose: choose)
      ?? (choose(Self.scores(weights, observation)), weights)
    var result = start
    if let gram = shared.refit {
      result = MaskedRefit(target: weights, pull: pull, gram: gram)
        .refit(from: start, mask: mask, iterations: Self.steps(method))
    }
    let error = try RoundingSample(
      weights.sampled(Self.sampleRows), heldOut: observation.heldOut, format: .f32
    ).error(of: result.sampled(Self.sampleRows).bytes)
    outcomes[name] = TensorOutcome(method: method.rawValue, heldOutError: error, blend: 1)
    return result
  }
}
