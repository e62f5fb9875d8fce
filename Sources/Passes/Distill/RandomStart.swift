import ModelFiles
import Models
import TensorCore
import Training
import WeightCodecs

/// Weights that know nothing: what a model is trained from when it is not a part of another.
///
/// Matrices are normal numbers of deviation 0.02, less by √(2 · blocks) in what is added to the residual stream; norms are ones,
/// biases zeros. Numbers depend on the seed and the tensor's name alone, and come of additions and multiplications, the same on
/// every machine.
enum RandomStart {
  /// `checkpoint` with drawn weights.
  ///
  /// - Throws: `CodingError` when they cannot be stored.
  static func drawn(_ checkpoint: Checkpoint, seed: UInt64) throws -> Checkpoint {
    let blocks = (checkpoint.architecture as? any ResizableArchitecture)?.blockCount ?? 1
    let added = 0.02 / (2 * Double(max(1, blocks))).squareRoot()
    var result = checkpoint
    for place in result.tensors.indices {
      let tensor = result.tensors[place]
      let role = checkpoint.role(of: tensor)
      let values: [Float]
      if tensor.shape.count > 1 {
        values = numbers(
          tensor.elementCount, role == .down || role == .attentionOutput ? added : 0.02,
          seed: seed ^ hash(tensor.name))
      } else {
        values = [Float](repeating: tensor.name.hasSuffix(".bias") ? 0 : 1, count: tensor.elementCount)
      }
      let format = ParameterLayout.storedFormat(tensor.format)
      let matrix = Matrix(rows: tensor.rowCount, columns: tensor.rowLength, elements: values)
      result.tensors[place].format = format
      result.tensors[place].bytes = TensorBytes(try TensorCoding.encode(matrix, format: format))
    }
    return result
  }

  /// Normal numbers, about: sums of twelve even ones.
  private static func numbers(_ count: Int, _ deviation: Double, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in
      var sum = -6.0
      for _ in 0..<12 { sum += generator.uniform() }
      return Float(sum * deviation)
    }
  }

  /// FNV-1a.
  private static func hash(_ name: String) -> UInt64 {
    name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}
