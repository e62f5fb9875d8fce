import Foundation
package import ModelFiles
package import TensorCore
import WeightCodecs

/// How far outliers of activations are moved into the weights before both are rounded to 8 bits.
public enum Smoothing: Sendable, Equatable {
  /// By what is best on held-out calibration tokens, step by step; not at all among the choices.
  case chosen
  /// Not at all.
  case none
  /// By one exponent, 0 … 1, wherever a scale can be folded in.
  case exponent(Double)
}

/// Columns scaled so that weights and activations share what makes them hard to round: SmoothQuant (arXiv 2211.10438).
///
/// y = W x = (W diag s)(x / s) with s_j = max|x_j|^a / max|w_j|^(1−a), maxima over the calibration tokens and over the rows
/// of all layers that share the input. Columns where either is 0 keep their scale, the geometric mean of the others.
package struct ActivationSmoothing {
  /// The exponents that are tried.
  package static let exponents: [Float] = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9]
  /// The rows of each layer, and the held-out tokens, that the error is measured on.
  private static let sampleRows = 256, sampleTokens = 512

  let smoothing: Smoothing
  let formats: [String: TensorFormat]
  let stored: [String: StoredTensor]

  /// Smoothing of layers that will be stored in `formats`.
  package init(_ smoothing: Smoothing, formats: [String: TensorFormat], stored: [String: StoredTensor]) {
    self.smoothing = smoothing
    self.formats = formats
    self.stored = stored
  }

  /// A step's tensors as they become, and by which exponent.
  package struct Result {
    /// The tensors that change, in single precision: layers scaled up, what makes their inputs scaled down.
    package var tensors: [StoredTensor] = []
    /// The exponent; nil when nothing changes.
    package var exponent: Float?
  }

  /// The step with its scale folded in.
  ///
  /// Nothing changes where there is nothing to fold it into, where a layer is not rounded to `w8a8` here, and, when
  /// exponents are chosen, where none beats leaving it or no token was held out.
  package func smoothed(_ step: CalibrationSweep.Step) throws -> Result {
    let isRounded = step.layers.allSatisfy { layer in
      formats[layer.name] == .w8a8 && stored[layer.name].map { $0.format != .w8a8 } == true
    }
    guard isRounded, !step.sources.isEmpty, !step.layers.isEmpty, step.observation.tokens > 0 else {
      return Result()
    }
    let weights = try step.layers.map { try $0.weights }
    let exponent: Float?
    switch smoothing {
    case .none: exponent = nil
    case .exponent(let value): exponent = Float(value)
    case .chosen: exponent = try chosen(weights, step.observation)
    }
    guard let exponent,
      let scale = ActivationSmoothing.scale(exponent, activations: step.observation.maxima, weights: weights)
    else { return Result() }
    return Result(tensors: try step.scaled(by: scale, stored: stored), exponent: exponent)
  }

  /// s_j for an exponent, with geometric mean 1; nil when no column has both inputs and weights.
  package static func scale(_ exponent: Float, activations: [Float], weights: [Matrix]) -> [Float]? {
    var peaks = [Float](repeating: 0, count: activations.count)
    for matrix in weights {
      for row in 0..<matrix.rows {
        for (column, value) in matrix.row(row).enumerated() { peaks[column] = max(peaks[column], abs(value)) }
      }
    }
    let logarithms = zip(activations, peaks).map { x, w -> Double? in
      guard x > 0, w > 0 else { return nil }
      return Double(exponent) * log(Double(x)) - (1 - Double(exponent)) * log(Double(w))
    }
    let known = logarithms.compactMap { $0 }
    guard !known.isEmpty else { return nil }
    let mean = known.reduce(0, +) / Double(known.count)
    // A scale beyond these bounds would leave one of the two sides without digits.
    return logarithms.map { Float(exp(min(max(($0 ?? mean) - mean, -9), 9))) }
  }

  /// The exponent with the smallest error on held-out tokens; nil when none is better than no scale.
  private func chosen(_ weights: [Matrix], _ observation: LayerObservation) throws -> Float? {
    let inputs = Matrix(
      rows: observation.heldOutTokens, columns: observation.width, elements: observation.heldOut.compressed
    ).sampled(ActivationSmoothing.sampleTokens)
    guard inputs.rows > 0 else { return nil }
    let samples = weights.map { $0.sampled(ActivationSmoothing.sampleRows) }
    let outputs = samples.map { RoundingSample.outputs($0, inputs: inputs.elements) }
    var best: (exponent: Float?, error: Double) = (
      nil, try ActivationSmoothing.error(nil, samples, inputs, outputs)
    )
    for exponent in ActivationSmoothing.exponents {
      guard
        let scale = ActivationSmoothing.scale(
          exponent, activations: observation.maxima, weights: weights)
      else { continue }
      let error = try ActivationSmoothing.error(scale, samples, inputs, outputs)
      if error < best.error { best = (exponent, error) }
    }
    return best.exponent
  }

  /// Σ over layers of ‖W x − Q(W diag s) Q(x / s)‖² / ‖W x‖², by the integer kernels that will run.
  private static func error(
    _ scale: [Float]?, _ weights: [Matrix], _ inputs: Matrix, _ outputs: [[Float]]
  ) throws -> Double {
    let x = scale.map { scale in inputs.scalingColumns(by: scale.map { 1 / $0 }) } ?? inputs
    var sum = 0.0
    for (matrix, expected) in zip(weights, outputs) {
      let scaled = scale.map { matrix.scalingColumns(by: $0) } ?? matrix
      let found = RoundingSample.integerOutputs(
        try TensorCoding.encode(scaled, format: .w8a8), rows: matrix.rows, columns: matrix.columns,
        inputs: x.elements)
      var (error, energy) = (0.0, 0.0)
      for (a, b) in zip(expected, found) {
        error += (Double(a) - Double(b)) * (Double(a) - Double(b))
        energy += Double(a) * Double(a)
      }
      if energy > 0 { sum += error / energy }
    }
    return sum
  }
}
