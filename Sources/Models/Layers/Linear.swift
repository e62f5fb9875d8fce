package import ModelFiles
package import TensorCore

/// A linear layer: y = W x + b, with W in its stored format.
package struct Linear: Sendable {
  /// The weights, one row an output.
  package let weight: WeightMatrix
  /// One number an output, or nil.
  package let bias: FloatVector?

  /// The number of outputs.
  package var outputs: Int { weight.rows }
  /// The number of inputs.
  package var inputs: Int { weight.columns }
  /// The bytes that one use of the layer reads.
  package var byteCount: Int { weight.byteCount + (bias?.values.count ?? 0) * 4 }

  /// The layer of the tensors `name`.weight and, if there, `name`.bias.
  package init(_ checkpoint: TensorLookup, _ name: String) throws {
    weight = try checkpoint.matrix(name + ".weight")
    bias = try checkpoint.vectorIfPresent(name + ".bias")
  }

  private init(weight: WeightMatrix, bias: FloatVector?) { (self.weight, self.bias) = (weight, bias) }

  /// The same layer with its zeros stored (``WeightMatrix/withWholeRows``).
  package var withWholeRows: Linear { Linear(weight: weight.withWholeRows, bias: bias) }

  /// y[t] = W x[t] + b for each of `tokens` rows.
  package func apply(
    _ x: UnsafePointer<Float>, tokens: Int, into y: UnsafeMutablePointer<Float>,
    scratch: ActivationScratch? = nil
  ) {
    weight.multiply(x, tokens: tokens, into: y, scratch: scratch)
    addBias(to: y, tokens: tokens)
  }

  /// y[t] += b, if there is a bias.
  package func addBias(to y: UnsafeMutablePointer<Float>, tokens: Int) {
    guard let bias else { return }
    let outputs = outputs
    nonisolated(unsafe) let y = y
    Parallel.forEach(tokens, work: tokens * outputs) { token in
      Kernels.add(bias.values, to: y + token * outputs, count: outputs)
    }
  }
}

/// A vector of weights as floats.
package struct FloatVector: Sendable {
  /// The numbers.
  package let values: [Float]
}

/// Finds a model's tensors by canonical name.
package struct TensorLookup: Sendable {
  private let tensors: [String: StoredTensor]
  private let path: String
  private var roundsActivations = false
  /// Matrices that were loaded ahead.
  private var matrices: [String: WeightMatrix] = [:]

  /// The tensors of `checkpoint`.
  package init(_ checkpoint: Checkpoint) {
    self.init(checkpoint.tensors, path: checkpoint.source.path)
    roundsActivations = checkpoint.roundsActivations
  }

  /// `tensors` of the model at `path`.
  ///
  /// - Parameter roundsActivations: whether activations of 16-bit weights may be rounded, too (``WeightMatrix``).
  package init(_ tensors: [StoredTensor], path: String, roundsActivations: Bool = false) {
    self.roundsActivations = roundsActivations
    self.tensors = Dictionary(tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    self.path = path
  }

  /// A tensor that has to be there.
  package func tensor(_ name: String) throws -> StoredTensor {
    guard let tensor = tensors[name] else {
      throw ModelError(.missingTensor, path, "tensor '\(name)' is missing")
    }
    return tensor
  }

  /// The same tensors, of which those of two dimensions that `isWanted` are loaded, several at a time and each on one thread: most
  /// tensors of an artifact have too few frames to share one among threads evenly.
  func loadingMatrices(_ isWanted: (String) -> Bool, of checkpoint: Checkpoint) throws -> TensorLookup {
    let names = checkpoint.tensors.filter { $0.shape.count == 2 && isWanted($0.name) }.map(\.name)
    guard Parallel.threadCount > 1, names.count >= 4 * Parallel.threadCount else { return self }
    let loaded = Locked([String: WeightMatrix](minimumCapacity: names.count))
    try Parallel.forEachThrowing(names.count) { index in
      let matrix = try matrix(names[index])
      loaded.withLock { $0[names[index]] = matrix }
    }
    var result = self
    result.matrices = loaded.withLock { $0 }
    return result
  }

  /// A matrix in its stored format.
  package func matrix(_ name: String) throws -> WeightMatrix {
    if let loaded = matrices[name] { return loaded }
    let tensor = try tensor(name)
    let bytes = try tensor.bytes.load()
    guard tensor.shape.count == 2, tensor.format.isWeight,
      tensor.format.byteCount(rows: tensor.rowCount, columns: tensor.rowLength) == bytes.count
    else {
      throw ModelError(.wrongShape, path, "tensor '\(name)' (\(tensor.shapeText)) is no matrix of weights")
    }
    return WeightMatrix(
      rows: tensor.rowCount, columns: tensor.rowLength, format: tensor.format, bytes: bytes,
      roundsActivations: roundsActivations)
  }

  /// A vector, decoded.
  package func vector(_ name: String) throws -> FloatVector { FloatVector(values: try tensor(name).values()) }

  /// A vector that may be missing.
  package func vectorIfPresent(_ name: String) throws -> FloatVector? {
    tensors[name] == nil ? nil : try vector(name)
  }
}
