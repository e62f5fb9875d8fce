import ModelFiles
import TensorCore
import WeightCodecs

/// Some rows of a layer, and their outputs on held-out tokens: what results of rounding are told apart by.
struct RoundingSample {
  /// The rows' weights.
  let weights: Matrix
  private let format: TensorFormat
  private let inputs: [Float]
  /// The outputs, tokens × rows, of the original rows on the original inputs.
  private let outputs: [Float]
  private let energy: Double

  /// The sample of rows that will be stored in `format`.
  ///
  /// - Parameter wanted: the rows whose outputs are wanted, where those are others.
  init(
    _ weights: Matrix, wanted: Matrix? = nil, heldOut: (original: [Float], compressed: [Float]),
    format: TensorFormat
  ) {
    (self.weights, self.format, inputs) = (weights, format, heldOut.compressed)
    outputs = RoundingSample.outputs(wanted ?? weights, inputs: heldOut.original)
    energy = outputs.reduce(0) { $0 + Double($1) * Double($1) }
  }

  /// ‖W X − Q X′‖² / ‖W X‖² on held-out tokens, X′ rounded as the format has it; nil when there are none.
  func error(of bytes: ByteRegion) throws -> Double? {
    guard energy > 0 else { return nil }
    let (rows, columns) = (weights.rows, weights.columns)
    let rounded =
      format == .w8a8
      ? RoundingSample.integerOutputs(bytes, rows: rows, columns: columns, inputs: inputs)
      : RoundingSample.outputs(
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
