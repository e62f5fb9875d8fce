package import ModelFiles
package import Models
package import TensorCore
import WeightCodecs

/// Where each tensor of a model lies in one run of numbers: weights, gradients and moments all have this layout.
package struct ParameterLayout: Sendable {
  /// One tensor.
  package struct Entry: Sendable {
    package let name: String
    package let shape: [Int]
    package let offset: Int
    /// Whether weights decay: layers' matrices do; norms and biases do not, nor embeddings, whose rows for tokens that the text
    /// lacks would only shrink.
    package let decays: Bool
    /// Whether zeros stay zero.
    package let isSparse: Bool
    /// How trained weights are stored.
    let format: TensorFormat
    /// The number of elements.
    package var count: Int { shape.reduce(1, *) }
  }

  /// The tensors, in the checkpoint's order.
  package let entries: [Entry]
  /// The number of all elements.
  package let count: Int
  private let places: [String: Int]

  /// The layout of a checkpoint's tensors.
  package init(_ checkpoint: Checkpoint) {
    let embeddings: Set<TensorRole> = [.tokenEmbedding, .positionEmbedding, .typeEmbedding]
    var (entries, end) = ([Entry](), 0)
    for tensor in checkpoint.tensors {
      entries.append(
        Entry(
          name: tensor.name, shape: tensor.shape, offset: end,
          decays: tensor.shape.count > 1 && !embeddings.contains(checkpoint.role(of: tensor)),
          isSparse: tensor.isSparse, format: ParameterLayout.storedFormat(tensor.format)))
      end += tensor.elementCount
    }
    self.entries = entries
    count = end
    places = Dictionary(entries.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The tensor of a name.
  package subscript(_ name: String) -> Entry? { places[name].map { entries[$0] } }

  /// The weights of a checkpoint of this layout.
  ///
  /// - Throws: what loading throws; ``ModelError`` when a tensor holds no weights.
  package func weights(of checkpoint: Checkpoint) throws -> NumberBuffer<Float> {
    let result = NumberBuffer<Float>(count, isZeroed: false)
    for tensor in checkpoint.tensors {
      guard let entry = self[tensor.name], entry.shape == tensor.shape else {
        throw ModelError(
          .wrongShape, checkpoint.source.path, "tensor '\(tensor.name)' has another shape than expected")
      }
      let values = try tensor.values()
      values.withUnsafeBufferPointer {
        if let from = $0.baseAddress { (result.base + entry.offset).update(from: from, count: entry.count) }
      }
    }
    return result
  }

  /// `checkpoint` with these weights, in the formats that its tensors have, or in bfloat16 where those are quantized.
  ///
  /// - Throws: ``CodingError`` when weights cannot be stored.
  package func storing(_ weights: NumberBuffer<Float>, in checkpoint: Checkpoint) throws -> Checkpoint {
    var result = checkpoint
    for place in result.tensors.indices {
      let tensor = result.tensors[place]
      guard let entry = self[tensor.name] else { continue }
      let format = ParameterLayout.storedFormat(tensor.format)
      let elements = Array(UnsafeBufferPointer(start: weights.base + entry.offset, count: entry.count))
      let matrix = Matrix(rows: tensor.rowCount, columns: tensor.rowLength, elements: elements)
      result.tensors[place].format = format
      result.tensors[place].stream = .plain
      result.tensors[place].bytes = TensorBytes(try TensorCoding.encode(matrix, format: format))
    }
    return result
  }

  /// The format that trained weights of a tensor are stored in.
  package static func storedFormat(_ format: TensorFormat) -> TensorFormat {
    [.f32, .f16, .bf16].contains(format) ? format : .bf16
  }
}

extension ParameterLayout {
  /// The weights as they will be stored.
  func rounded(_ weights: NumberBuffer<Float>) -> NumberBuffer<Float> {
    let result = NumberBuffer<Float>(count, isZeroed: false)
    let pieces = entries.flatMap { entry in
      stride(from: 0, to: entry.count, by: 1 << 15).map { (entry, $0) }
    }
    Parallel.forEach(pieces.count) { index in
      let (entry, start) = pieces[index]
      let (place, size) = (entry.offset + start, min(1 << 15, entry.count - start))
      withUnsafeTemporaryAllocation(byteCount: size * 4, alignment: 64) { bytes in
        guard let base = bytes.baseAddress else { return }
        Kernels.encode(weights.base + place, as: entry.format, into: base, count: size)
        Kernels.decode(base, as: entry.format, into: result.base + place, count: size)
      }
    }
    return result
  }
}
