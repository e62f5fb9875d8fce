internal import COpenBLAS

// MARK: Products in double precision

extension LinearAlgebra {
  /// C = alpha · A · B + beta · C on parts of row-major matrices in double precision, on the calling thread.
  ///
  /// - Parameters:
  ///   - a: `rows` × `inner`, or `inner` × `rows` if `transposedA`; consecutive rows lie `strideA` elements apart.
  ///   - b: `inner` × `columns`; consecutive rows lie `strideB` elements apart.
  ///   - c: `rows` × `columns`; consecutive rows lie `strideC` elements apart.
  public static func product(
    _ a: UnsafePointer<Double>, _ strideA: Int, transposedA: Bool = false, _ b: UnsafePointer<Double>,
    _ strideB: Int,
    rows: Int, inner: Int, columns: Int, alpha: Double = 1, beta: Double = 0,
    into c: UnsafeMutablePointer<Double>, _ strideC: Int
  ) {
    guard rows > 0, columns > 0 else { return }
    OpenBLAS.prepare()
    cblas_dgemm(
      CblasRowMajor, transposedA ? CblasTrans : CblasNoTrans, CblasNoTrans, Int32(rows), Int32(columns),
      Int32(inner), alpha, a, Int32(max(strideA, 1)), b, Int32(max(strideB, 1)), beta, c,
      Int32(max(strideC, 1)))
  }

  /// A · B, or Aᵀ · B, of whole row-major matrices in double precision; cut into pieces of rows of the result.
  ///
  /// - Parameters:
  ///   - a: `rows` × `inner`, or `inner` × `rows` if `transposedA`.
  ///   - b: `inner` × `columns`.
  public static func multiply(
    _ a: [Double], transposedA: Bool = false, _ b: [Double], rows: Int, inner: Int, columns: Int
  ) -> [Double] {
    precondition(a.count == rows * inner && b.count == inner * columns, "sizes of a product's factors")
    let piece = 64
    return [Double](unsafeUninitializedCapacity: rows * columns) { target, count in
      count = rows * columns
      guard let c = target.baseAddress, count > 0 else { return }
      if inner == 0 { return c.update(repeating: 0, count: count) }
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          guard let a = a.baseAddress, let b = b.baseAddress else { return }
          nonisolated(unsafe) let (left, right, result) = (a, b, c)
          Parallel.forEach((rows + piece - 1) / piece) { index in
            let first = index * piece
            product(
              left + (transposedA ? first : first * inner), transposedA ? rows : inner,
              transposedA: transposedA, right,
              columns, rows: min(piece, rows - first), inner: inner, columns: columns,
              into: result + first * columns, columns)
          }
        }
      }
    }
  }
}
