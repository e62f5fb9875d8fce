import ModelFiles
import TensorCore
import WeightCodecs

/// What the layers of a step share when they are rounded.
struct RoundingStatistics {
  /// The factored covariance.
  let factor: FeedbackFactor
  /// How far targets may move; nil where inputs did not move.
  let movement: TargetMovement?
  /// What pruned layers are rounded towards; nil where that is they themselves.
  let pruned: PrunedTarget?
  /// E[x′²] of each column.
  let diagonal: [Float]
  /// Held-out inputs in the original and in the compressed model, tokens × width.
  let heldOut: (original: [Float], compressed: [Float])

  /// The statistics of `step`.
  init(_ step: CalibrationSweep.Step) throws {
    let observation = step.observation
    factor = try FeedbackFactor(gram: observation.gram, count: observation.width)
    pruned = try PrunedTarget(step, ridge: factor.ridge)
    movement = pruned == nil ? try TargetMovement(step, factor: factor) : nil
    (diagonal, heldOut) = (observation.diagonal, observation.heldOut)
  }
}

/// Rounds one layer's weights to a format by what its inputs were seen to be, some rows at a time.
///
/// Rows know nothing of each other, so choices between results are made on some of them; only what was chosen is done to
/// all. What is reported is the chosen result's error on those rows.
struct LayerRounding {
  /// A rounded matrix.
  struct Result {
    var bytes: ByteRegion
    var outcome: TensorOutcome
  }

  /// How a layer can be rounded.
  private enum Way {
    /// Plainly, or with scales fitted by what inputs are.
    case plain, weighted
    /// With error feedback, the target moved by `blend`, and passes of coordinate descent.
    case feedback(blend: Float, sweeps: Int)
  }

  let layer: CalibrationSweep.Layer
  let statistics: RoundingStatistics
  let codec: any GridCodec

  /// How far targets are moved towards the weights that suit the compressed model's inputs.
  private static let blends: [Float] = [1, 0.5]
  /// Passes of coordinate descent.
  private static let sweeps = 2
  /// The rows that choices are made on.
  private static let sampleRows = 512
  /// The weights of a slab of rows.
  private static let slabWeights = 8 << 20

  /// The rows of a matrix in slabs that are worked on one after the other.
  static func slabs(rows: Int, columns: Int) -> [Range<Int>] {
    let height = max(64, slabWeights / max(1, columns) / 64 * 64)
    return stride(from: 0, to: rows, by: height).map { $0..<min(rows, $0 + height) }
  }

  /// The best of the method's results on held-out tokens, plain rounding included.
  func rounded(_ method: QuantizePass.Method) throws -> Result {
    let places = Matrix.sampledPlaces(layer.rows, Self.sampleRows)
    let sample = RoundingSample(
      try layer.weights(at: places), wanted: try statistics.pruned?.wanted(layer.name, at: places),
      heldOut: statistics.heldOut, format: codec.format)
    let plainError = try sample.error(of: try encoded(sample.weights, places, .plain))
    var best: (way: Way, outcome: TensorOutcome) = (
      .plain, TensorOutcome(method: "rtn", heldOutError: plainError, plainError: plainError)
    )
    func consider(_ way: Way, _ name: String, blend: Float? = nil) throws {
      var outcome = TensorOutcome(method: name, plainError: plainError, blend: blend.map { Double($0) })
      // Without held-out tokens the last way is taken, and nothing need be tried.
      if plainError != nil {
        outcome.heldOutError = try sample.error(of: try encoded(sample.weights, places, way))
      }
      if let error = outcome.heldOutError, let old = best.outcome.heldOutError, error >= old { return }
      best = (way, outcome)
    }
    switch method {
    case .rtn: break
    case .gptq:
      if statistics.movement == nil && statistics.pruned == nil {
        try consider(.feedback(blend: 0, sweeps: Self.sweeps), "gptq")
      } else {
        for blend in plainError == nil ? [] : Self.blends {
          try consider(.feedback(blend: blend, sweeps: 0), "gptq", blend: blend)
        }
        // The blend that is best before coordinate descent is best behind it, too: only that one is worth the time.
        let blend = best.outcome.blend.map { Float($0) } ?? Self.blends[0]
        try consider(.feedback(blend: blend, sweeps: Self.sweeps), "gptq", blend: blend)
      }
    default: try consider(.weighted, method.rawValue)
    }
    return Result(bytes: try encodedWhole(best.way), outcome: best.outcome)
  }

  /// All rows, a slab at a time.
  private func encodedWhole(_ way: Way) throws -> ByteRegion {
    try LayerRounding.encodedWhole(layer, codec.format) { try encoded($0, $1, way) }
  }

  /// A layer's bytes in a format whose rows know nothing of each other.
  ///
  /// - Parameter encode: encodes some rows.
  static func encodedWhole(
    _ layer: CalibrationSweep.Layer, _ format: TensorFormat,
    _ encode: (_ rows: Matrix, _ places: Range<Int>) throws -> ByteRegion
  ) throws -> ByteRegion {
    guard let line = format.byteCount(rows: 1, columns: layer.columns) else {
      return try encode(try layer.weights, 0..<layer.rows)
    }
    return try ByteRegion(uninitializedCount: layer.rows * line) { target in
      for range in slabs(rows: layer.rows, columns: layer.columns) {
        let bytes = try encode(try layer.weights(range), range)
        UnsafeMutableRawBufferPointer(rebasing: target[range.lowerBound * line..<range.upperBound * line])
          .copyMemory(from: bytes.buffer)
      }
    }
  }

  private func encoded(_ weights: Matrix, _ places: some Collection<Int>, _ way: Way) throws -> ByteRegion {
    switch way {
    case .plain: return try TensorCoding.encode(weights, format: codec.format)
    case .weighted:
      return try TensorCoding.encode(weights, format: codec.format, importance: statistics.diagonal)
    case .feedback(let blend, let sweeps):
      return try withFeedback(
        try target(weights, places, blend: blend), sweeps: sweeps, zeros: weights.prunedWeights)
    }
  }

  /// W + a (V − W).
  private func target(_ weights: Matrix, _ places: some Collection<Int>, blend: Float) throws -> Matrix {
    if let pruned = statistics.pruned, blend != 0 {
      return try pruned.target(weights, layer.name, at: places, blend: blend)
    }
    guard blend != 0, let movement = statistics.movement?.movement(of: weights, at: places) else {
      return weights
    }
    var result = weights
    movement.withUnsafeBufferPointer { movement in
      result.elements.withUnsafeMutableBufferPointer { target in
        guard let d = movement.baseAddress, let w = target.baseAddress else { return }
        Kernels.addScaled(blend, d, to: w, count: target.count)
      }
    }
    return result
  }

  /// `target` rounded with error feedback: scales by what inputs are, then codes; weights that are zero stay so.
  private func withFeedback(_ target: Matrix, sweeps: Int, zeros: [Bool]?) throws -> ByteRegion {
    let (rows, columns) = (target.rows, target.columns)
    var target = target
    if let zeros { for place in zeros.indices where zeros[place] { target.elements[place] = 0 } }
    let plain = try TensorCoding.encode(target, format: codec.format, importance: statistics.diagonal)
    let grids = RowGrids(of: plain, codec: codec, rows: rows, columns: columns)
    let codes = ErrorFeedback(factor: statistics.factor, grids: grids).round(
      target, sweeps: sweeps, zeros: zeros)
    return ByteRegion(uninitializedCount: plain.count) { bytes in
      bytes.copyMemory(from: plain.buffer)
      let rowBytes = plain.count / max(1, rows)
      codes.withUnsafeBufferPointer { codes in
        guard let base = bytes.baseAddress, let codes = codes.baseAddress else { return }
        nonisolated(unsafe) let (target, source) = (base, codes)
        Parallel.forEach((rows + 63) / 64) { piece in
          for row in piece * 64..<min(rows, (piece + 1) * 64) {
            codec.storeCodes(
              source + row * columns, columns: columns,
              into: UnsafeMutableRawBufferPointer(start: target + row * rowBytes, count: rowBytes))
          }
        }
      }
    }
  }
}
