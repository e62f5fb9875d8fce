import ModelFiles
import TensorCore

/// How far the weights that suit the compressed model's inputs lie from the original's: V − W = W (C − H)(H + λI)⁻¹ with
/// H = E[x′x′ᵀ] and C = E[x x′ᵀ], V being the least-squares weights for the inputs x′ that a layer will get in place of x.
///
/// Where outputs y = W x are fewer than inputs, W C = E[y x′ᵀ] is observed itself, which is smaller than C; the movement of
/// that one layer is then worked out at once. Without a factor it is W (C − H), what changed inputs pull by.
struct TargetMovement {
  /// (C − H)(H + λI)⁻¹ or C − H, or nothing.
  private let shift: [Float]
  /// V − W or W (C − H) of the only layer, or nothing.
  private let whole: [Float]
  private let count: Int
  private let rounds: Bool

  /// The movement of a step's layers; nil where inputs did not move.
  ///
  /// - Parameter rounds: whether weights and C − H may be rounded to bfloat16 when they are multiplied: by some thousandths of the
  ///   movement, not of the weights.
  init?(_ step: CalibrationSweep.Step, factor: FeedbackFactor?, rounds: Bool = false) throws {
    let observation = step.observation
    guard !observation.cross.isEmpty, let layer = step.layers.first else { return nil }
    let count = observation.width
    self.count = count
    self.rounds = rounds
    var rows = observation.cross
    if observation.crossesOutputs {
      precondition(step.layers.count == 1 && rows.count == layer.rows * count, "one layer's outputs")
      for range in LayerRounding.slabs(rows: layer.rows, columns: count) {
        let weights = try layer.weights(range)
        rows.withUnsafeMutableBufferPointer {
          guard let base = $0.baseAddress else { return }
          TargetMovement.addProduct(
            weights, observation.gram, scale: -1, to: base + range.lowerBound * count)
        }
      }
      rows.withUnsafeMutableBufferPointer {
        if let base = $0.baseAddress { factor?.solve(base, rows: layer.rows) }
      }
      (shift, whole) = ([], rows)
      return
    }
    rows.withUnsafeMutableBufferPointer { rows in
      observation.gram.withUnsafeBufferPointer { gram in
        guard let base = rows.baseAddress, let h = gram.baseAddress else { return }
        Kernels.addScaled(-1, h, to: base, count: count * count)
        factor?.solve(base, rows: count)
      }
    }
    (shift, whole) = (rows, [])
  }

  /// V − W, or W (C − H), of some of a layer's rows.
  ///
  /// - Parameters:
  ///   - weights: the rows.
  ///   - places: which rows they are.
  func movement(of weights: Matrix, at places: some Collection<Int>) -> [Float] {
    guard whole.isEmpty else {
      return [Float](unsafeUninitializedCapacity: weights.elements.count) { target, size in
        size = weights.elements.count
        for (index, place) in places.enumerated() {
          _ = UnsafeMutableBufferPointer(rebasing: target[index * count..<(index + 1) * count]).initialize(
            from: whole[place * count..<(place + 1) * count])
        }
      }
    }
    if rounds, StridedProduct.canRound { return roundedMovement(of: weights) }
    return [Float](unsafeUninitializedCapacity: weights.elements.count) { target, size in
      size = weights.elements.count
      if let base = target.baseAddress { TargetMovement.addProduct(weights, shift, beta: 0, to: base) }
    }
  }

  private func roundedMovement(of weights: Matrix) -> [Float] {
    var result = [Float](repeating: 0, count: weights.elements.count)
    result.withUnsafeMutableBufferPointer { target in
      weights.elements.withUnsafeBufferPointer { w in
        shift.withUnsafeBufferPointer { shift in
          guard let target = target.baseAddress, let w = w.baseAddress, let shift = shift.baseAddress else {
            return
          }
          StridedProduct(
            (w, count, 1), (shift, count, 1), rows: weights.rows, inner: count, columns: count
          ).addRounded(to: target, row: count)
        }
      }
    }
    return result
  }

  /// target = scale · W · B + beta · target.
  private static func addProduct(
    _ weights: Matrix, _ b: [Float], scale: Float = 1, beta: Float = 1, to target: UnsafeMutablePointer<Float>
  ) {
    let (rows, columns) = (weights.rows, weights.columns)
    // Tall pieces first of all: each packs its columns of B once for all of its rows.
    let (height, width) = (1024, 512)
    let across = (columns + width - 1) / width
    weights.elements.withUnsafeBufferPointer { w in
      b.withUnsafeBufferPointer { b in
        guard let w = w.baseAddress, let b = b.baseAddress else { return }
        nonisolated(unsafe) let (left, right, sums) = (w, b, target)
        Parallel.forEach((rows + height - 1) / height * across) { piece in
          let (i, j) = (piece / across * height, piece % across * width)
          LinearAlgebra.product(
            left + i * columns, columns, right + j, columns, rows: min(height, rows - i), inner: columns,
            columns: min(width, columns - j), alpha: scale, beta: beta, into: sums + i * columns + j, columns)
        }
      }
    }
  }
}
