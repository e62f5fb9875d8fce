internal import COpenBLAS

/// The inverse of a symmetric positive definite matrix in single precision, by its Cholesky factor: blocks on the diagonal are factored
/// and inverted one by one, everything else is products of blocks. Pieces depend on the matrix alone.
///
/// For matrices whose condition is far below 10⁷; others want double precision.
struct SymmetricInverse: @unchecked Sendable {
  private let count: Int
  /// A, then L below its diagonal blocks, then nothing of use.
  private let lower: UnsafeMutablePointer<Float>
  /// L⁻¹ of each block on the diagonal, with zeros above it; rows lie ``block`` apart.
  private let inverses: UnsafeMutablePointer<Float>

  private static let block = 256

  /// Replaces a symmetric matrix by its inverse.
  ///
  /// - Parameter matrix: `count` × `count`, row-major; its lower triangle is read, both are written.
  static func replace(_ matrix: inout [Float], count: Int) throws(NotPositiveDefinite) {
    precondition(matrix.count == count * count, "a square matrix is needed")
    guard count > 0 else { return }
    OpenBLAS.prepare()
    let blocks = (count + block - 1) / block
    let inverses = UnsafeMutablePointer<Float>.allocate(capacity: blocks * block * block)
    defer { inverses.deallocate() }
    inverses.initialize(repeating: 0, count: blocks * block * block)
    var result = [Float](unsafeUninitializedCapacity: count * count) { $1 = 0 }
    let failed: Int32 = matrix.withUnsafeMutableBufferPointer { matrix in
      guard let base = matrix.baseAddress else { return 0 }
      let work = SymmetricInverse(count: count, lower: base, inverses: inverses)
      let failed = work.factor()
      guard failed == 0 else { return failed }
      result = [Float](unsafeUninitializedCapacity: count * count) { target, size in
        if let target = target.baseAddress { work.invert(into: target) }
        size = count * count
      }
      return 0
    }
    if failed != 0 { throw NotPositiveDefinite(minor: Int(failed)) }
    matrix = result
  }

  private func inverse(_ start: Int) -> UnsafeMutablePointer<Float> {
    inverses + start * Self.block
  }

  // MARK: L

  /// - Returns: 0, or the first leading minor that is not positive, counted from 1.
  private func factor() -> Int32 {
    for start in stride(from: 0, to: count, by: Self.block) {
      let failed = factorDiagonal(start)
      if failed != 0 { return Int32(start) + failed }
      let end = min(count, start + Self.block)
      solveBelow(start, end)
      subtract(start, end)
    }
    return 0
  }

  private func factorDiagonal(_ start: Int) -> Int32 {
    let size = min(Self.block, count - start)
    let target = inverse(start)
    for row in 0..<size {
      (target + row * Self.block).update(from: lower + (start + row) * count + start, count: row + 1)
    }
    // Column-major "upper" is row-major lower.
    var (n, stride, info) = (Int32(size), Int32(Self.block), Int32(0))
    var (side, diagonal) = (CChar(UInt8(ascii: "U")), CChar(UInt8(ascii: "N")))
    spotrf_(&side, &n, target, &stride, &info)
    guard info == 0 else { return info }
    strtri_(&side, &diagonal, &n, target, &stride, &info)
    return info
  }

  /// Rows from `end` on of a block's columns: A · L⁻ᵀ.
  private func solveBelow(_ start: Int, _ end: Int) {
    let (height, width) = (Self.block, end - start)
    Parallel.forEach((count - end + height - 1) / height) { piece in
      let row = end + piece * height
      let (rows, target) = (min(height, count - row), lower + row * count + start)
      SymmetricInverse.withPiece(rows * width) { copy in
        for line in 0..<rows { (copy + line * width).update(from: target + line * count, count: width) }
        LinearAlgebra.product(
          copy, width, inverse(start), height, transposed: true, rows: rows, inner: width, columns: width,
          into: target, count)
      }
    }
  }

  /// The lower triangle of what is left, less the product of the block's rows.
  private func subtract(_ start: Int, _ end: Int) {
    let tiles = (count - end + Self.block - 1) / Self.block
    Parallel.forEach(tiles * (tiles + 1) / 2) { index in
      let cell = LinearAlgebra.triangleCell(index)
      let (i, j) = (end + cell.row * Self.block, end + cell.column * Self.block)
      LinearAlgebra.product(
        lower + i * count + start, count, lower + j * count + start, count, transposed: true,
        rows: min(Self.block, count - i), inner: end - start, columns: min(Self.block, count - j), alpha: -1,
        beta: 1, into: lower + i * count + j, count)
    }
  }

  // MARK: L⁻ᵀ · L⁻¹

  private func invert(into result: UnsafeMutablePointer<Float>) {
    nonisolated(unsafe) let target = result
    Parallel.forEach((count + Self.block - 1) / Self.block) { solve($0 * Self.block, into: target) }
    LinearAlgebra.mirrorLower(target, count: count)
  }

  /// The columns of a block, from their diagonal on: L Y = E, and Lᵀ X = Y. No row above is needed for either.
  private func solve(_ start: Int, into result: UnsafeMutablePointer<Float>) {
    let (size, width) = (count - start, min(Self.block, count - start))
    SymmetricInverse.withPiece((size + Self.block) * width) { x in
      let copy = x + size * width
      x.update(repeating: 0, count: size * width)
      for place in 0..<width { x[place * width + place] = 1 }
      for row in stride(from: start, to: count, by: Self.block) {
        let (rows, place) = (min(Self.block, count - row), x + (row - start) * width)
        if row > start {
          FloatProduct(
            (UnsafePointer(lower + row * count + start), row: count, column: 1),
            (UnsafePointer(x), row: width, column: 1), rows: rows,
            inner: row - start, columns: width, alpha: -1
          ).add(to: place, row: width)
        }
        multiply(row, rows, place, width, copy, transposed: false)
      }
      for row in stride(from: start, to: count, by: Self.block).reversed() {
        let (rows, place) = (min(Self.block, count - row), x + (row - start) * width)
        let end = row + rows
        if end < count {
          FloatProduct(
            (UnsafePointer(lower + end * count + row), row: 1, column: count),
            (UnsafePointer(x + (end - start) * width), row: width, column: 1), rows: rows, inner: count - end,
            columns: width, alpha: -1
          ).add(to: place, row: width)
        }
        multiply(row, rows, place, width, copy, transposed: true)
      }
      for row in 0..<size {
        (result + (start + row) * count + start).update(from: x + row * width, count: min(width, row + 1))
      }
    }
  }

  /// Rows of x by the inverse of the block that they stand beside, or by its transpose.
  private func multiply(
    _ start: Int, _ rows: Int, _ x: UnsafeMutablePointer<Float>, _ width: Int,
    _ copy: UnsafeMutablePointer<Float>, transposed: Bool
  ) {
    copy.update(from: x, count: rows * width)
    x.update(repeating: 0, count: rows * width)
    FloatProduct(
      (UnsafePointer(inverse(start)), row: transposed ? 1 : Self.block, column: transposed ? Self.block : 1),
      (UnsafePointer(copy), row: width, column: 1), rows: rows, inner: rows, columns: width
    ).add(to: x, row: width)
  }

  private static func withPiece(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
    let bytes = count * MemoryLayout<Float>.stride
    let memory = ReusedMemory.take(bytes)
    defer { ReusedMemory.give(back: memory, bytes) }
    body(memory.bindMemory(to: Float.self, capacity: count))
  }
}
