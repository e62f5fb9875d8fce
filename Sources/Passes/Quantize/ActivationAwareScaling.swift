import Foundation
package import ModelFiles
package import TensorCore
import WeightCodecs

/// Columns scaled up before rounding where inputs are large, the scale folded into what makes the inputs: AWQ (arXiv 2306.00978).
///
/// y = W x = (W diag s)(x / s). The scale s_j = a_j^r / b_j^(1−r), with a the root mean square of input j and b the mean
/// magnitude of column j relative to its row's, is chosen among twenty exponents r by E ‖(W − Q(W diag s) diag(1/s)) x‖²,
/// all of the covariance counting, not only its diagonal.
package struct ActivationAwareScaling {
  /// The exponents that are tried, from 0 (no scaling by activations) on.
  private static let exponents = (0..<20).map { Float($0) / 20 }
  /// The rows of each layer that the error is measured on.
  private static let sampleRows = 256

  let formats: [String: TensorFormat]
  let stored: [String: StoredTensor]

  /// Scaling for layers that will be stored in `formats`.
  package init(formats: [String: TensorFormat], stored: [String: StoredTensor]) {
    self.formats = formats
    self.stored = stored
  }

  /// The tensors that change, in single precision: the step's layers scaled up, what makes their inputs scaled down.
  ///
  /// Nothing changes when no scale is better than none, or when there is nothing to fold it into.
  package func scaled(_ step: CalibrationSweep.Step) throws -> [StoredTensor] {
    let layers = step.layers.filter { layer in
      formats[layer.name].map { CodecList.gridCodec(for: $0) != nil && $0 != stored[layer.name]?.format }
        ?? false
    }
    guard !step.sources.isEmpty, layers.count == step.layers.count, step.observation.tokens > 0,
      let scale = try bestScale(layers, step.observation)
    else { return [] }
    return try step.scaled(by: scale, stored: stored)
  }

  private func bestScale(
    _ layers: [CalibrationSweep.Layer], _ observation: LayerObservation
  ) throws -> [Float]? {
    let samples = try layers.map { layer in
      (
        format: formats[layer.name] ?? .q4_k,
        weights: try layer.weights(
          at: Matrix.sampledPlaces(layer.rows, ActivationAwareScaling.sampleRows))
      )
    }
    let activity = observation.diagonal.map { max($0, 1e-12).squareRoot() }
    let magnitude = ActivationAwareScaling.magnitude(samples.map(\.weights))
    let none = [Float](repeating: 1, count: observation.width)
    var best: (scale: [Float]?, error: Double) = (
      nil, try error(of: none, samples, observation.gram)
    )
    for exponent in ActivationAwareScaling.exponents {
      let raw = zip(activity, magnitude).map { a, b in
        max(1e-4, pow(a, exponent) / (pow(b, 1 - exponent) + 1e-4))
      }
      let (low, high) = (raw.min() ?? 1, raw.max() ?? 1)
      let scale = raw.map { $0 / (low * high).squareRoot() }
      guard scale.allSatisfy({ $0.isFinite && $0 > 0 }) else { continue }
      let error = try error(of: scale, samples, observation.gram)
      if error < best.error { best = (scale, error) }
    }
    return best.scale
  }

  /// The mean over rows of |w| relative to the row's largest.
  private static func magnitude(_ matrices: [Matrix]) -> [Float] {
    let columns = matrices.first?.columns ?? 0
    var sums = [Float](repeating: 0, count: columns)
    var rows = 0
    for matrix in matrices {
      for row in 0..<matrix.rows {
        let values = matrix.row(row)
        let peak = values.reduce(0) { max($0, abs($1)) }
        guard peak > 0 else { continue }
        for (column, value) in values.enumerated() { sums[column] += abs(value) / peak }
        rows += 1
      }
    }
    return sums.map { $0 / Float(max(1, rows)) }
  }

  /// E ‖(W − Q(W diag s) diag(1/s)) x‖² over the samples.
  private func error(
    of scale: [Float], _ samples: [(format: TensorFormat, weights: Matrix)], _ gram: [Float]
  ) throws -> Double {
    var sum = 0.0
    for (format, weights) in samples {
      let scaled = weights.scalingColumns(by: scale)
      let bytes = try TensorCoding.encode(scaled, format: format)
      var error = try TensorCoding.decode(bytes, format: format, rows: weights.rows, columns: weights.columns)
      for place in error.elements.indices {
        error.elements[place] =
          error.elements[place] / scale[place % weights.columns] - weights.elements[place]
      }
      sum += error.quadraticForm(gram)
    }
    return sum
  }
}
