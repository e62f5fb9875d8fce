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
    package internal(set) var decays: Bool
    /// Whether zeros stay zero.
    package let isSparse: Bool
    /// How trained weights are stored.
    let format: TensorFormat
    /// What the learning rate is multiplied by.
    var rate = 1.0
    /// Whether the numbers are codes: their gradients are small, being multiplied by scales.
    var isCoded = false
    /// The number of elements.
    package var count: Int { shape.reduce(1, *) }
  }

  /// The tensors, in the checkpoint's order.
  package internal(set) var entries: [Entry]
  /// The number of all elements.
  package private(set) var count: Int
  private var places: [String: Int]

  /// Nothing yet.
  init() {
    entries = []
    count = 0
    places = [:]
  }

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

  /// Adds numbers behind all there is: factors of a quantized matrix's scales, or others.
  mutating func append(_ name: String, count: Int, rate: Double, isCoded: Bool = true) {
    places[name] = entries.count
    var entry = Entry(
      name: name, shape: [count], offset: self.count, decays: false, isSparse: false, format: .f32)
    (entry.rate, entry.isCoded) = (rate, isCoded)
    entries.append(entry)
    self.count += count
  }

  /// `checkpoint` with these weights, in the formats that its tensors have, or in bfloat16 where those are quantized.
  ///
  /// - Parameter names: those that change; nil for all.
  /// - Throws: ``CodingError`` when weights cannot be stored.
  package func storing(
    _ weights: NumberBuffer<Float>, in checkpoint: Checkpoint, only names: Set<String>? = nil
  ) throws -> Checkpoint {
    var result = checkpoint
    for place in result.tensors.indices {
      let tensor = result.tensors[place]
      guard let entry = self[tensor.name], names?.contains(tensor.name) ?? true else { continue }
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
    for entry in entries { round(entry, weights, into: result) }
    return result
  }

  /// One tensor's weights as they will be stored.
  func round(_ entry: Entry, _ weights: NumberBuffer<Float>, into result: NumberBuffer<Float>) {
    let piece = 1 << 15
    Parallel.forEach((entry.count + piece - 1) / piece) { index in
      let start = index * piece
      let (place, size) = (entry.offset + start, min(piece, entry.count - start))
      withUnsafeTemporaryAllocation(byteCount: size * 4, alignment: 64) { bytes in
        guard let base = bytes.baseAddress else { return }
        Kernels.encode(weights.base + place, as: entry.format, into: base, count: size)
        Kernels.decode(base, as: entry.format, into: result.base + place, count: size)
      }
    }
  }
}
