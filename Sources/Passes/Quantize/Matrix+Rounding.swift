import ModelFiles
import TensorCore

extension Matrix {
  /// Up to `count` of the rows, at even distances.
  func sampled(_ count: Int) -> Matrix {
    guard rows > count else { return self }
    let chosen = Matrix.sampledPlaces(rows, count)
    return Matrix(rows: count, columns: columns, elements: chosen.flatMap { Array(row($0)) })
  }

  /// The places of ``sampled(_:)``.
  static func sampledPlaces(_ rows: Int, _ count: Int) -> [Int] {
    rows > count ? (0..<count).map { ($0 * 2 + 1) * rows / (2 * count) } : Array(0..<rows)
  }

  /// tr A G Aᵀ: Σ over rows a of a G aᵀ.
  ///
  /// - Parameter gram: columns × columns.
  func quadraticForm(_ gram: [Float]) -> Double {
    var product = [Float](repeating: 0, count: elements.count)
    elements.withUnsafeBufferPointer { a in
      gram.withUnsafeBufferPointer { b in
        product.withUnsafeMutableBufferPointer { c in
          guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress else { return }
          LinearAlgebra.multiply(
            a, b, transposed: false, rows: rows, inner: columns, columns: columns, into: c)
        }
      }
    }
    return zip(elements, product).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  /// Each column times its number.
  func scalingColumns(by scale: [Float]) -> Matrix {
    var result = self
    for place in result.elements.indices { result.elements[place] *= scale[place % columns] }
    return result
  }

  /// The numbers' bytes.
  var bytes: ByteRegion {
    elements.withUnsafeBytes { source in ByteRegion(count: source.count) { $0.copyMemory(from: source) } }
  }
}

extension StoredTensor {
  /// The tensor with other numbers, in single precision.
  func replaced(by matrix: Matrix) -> StoredTensor {
    var result = self
    result.format = .f32
    result.bytes = TensorBytes(matrix.bytes)
    return result
  }
}

extension CalibrationSweep.Step {
  /// The tensors of a step, in single precision, with the layers' columns times `scale` and what makes their inputs divided
  /// by it.
  func scaled(by scale: [Float], stored: [String: StoredTensor]) throws -> [StoredTensor] {
    var result = try layers.compactMap { layer in
      try stored[layer.name].map { $0.replaced(by: try layer.weights.scalingColumns(by: scale)) }
    }
    for (name, matrix) in sources {
      var divided = matrix
      // A vector has one number an input, a matrix one row.
      let run = max(1, matrix.elements.count / max(1, scale.count))
      for place in divided.elements.indices { divided.elements[place] /= scale[place / run] }
      if let tensor = stored[name] { result.append(tensor.replaced(by: divided)) }
    }
    return result
  }
}
