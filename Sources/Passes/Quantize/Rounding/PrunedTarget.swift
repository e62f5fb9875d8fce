import ModelFiles
package import TensorCore

/// What rounding a pruned layer aims at: not the pruned weights, but those that come nearest to the original's outputs for the inputs
/// that the compressed model gives, zeros staying zero. So pruning and rounding make up for each other, as if one pass did both.
package struct PrunedTarget {
  /// The original's layers, by name.
  private let originals: [String: CalibrationSweep.Layer]
  private let pull: TargetMovement?
  private let gram: MaskedRefit.Gram

  /// Steps of conjugate gradients from the pruned weights.
  private static let steps = 10

  /// The targets of a step's layers; nil where the model is rounded towards itself, or nothing in the step was pruned.
  ///
  /// - Parameter ridge: what is added to the diagonal of H, as a part of its mean.
  package init?(_ step: CalibrationSweep.Step, ridge: Double) throws {
    guard !step.originals.isEmpty,
      try step.layers.contains(where: { try $0.weights(at: Matrix.sampledPlaces($0.rows, 64)).isPruned })
    else { return nil }
    let observation = step.observation
    originals = Dictionary(step.originals.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    pull = try TargetMovement(
      CalibrationSweep.Step(block: step.block, layers: step.originals, observation: observation),
      factor: nil)
    let mean = observation.diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(1, observation.width))
    gram = MaskedRefit.Gram(
      observation.gram, ridge: mean > 0 ? Float(ridge * mean) : 1, columns: observation.width,
      isRounded: true)
  }

  /// Some of the original's rows, in place of a layer's.
  func wanted(_ name: String, at places: some Collection<Int>) throws -> Matrix? {
    try originals[name]?.weights(at: Array(places))
  }

  /// The targets of some rows of a layer.
  ///
  /// - Parameters:
  ///   - weights: the pruned rows.
  ///   - places: which they are.
  ///   - blend: how far the target lies from the pruned weights, 0 … 1.
  package func target(
    _ weights: Matrix, _ name: String, at places: some Collection<Int>, blend: Float
  ) throws -> Matrix {
    guard let wanted = try wanted(name, at: places) else { return weights }
    var mask = PruneMask(rows: weights.rows, columns: weights.columns)
    if let zeros = weights.prunedWeights { mask.dropped = zeros }
    var result = MaskedRefit(
      target: wanted, pull: pull?.movement(of: wanted, at: places) ?? [], gram: gram
    ).refit(from: weights, mask: mask, iterations: Self.steps)
    if blend != 1 {
      for place in result.elements.indices {
        result.elements[place] =
          weights.elements[place] + blend * (result.elements[place] - weights.elements[place])
      }
    }
    return result
  }
}
