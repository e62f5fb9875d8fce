package import ModelFiles
package import TensorCore
import WeightCodecs

extension CalibrationSweep {
  /// Layers that share an input, and what they saw.
  package struct Step {
    /// The block, counted from 0; nil for embedding and output.
    package let block: Int?
    /// The layers of the original model.
    package let layers: [Layer]
    /// What they saw.
    package let observation: LayerObservation
    /// What a scale of the input's columns can be folded into, in single precision; see `BlockStep`.
    package let sources: [(name: String, weights: Matrix)]

    /// The layers whose outputs are wanted, where they are others than `layers`.
    package var originals: [Layer] = []

    /// A step of these parts.
    package init(
      block: Int?, layers: [Layer], observation: LayerObservation,
      sources: [(name: String, weights: Matrix)] = []
    ) {
      self.block = block
      self.layers = layers
      self.observation = observation
      self.sources = sources
    }
  }

  /// A layer's weights, decoded when they are asked for: all of them, or some rows.
  package struct Layer {
    /// The canonical name.
    package let name: String
    /// The number of outputs.
    package let rows: Int
    /// The number of inputs.
    package let columns: Int
    private let format: TensorFormat
    private let bytes: ByteRegion

    /// The layer of a stored tensor: a vector is one row.
    package init(_ tensor: StoredTensor) throws {
      name = tensor.name
      (rows, columns, format) = (tensor.rowCount, tensor.rowLength, tensor.format)
      bytes = try tensor.bytes.load()
    }

    /// A layer of these weights.
    package init(_ name: String, _ weights: Matrix) {
      self.name = name
      (rows, columns, format) = (weights.rows, weights.columns, .f32)
      bytes = weights.bytes
    }

    /// All weights, rows × columns.
    package var weights: Matrix {
      get throws { try TensorCoding.decode(bytes, format: format, rows: rows, columns: columns) }
    }

    /// Some rows, in the order of their places.
    package func weights(at places: [Int]) throws -> Matrix {
      guard format.trailerBytesPerColumn == 0, let line = format.byteCount(rows: 1, columns: columns) else {
        let all = try weights
        return Matrix(rows: places.count, columns: columns, elements: places.flatMap { Array(all.row($0)) })
      }
      let gathered = ByteRegion(count: places.count * line) { target in
        for (index, place) in places.enumerated() {
          UnsafeMutableRawBufferPointer(rebasing: target[index * line..<(index + 1) * line]).copyMemory(
            from: bytes.slice(place * line..<(place + 1) * line).buffer)
        }
      }
      return try TensorCoding.decode(gathered, format: format, rows: places.count, columns: columns)
    }

    /// The rows of a range.
    package func weights(_ range: Range<Int>) throws -> Matrix {
      guard format.trailerBytesPerColumn == 0, let line = format.byteCount(rows: 1, columns: columns) else {
        return try weights(at: Array(range))
      }
      return try TensorCoding.decode(
        bytes.slice(range.lowerBound * line..<range.upperBound * line), format: format, rows: range.count,
        columns: columns)
    }
  }

  /// A tensor in single precision.
  static func decoded(_ tensor: StoredTensor) throws -> StoredTensor {
    guard tensor.format != .f32 else { return tensor }
    return tensor.replaced(by: try matrix(tensor))
  }

  /// A tensor's numbers: a vector is one row.
  static func matrix(_ tensor: StoredTensor) throws -> Matrix {
    try TensorCoding.decode(
      try tensor.bytes.load(), format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength)
  }

  /// A tensor whose bytes are loaded once: in its own format where floats are multiplied as they are, else in single
  /// precision, so that the original's activations are never rounded to int8.
  static func loaded(_ tensor: StoredTensor) throws -> StoredTensor {
    guard tensor.format.isFloat else { return try decoded(tensor) }
    var result = tensor
    result.bytes = TensorBytes(try tensor.bytes.load())
    return result
  }
}
