internal import COpenBLAS

/// The inverse of a large matrix from its Cholesky factor, a slab of columns at a time: as many operations as one call of LAPACK makes,
/// on all threads, in pieces whose sizes depend on the matrix alone.
///
/// In a slab that begins at column j, L Y = E has nothing above row j, and of Lᵀ X = Y no row from j on needs one above; the rest
/// of X is known by symmetry.
struct CholeskyInverse {
  /// L, row-major.
  let factor: [Double]
  let count: Int

  /// Smaller matrices are not worth cutting.
  static let least = 512
  private static let slab = 128

  func inverse() -> [Double] {
    [Double](unsafeUninitializedCapacity: count * count) { target, size in
      size = count * count
      guard let base = target.baseAddress else { return }
      nonisolated(unsafe) let result = base
      factor.withUnsafeBufferPointer { factor in
        guard let l = factor.baseAddress else { return }
        nonisolated(unsafe) let lower = l
        let slabs = (count + Self.slab - 1) / Self.slab
        Parallel.forEach(slabs) { solve($0 * Self.slab, lower, into: result) }
        // Row by row from what lies below the diagonal, a square at a time.
        Parallel.forEach(slabs) { mirror($0 * Self.slab, result) }
      }
    }
  }

  private func solve(
    _ start: Int, _ lower: UnsafePointer<Double>, into result: UnsafeMutablePointer<Double>
  ) {
    let (rows, width) = (count - start, min(Self.slab, count - start))
    let x = UnsafeMutablePointer<Double>.allocate(capacity: rows * width)
    defer { x.deallocate() }
    x.initialize(repeating: 0, count: rows * width)
    for place in 0..<width { x[place * width + place] = 1 }
    for transposition in [CblasNoTrans, CblasTrans] {
      cblas_dtrsm(
        CblasRowMajor, CblasLeft, CblasLower, transposition, CblasNonUnit, Int32(rows), Int32(width), 1,
        lower + start * count + start, Int32(count), x, Int32(width))
    }
    for row in 0..<rows {
      (result + (start + row) * count + start).initialize(from: x + row * width, count: min(width, row + 1))
    }
  }

  /// Fills what lies right of the diagonal in some rows.
  private func mirror(_ start: Int, _ matrix: UnsafeMutablePointer<Double>) {
    let (end, small) = (min(count, start + Self.slab), 32)
    for first in stride(from: start, to: count, by: small) {
      for row in start..<end {
        for column in max(row + 1, first)..<max(row + 1, min(count, first + small)) {
          (matrix + row * count + column).initialize(to: matrix[column * count + row])
        }
      }
    }
  }
}
