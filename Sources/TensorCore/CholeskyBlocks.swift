internal import COpenBLAS

/// A Cholesky factorization by blocks of columns: the block on the diagonal alone, then what is below it, then the rest of the
/// matrix, in pieces whose sizes depend on the matrix alone.
struct CholeskyBlocks: @unchecked Sendable {
  /// The matrix, row-major; its lower triangle is replaced by L, and zeros are written above.
  let base: UnsafeMutablePointer<Double>
  let count: Int

  private static let block = 256

  /// Factors the matrix.
  ///
  /// - Returns: 0, or the first leading minor that is not positive, counted from 1.
  func factor() -> Int32 {
    for start in stride(from: 0, to: count, by: Self.block) {
      let end = min(start + Self.block, count)
      // Column-major "upper" is row-major lower.
      var (size, stride, info) = (Int32(end - start), Int32(count), Int32(0))
      var side = CChar(UInt8(ascii: "U"))
      dpotrf_(&side, &size, base + start * count + start, &stride, &info)
      if info != 0 { return Int32(start) + info }
      solveBelow(start, end)
      subtract(start, end)
    }
    clearAbove()
    return 0
  }

  /// Rows from `end` on of the block's columns: A · L⁻ᵀ.
  private func solveBelow(_ start: Int, _ end: Int) {
    Parallel.forEach((count - end + Self.block - 1) / Self.block) { piece in
      let row = end + piece * Self.block
      cblas_dtrsm(
        CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, Int32(min(Self.block, count - row)),
        Int32(end - start), 1, base + start * count + start, Int32(count), base + row * count + start,
        Int32(count))
    }
  }

  /// The lower triangle of what is left, less the product of the block's rows.
  private func subtract(_ start: Int, _ end: Int) {
    let tiles = (count - end + Self.block - 1) / Self.block
    Parallel.forEach(tiles * (tiles + 1) / 2) { index in
      let cell = LinearAlgebra.triangleCell(index)
      let (i, j) = (end + cell.row * Self.block, end + cell.column * Self.block)
      cblas_dgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(min(Self.block, count - i)),
        Int32(min(Self.block, count - j)), Int32(end - start), -1, base + i * count + start, Int32(count),
        base + j * count + start, Int32(count), 1, base + i * count + j, Int32(count))
    }
  }

  private func clearAbove() {
    Parallel.forEach((count + Self.block - 1) / Self.block) { piece in
      for row in piece * Self.block..<min(count, (piece + 1) * Self.block) {
        (base + row * count + row + 1).update(repeating: 0, count: count - row - 1)
      }
    }
  }
}
