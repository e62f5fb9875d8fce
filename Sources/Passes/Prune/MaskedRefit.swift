import Models
package import TensorCore

/// Weights that suit a mask best: conjugate gradients among the kept weights for tr (V − Q) H (V − Q)ᵀ → min.
///
/// Preconditioned by the diagonal of H. Each row has steps of its own.
package struct MaskedRefit {
  /// V, or W where there is a pull: rows × columns.
  let target: Matrix
  /// (V − W) H, or nothing where V is the target itself.
  let pull: [Float]
  private let rows, columns: Int
  private let gram: Gram

  /// H, ready to be multiplied by: what matrices with one input share.
  package struct Gram: Sendable {
    fileprivate let matrix: WeightMatrix
    fileprivate let inverseDiagonal: [Float]

    /// The covariance of inputs with a ridge.
    ///
    /// - Parameters:
    ///   - numbers: columns × columns, symmetric.
    ///   - ridge: what is added to its diagonal.
    ///   - isRounded: whether products may be in bfloat16 where the processor has it: a few steps are no worse for it, and take half as
    ///     long; many steps come to rest where its noise begins.
    package init(_ numbers: [Float], ridge: Float = 0, columns n: Int, isRounded: Bool = false) {
      let diagonal = (0..<n).map { numbers[$0 * n + $0] + ridge }
      let format = isRounded ? TensorFormat.bf16 : .f32
      let bytes = ByteRegion(uninitializedCount: numbers.count * format.bytesPerBlock) { target in
        guard let base = target.baseAddress else { return }
        nonisolated(unsafe) let target = base
        numbers.withUnsafeBufferPointer { numbers in
          nonisolated(unsafe) let numbers = numbers
          Parallel.forEach(n) { row in
            var line = Array(numbers[row * n..<(row + 1) * n])
            line[row] = diagonal[row]
            Kernels.encode(line, as: format, into: target + row * n * format.bytesPerBlock, count: n)
          }
        }
      }
      matrix = WeightMatrix(rows: n, columns: n, format: format, bytes: bytes, roundsActivations: isRounded)
      inverseDiagonal = diagonal.map { $0 > 0 && (1 / $0).isFinite ? 1 / $0 : 0 }
    }
  }

  /// A problem.
  ///
  /// - Parameter pull: nothing, or (V − W) H, `target` being W: V need not be known then.
  package init(target: Matrix, pull: [Float] = [], gram: Gram) {
    precondition(pull.isEmpty || pull.count == target.elements.count, "a pull for each weight")
    (self.target, self.pull, self.gram) = (target, pull, gram)
    (rows, columns) = (target.rows, target.columns)
  }

  /// The kept weights after `iterations` steps from `start`, zeros where `mask` drops.
  package func refit(from start: Matrix, mask: PruneMask, iterations: Int) -> Matrix {
    guard iterations > 0 else { return mask.applied(to: start) }
    let (q, r) = (rows(start), buffer())
    var (p, ap) = (buffer(), rows(target))
    let scratch = ActivationScratch()
    mask.clear(q.base)
    add([Float](repeating: -1, count: rows), q, to: ap)
    apply(ap, mask, to: r, scratch)
    if !pull.isEmpty {
      pull.withUnsafeBufferPointer {
        if let base = $0.baseAddress { Kernels.add(base, to: r.base, count: r.count) }
      }
      mask.clear(r.base)
    }
    divideByDiagonal(r, to: p)
    var rz = dots(r, p)
    for step in 1...iterations {
      apply(p, mask, to: ap, scratch)
      let steps = zip(rz, dots(p, ap)).map { $1 > 0 && $0 > 0 ? Float($0 / $1) : 0 }
      add(steps, p, to: q)
      guard step < iterations, steps.contains(where: { $0 != 0 }) else { break }
      add(steps.map { -$0 }, ap, to: r)
      // What is divided takes the place of the product.
      divideByDiagonal(r, to: ap)
      let next = dots(r, ap)
      add(zip(next, rz).map { $1 > 0 ? Float($0 / $1) : 0 }, p, to: ap)
      (p, ap, rz) = (ap, p, next)
    }
    mask.clear(q.base)
    return Matrix(
      rows: rows, columns: columns, elements: Array(UnsafeBufferPointer(start: q.base, count: q.count)))
  }

  /// tr (V − Q) H (V − Q)ᵀ, without a pull.
  package func loss(of q: Matrix) -> Double {
    let (error, product) = (rows(target), buffer())
    add([Float](repeating: -1, count: rows), rows(q), to: error)
    apply(error, nil, to: product, ActivationScratch())
    return dots(error, product).reduce(0, +)
  }

  private func buffer() -> FloatBuffer { FloatBuffer(count: rows * columns, isZeroed: false) }

  private func rows(_ matrix: Matrix) -> FloatBuffer {
    let result = buffer()
    matrix.elements.withUnsafeBufferPointer {
      if let base = $0.baseAddress { result.base.update(from: base, count: $0.count) }
    }
    return result
  }

  /// x · H where the mask keeps.
  private func apply(
    _ x: FloatBuffer, _ mask: PruneMask?, to result: FloatBuffer, _ scratch: ActivationScratch
  ) {
    gram.matrix.multiply(x.base, tokens: rows, into: result.base, scratch: scratch)
    mask?.clear(result.base)
  }

  /// r · diag(H)⁻¹.
  private func divideByDiagonal(_ r: FloatBuffer, to result: FloatBuffer) {
    let (columns, factors) = (columns, gram.inverseDiagonal)
    Parallel.forEach(rows) { row in
      let (line, from) = (result.base + row * columns, r.base + row * columns)
      for column in 0..<columns { line[column] = from[column] * factors[column] }
    }
  }

  /// ⟨a, b⟩ of each row.
  private func dots(_ a: FloatBuffer, _ b: FloatBuffer) -> [Double] {
    let (rows, columns) = (rows, columns)
    return [Double](unsafeUninitializedCapacity: rows) { result, count in
      count = rows
      guard let sums = result.baseAddress else { return }
      nonisolated(unsafe) let target = sums
      Parallel.forEach(rows) { row in
        (target + row).initialize(
          to: Kernels.dotWide(a.base + row * columns, b.base + row * columns, count: columns))
      }
    }
  }

  /// y += factor · x, a factor a row.
  private func add(_ factors: [Float], _ x: FloatBuffer, to y: FloatBuffer) {
    let columns = columns
    Parallel.forEach(factors.count) { row in
      Kernels.addScaled(factors[row], x.base + row * columns, to: y.base + row * columns, count: columns)
    }
  }
}
