package import TensorCore

/// Weights that suit a mask best: conjugate gradients among the kept weights for tr G (V − Q) H (V − Q)ᵀ → min.
///
/// Preconditioned by the diagonals of G and H. Where outputs are independent, each row has steps of its own.
package struct MaskedRefit {
  /// V, rows × columns.
  let target: Matrix
  /// H with its ridge, columns × columns.
  let gram: [Float]
  /// G, rows × rows; nil where outputs are independent.
  let outputs: [Float]?

  /// Products of a matrix from the left with G; from the right with H.
  private let rows, columns: Int
  private let inverseDiagonal: [Float]
  private let inverseOutputs: [Float]

  /// A problem.
  package init(target: Matrix, gram: [Float], outputs: [Float]? = nil) {
    self.target = target
    self.gram = gram
    self.outputs = outputs
    (rows, columns) = (target.rows, target.columns)
    let (n, m) = (target.columns, target.rows)
    func inverse(_ value: Float) -> Float { value > 0 && (1 / value).isFinite ? 1 / value : 0 }
    inverseDiagonal = (0..<n).map { inverse(gram[$0 * n + $0]) }
    inverseOutputs = outputs.map { g in (0..<m).map { inverse(g[$0 * m + $0]) } } ?? []
  }

  /// The kept weights after `iterations` steps from `start`, zeros where `mask` drops.
  package func refit(from start: Matrix, mask: PruneMask, iterations: Int) -> Matrix {
    var q = mask.applied(to: start).elements
    var r = zip(target.elements, q).map { $0 - $1 }
    r = applied(r, mask)
    var z = preconditioned(r)
    var p = z
    var rz = dots(r, z)
    for _ in 0..<iterations {
      let ap = applied(p, mask)
      let steps = zip(rz, dots(p, ap)).map { $1 > 0 && $0 > 0 ? Float($0 / $1) : 0 }
      guard steps.contains(where: { $0 != 0 }) else { break }
      add(steps, p, to: &q)
      add(steps.map { -$0 }, ap, to: &r)
      z = preconditioned(r)
      let next = dots(r, z)
      let factors = zip(next, rz).map { $1 > 0 ? Float($0 / $1) : 0 }
      // p = z + factor · p.
      add(factors, p, to: &z)
      p = z
      rz = next
    }
    return mask.applied(to: Matrix(rows: rows, columns: columns, elements: q))
  }

  /// tr G (V − Q) H (V − Q)ᵀ.
  package func loss(of q: Matrix) -> Double {
    let e = zip(target.elements, q.elements).map { $0 - $1 }
    return dots(e, applied(e, nil)).reduce(0, +)
  }

  /// (G · x · H) where the mask keeps.
  private func applied(_ x: [Float], _ mask: PruneMask?) -> [Float] {
    var result = product(x, gram, rows: rows, inner: columns, columns: columns)
    if let outputs { result = product(outputs, result, rows: rows, inner: rows, columns: columns) }
    if let mask { for place in mask.dropped.indices where mask.dropped[place] { result[place] = 0 } }
    return result
  }

  private func product(_ a: [Float], _ b: [Float], rows: Int, inner: Int, columns: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: rows * columns) { target, count in
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          guard let a = a.baseAddress, let b = b.baseAddress, let c = target.baseAddress else { return }
          LinearAlgebra.multiply(a, b, transposed: false, rows: rows, inner: inner, columns: columns, into: c)
        }
      }
      count = rows * columns
    }
  }

  private func preconditioned(_ r: [Float]) -> [Float] {
    var result = r
    result.withUnsafeMutableBufferPointer { result in
      inverseDiagonal.withUnsafeBufferPointer { diagonal in
        guard let base = result.baseAddress, let d = diagonal.baseAddress else { return }
        for row in 0..<rows {
          Kernels.multiply(d, into: base + row * columns, count: columns)
          if !inverseOutputs.isEmpty {
            Kernels.scale(base + row * columns, by: inverseOutputs[row], count: columns)
          }
        }
      }
    }
    return result
  }

  /// ⟨a, b⟩ of each row, or of the whole matrices for every row where outputs depend on each other.
  private func dots(_ a: [Float], _ b: [Float]) -> [Double] {
    var result = [Double](repeating: 0, count: rows)
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        guard let a = a.baseAddress, let b = b.baseAddress else { return }
        for row in 0..<rows {
          result[row] = Kernels.dotWide(a + row * columns, b + row * columns, count: columns)
        }
      }
    }
    guard outputs != nil else { return result }
    return [Double](repeating: result.reduce(0, +), count: rows)
  }

  /// y += factor · x, a factor a row.
  private func add(_ factors: [Float], _ x: [Float], to y: inout [Float]) {
    x.withUnsafeBufferPointer { x in
      y.withUnsafeMutableBufferPointer { y in
        guard let x = x.baseAddress, let y = y.baseAddress else { return }
        for row in 0..<rows {
          Kernels.addScaled(factors[row], x + row * columns, to: y + row * columns, count: columns)
        }
      }
    }
  }
}
