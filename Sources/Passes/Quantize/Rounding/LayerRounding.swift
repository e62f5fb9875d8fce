import ModelFiles
import TensorCore
import WeightCodecs

/// Rounds one layer's weights to a format by what its inputs were seen to be, and says how well.
struct LayerRounding {
  /// A rounded matrix.
  struct Result {
    var bytes: ByteRegion
    var outcome: TensorOutcome
  }

  /// The weights that are rounded, rows × columns.
  let weights: Matrix
  /// What the layer saw.
  let observation: LayerObservation
  /// The factored covariance, shared by layers with one input.
  let factor: FeedbackFactor
  /// The weights that are zero and stay so; nil in a dense matrix.
  private let zeros: [Bool]?
  /// The outputs on held-out tokens, tokens × rows, of the original layer on the original inputs.
  private let outputs: [Float]
  private let energy: Double

  init(_ weights: Matrix, observation: LayerObservation, factor: FeedbackFactor) {
    self.weights = weights
    self.observation = observation
    self.factor = factor
    zeros = weights.prunedWeights
    outputs = LayerRounding.outputs(weights, inputs: observation.heldOut.original)
    energy = outputs.reduce(0) { $0 + Double($1) * Double($1) }
  }

  /// The target for a blend: W + a (V − W).
  func target(blend: Float, movement: [Float]) -> Matrix {
    var result = weights
    guard blend != 0, movement.count == result.elements.count else { return result }
    movement.withUnsafeBufferPointer { movement in
      result.elements.withUnsafeMutableBufferPointer { target in
        guard let d = movement.baseAddress, let w = target.baseAddress else { return }
        Kernels.addScaled(blend, d, to: w, count: target.count)
      }
    }
    return result
  }

  /// `target` rounded with error feedback: scales by `importance`, then codes.
  func rounded(
    _ target: Matrix, codec: any GridCodec, importance: [Float]?, sweeps: Int
  ) throws -> ByteRegion {
    let (rows, columns) = (target.rows, target.columns)
    var target = target
    if let zeros { for place in zeros.indices where zeros[place] { target.elements[place] = 0 } }
    let plain = try TensorCoding.encode(target, format: codec.format, importance: importance)
    let grids = RowGrids(of: plain, codec: codec, rows: rows, columns: columns)
    let codes = ErrorFeedback(factor: factor, grids: grids).round(target, sweeps: sweeps, zeros: zeros)
    return ByteRegion(count: plain.count) { bytes in
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

  /// ‖W X − Q X′‖² / ‖W X‖² on held-out tokens, X′ rounded as the format has it; nil when there are none.
  func heldOutError(of bytes: ByteRegion, format: TensorFormat) throws -> Double? {
    guard energy > 0 else { return nil }
    let (rows, columns, inputs) = (weights.rows, weights.columns, observation.heldOut.compressed)
    let rounded =
      format == .w8a8
      ? LayerRounding.integerOutputs(bytes, rows: rows, columns: columns, inputs: inputs)
      : LayerRounding.outputs(
        try TensorCoding.decode(bytes, format: format, rows: rows, columns: columns), inputs: inputs)
    var sum = 0.0
    for (a, b) in zip(outputs, rounded) {
      let difference = Double(a) - Double(b)
      sum += difference * difference
    }
    return sum / energy
  }

  /// Q(X) Qᵀ of a matrix in `w8a8`, as it runs.
  static func integerOutputs(_ bytes: ByteRegion, rows: Int, columns: Int, inputs: [Float]) -> [Float] {
    let matrix = WeightMatrix(rows: rows, columns: columns, format: .w8a8, bytes: bytes)
    let tokens = inputs.count / max(1, columns)
    return [Float](unsafeUninitializedCapacity: tokens * rows) { target, count in
      inputs.withUnsafeBufferPointer { inputs in
        guard let x = inputs.baseAddress, let y = target.baseAddress else { return }
        matrix.multiply(x, tokens: tokens, into: y)
      }
      count = tokens * rows
    }
  }

  /// X Wᵀ.
  static func outputs(_ weights: Matrix, inputs: [Float]) -> [Float] {
    let tokens = inputs.count / max(1, weights.columns)
    return [Float](unsafeUninitializedCapacity: tokens * weights.rows) { target, count in
      inputs.withUnsafeBufferPointer { inputs in
        weights.elements.withUnsafeBufferPointer { weights_ in
          guard let x = inputs.baseAddress, let w = weights_.baseAddress, let y = target.baseAddress else {
            return
          }
          LinearAlgebra.multiply(
            x, w, transposed: true, rows: tokens, inner: weights.columns, columns: weights.rows, into: y)
        }
      }
      count = tokens * weights.rows
    }
  }
}
