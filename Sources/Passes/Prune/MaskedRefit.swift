package import TensorCore

/// Weights that suit a mask best: conjugate gradients among the kept weights for tr (V − Q) H (V − Q)ᵀ → min.
///
/// Preconditioned by the diagonal of H. Each row has steps of its own.
package struct MaskedRefit {
  /// V, rows × columns.
  let target: Matrix
  private let rows, columns: Int
  private let gram: Gram

  /// H, ready to be multiplied by: what matrices with one input share.
  package struct Gram: Sendable {
    fileprivate let matrix: WeightMatrix
    fileprivate let inverseDiagonal: [Float]

    /// The covariance of inputs with its ridge.
    ///
    /// - Parameters:
    ///   - numbers: columns × columns, symmetric.
    ///   - isRounded: whether products may be in bfloat16 where the processor has it: a few steps are no worse for it, and take half as
    ///     long; many steps come to rest where its noise begins.
    package init(_ numbers: [Float], columns: Int, isRounded: Bool = false) {
      let format = isRounded ? TensorFormat.bf16 : .f32
      let bytes = ByteRegion(count: numbers.count * format.bytesPerBlock) { target in
        if let base = target.baseAddress {
          Kernels.encode(numbers, as: format, into: base, count: numbers.count)
        }
      }
      matrix = WeightMatrix(
        rows: columns, columns: columns, format: format, bytes: bytes, roundsActivations: isRounded)
      inverseDiagonal = (0..<columns).map { place in
        let value = numbers[place * columns + place]
        return value > 0 && (1 / value).isFinite ? 1 / value : 0
      }
    }
  }

  /// A problem.
  package init(target: Matrix, gram: Gram) {
    (self.target, self.gram) = (target, gram)
    (rows, columns) = (target.rows, target.columns)
  }

  /// The kept weights after `iterations` steps from `start`, zeros where `mask` drops.
  package func refit(from start: Matrix, mask: PruneMask, iterations: Int) -> Matrix {
    var q = mask.applied(to: start).elements
    guard iterations > 0 else { return Matrix(rows: rows, columns: columns, elements: q) }
    var r = target.elements
    add([Float](repeating: -1, count: rows), q, to: &r)
    r = applied(r, mask)
    var p = preconditioned(r)
    var rz = dots(r, p)
    for _ in 0..<iterations {
      let ap = applied(p, mask)
      let steps = zip(rz, dots(p, ap)).map { $1 > 0 && $0 > 0 ? Float($0 / $1) : 0 }
      guard steps.contains(where: { $0 != 0 }) else { break }
      add(steps, p, to: &q)
      add(steps.map { -$0 }, ap, to: &r)
      var z = preconditioned(r)
      let next = dots(r, z)
      // p = z + factor · p.
      add(zip(next, rz).map { $1 > 0 ? Float($0 / $1) : 0 }, p, to: &z)
      (p, rz) = (z, next)
    }
    return mask.applied(to: Matrix(rows: rows, columns: columns, elements: q))
  }

  /// tr (V − Q) H (V − Q)ᵀ.
  package func loss(of q: Matrix) -> Double {
    let e = zip(target.elements, q.elements).map { $0 - $1 }
    return dots(e, applied(e, nil)).reduce(0, +)
  }

  /// x · H where the mask keeps.
  private func applied(_ x: [Float], _ mask: PruneMask?) -> [Float] {
    [Float](unsafeUninitializedCapacity: rows * columns) { target, count in
      count = rows * columns
      x.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress, let y = target.baseAddress else { return }
        gram.matrix.multiply(x, tokens: rows, into: y)
        mask?.clear(y)
      }
    }
  }

  private func preconditioned(_ r: [Float]) -> [Float] {
    var result = r
    let columns = columns
    result.withUnsafeMutableBufferPointer { result in
      gram.inverseDiagonal.withUnsafeBufferPointer { diagonal in
        guard let base = result.baseAddress, let d = diagonal.baseAddress else { return }
        nonisolated(unsafe) let (values, factors) = (base, d)
        Parallel.forEach(rows) { row in
          Kernels.multiply(factors, into: values + row * columns, count: columns)
        }
      }
    }
    return result
  }

  /// ⟨a, b⟩ of each row.
  private func dots(_ a: [Float], _ b: [Float]) -> [Double] {
    let (rows, columns) = (rows, columns)
    return [Double](unsafeUninitializedCapacity: rows) { result, count in
      count = rows
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          guard let a = a.baseAddress, let b = b.baseAddress, let sums = result.baseAddress else { return }
          nonisolated(unsafe) let (left, right, target) = (a, b, sums)
          Parallel.forEach(rows) { row in
            (target + row).initialize(
              to: Kernels.dotWide(left + row * columns, right + row * columns, count: columns))
          }
        }
      }
    }
  }

  /// y += factor · x, a factor a row.
  private func add(_ factors: [Float], _ x: [Float], to y: inout [Float]) {
    let columns = columns
    x.withUnsafeBufferPointer { x in
      y.withUnsafeMutableBufferPointer { y in
        guard let x = x.baseAddress, let y = y.baseAddress else { return }
        nonisolated(unsafe) let (source, target) = (x, y)
        Parallel.forEach(factors.count) { row in
          Kernels.addScaled(factors[row], source + row * columns, to: target + row * columns, count: columns)
        }
      }
    }
  }
}
