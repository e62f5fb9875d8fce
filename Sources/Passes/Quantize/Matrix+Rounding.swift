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
