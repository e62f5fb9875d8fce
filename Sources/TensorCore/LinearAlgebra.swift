internal import COpenBLAS

/// OpenBLAS as this program uses it: single-threaded calls, cut into fixed pieces by ``Parallel``.
enum OpenBLAS {
  private static let singleThreaded: Void = openblas_set_num_threads(1)

  /// Takes threading away from OpenBLAS, once; called before any other call.
  static func prepare() { singleThreaded }
}

/// A matrix that has no Cholesky factor.
public struct NotPositiveDefinite: Error, Equatable, CustomStringConvertible {
  /// The first leading minor that is not positive, counted from 1.
  public let minor: Int

  /// The failure of the `minor`-th leading minor.
  public init(minor: Int) { self.minor = minor }

  /// One line: what went wrong, and where.
  public var description: String {
    "the matrix is not positive definite (leading minor \(minor)): add a ridge to its diagonal"
  }
}

/// Dense linear algebra with results that do not depend on the number of threads.
///
/// Matrices are row-major and tightly packed.
public enum LinearAlgebra {
  /// The rows (and columns) of a piece: fixed, because OpenBLAS's rounding follows the shapes it is given.
  static let tile = 256

  /// result = A · B, or A · Bᵀ: `rows` × `columns`, summed over `inner`.
  ///
  /// - Parameters:
  ///   - a: `rows` × `inner`.
  ///   - b: `inner` × `columns`, or `columns` × `inner` if `transposed`.
  ///   - adding: whether the product is added to `result` instead of replacing it.
  public static func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, transposed: Bool, rows: Int, inner: Int,
    columns: Int,
    into result: UnsafeMutablePointer<Float>, adding: Bool = false
  ) {
    guard rows > 0, columns > 0 else { return }
    nonisolated(unsafe) let (a, b, result) = (a, b, result)
    // Tall pieces first of all: each packs its columns of B once for all of its rows.
    let (height, width) = (4 * tile, max(tile, (columns / 8 + tile - 1) / tile * tile))
    let across = (columns + width - 1) / width
    Parallel.forEach((rows + height - 1) / height * across) { piece in
      let (i, j) = (piece / across * height, piece % across * width)
      product(
        a + i * inner, inner, b + (transposed ? j * inner : j), transposed ? inner : columns,
        transposed: transposed, rows: min(height, rows - i), inner: inner, columns: min(width, columns - j),
        beta: adding ? 1 : 0, into: result + i * columns + j, columns)
    }
  }

  /// gram += factor · Xᵀ · X: both triangles of a symmetric `columns` × `columns` matrix.
  ///
  /// - Parameter x: `rows` × `columns`.
  public static func addGram(
    of x: UnsafePointer<Float>, rows: Int, columns: Int, factor: Float = 1,
    to gram: UnsafeMutablePointer<Float>
  ) {
    guard rows > 0, columns > 0 else { return }
    nonisolated(unsafe) let (x, gram) = (x, gram)
    let tiles = (columns + tile - 1) / tile
    Parallel.forEach(tiles * (tiles + 1) / 2) { index in
      let (row, column) = triangleCell(index)
      let (i, j) = (row * tile, column * tile)
      let (height, width) = (min(tile, columns - i), min(tile, columns - j))
      let target = gram + i * columns + j
      FloatProduct(
        (x + i, row: 1, column: columns), (x + j, row: columns, column: 1), rows: height, inner: rows,
        columns: width, alpha: factor
      ).add(to: target, row: columns)
    }
    mirrorLower(gram, count: columns)
  }

  /// Copies the lower triangle of a square matrix over the upper one.
  public static func mirrorLower(_ matrix: UnsafeMutablePointer<Float>, count: Int) {
    nonisolated(unsafe) let matrix = matrix
    let (small, tiles) = (32, (count + 31) / 32)
    Parallel.forEach(tiles) { piece in
      let rows = piece * small..<min(count, (piece + 1) * small)
      for next in piece..<tiles {
        let columns = next * small..<min(count, (next + 1) * small)
        for row in rows {
          for column in max(row + 1, columns.lowerBound)..<max(row + 1, columns.upperBound) {
            matrix[row * count + column] = matrix[column * count + row]
          }
        }
      }
    }
  }

  /// The cell of a lower triangle that comes `index`-th when rows are read one after the other.
  static func triangleCell(_ index: Int) -> (row: Int, column: Int) {
    var (row, rest) = (0, index)
    while rest > row {
      row += 1
      rest -= row
    }
    return (row, rest)
  }

  /// Replaces a symmetric positive definite matrix by its inverse, in single precision: for conditions far below 10⁷.
  ///
  /// - Parameter matrix: `count` × `count`; its lower triangle is read, both triangles are written.
  public static func invert(_ matrix: inout [Float], count: Int) throws(NotPositiveDefinite) {
    try SymmetricInverse.replace(&matrix, count: count)
  }

  // MARK: Cholesky, in double precision

  /// Replaces a symmetric matrix by its lower Cholesky factor L (A = L·Lᵀ), with zeros above the diagonal.
  ///
  /// - Parameter matrix: `count` × `count`; its lower triangle is read.
  public static func cholesky(_ matrix: inout [Double], count: Int) throws(NotPositiveDefinite) {
    precondition(matrix.count == count * count, "a square matrix is needed")
    guard count > 0 else { return }
    OpenBLAS.prepare()
    let failed: Int32 = matrix.withUnsafeMutableBufferPointer {
      $0.baseAddress.map { CholeskyBlocks(base: $0, count: count).factor() } ?? 0
    }
    if failed != 0 { throw NotPositiveDefinite(minor: Int(failed)) }
  }

  /// The inverse of A = L·Lᵀ from its lower Cholesky factor, both triangles filled.
  public static func inverse(ofCholesky factor: [Double], count: Int) throws(NotPositiveDefinite) -> [Double]
  {
    precondition(factor.count == count * count, "a square matrix is needed")
    guard count > 0 else { return [] }
    OpenBLAS.prepare()
    if count > CholeskyInverse.least { return CholeskyInverse(factor: factor, count: count).inverse() }
    var (n, info): (Int32, Int32) = (Int32(count), 0)
    var side = CChar(UInt8(ascii: "U"))
    var result = factor
    result.withUnsafeMutableBufferPointer { dpotri_(&side, &n, $0.baseAddress, &n, &info) }
    if info != 0 { throw NotPositiveDefinite(minor: Int(info)) }
    for row in 0..<count {
      for column in row + 1..<count { result[row * count + column] = result[column * count + row] }
    }
    return result
  }

  /// The inverse of a lower triangular matrix, lower triangular as well.
  public static func inverse(ofLowerTriangle triangle: [Double], count: Int) throws(NotPositiveDefinite)
    -> [Double]
  {
    precondition(triangle.count == count * count, "a square matrix is needed")
    guard count > 0 else { return [] }
    OpenBLAS.prepare()
    var (n, info): (Int32, Int32) = (Int32(count), 0)
    var (side, diagonal) = (CChar(UInt8(ascii: "U")), CChar(UInt8(ascii: "N")))
    var result = triangle
    result.withUnsafeMutableBufferPointer { dtrtri_(&side, &diagonal, &n, $0.baseAddress, &n, &info) }
    if info != 0 { throw NotPositiveDefinite(minor: Int(info)) }
    return result
  }
}

// MARK: Products of parts of matrices, on the calling thread

extension LinearAlgebra {
  /// C = alpha · A · B + beta · C on parts of row-major matrices, on the calling thread; for the bodies of parallel loops.
  ///
  /// - Parameters:
  ///   - a: `rows` × `inner`, consecutive rows `strideA` elements apart; likewise the others.
  ///   - b: `inner` × `columns`, or `columns` × `inner` if `transposed`.
  public static func product(
    _ a: UnsafePointer<Float>, _ strideA: Int, _ b: UnsafePointer<Float>, _ strideB: Int,
    transposed: Bool = false, rows: Int, inner: Int, columns: Int, alpha: Float = 1, beta: Float = 0,
    into c: UnsafeMutablePointer<Float>, _ strideC: Int
  ) {
    guard rows > 0, columns > 0 else { return }
    for row in 0..<rows where beta != 1 {
      let line = c + row * strideC
      if beta == 0 {
        line.update(repeating: 0, count: columns)
      } else {
        Kernels.scale(line, by: beta, count: columns)
      }
    }
    FloatProduct(
      (a, row: strideA, column: 1), (b, row: transposed ? 1 : strideB, column: transposed ? strideB : 1),
      rows: rows, inner: inner, columns: columns, alpha: alpha
    ).add(to: c, row: strideC)
  }

  /// cross += Aᵀ · B, where A and B have the same rows: `columnsA` × `columnsB`.
  ///
  /// - Parameters:
  ///   - a: `rows` × `columnsA`.
  ///   - b: `rows` × `columnsB`.
  public static func addCross(
    of a: UnsafePointer<Float>, columnsA: Int, _ b: UnsafePointer<Float>, columnsB: Int, rows: Int,
    to cross: UnsafeMutablePointer<Float>
  ) {
    guard rows > 0, columnsA > 0, columnsB > 0 else { return }
    nonisolated(unsafe) let (a, b, cross) = (a, b, cross)
    let across = (columnsB + tile - 1) / tile
    Parallel.forEach((columnsA + tile - 1) / tile * across) { index in
      let (i, j) = (index / across * tile, index % across * tile)
      FloatProduct(
        (a + i, row: 1, column: columnsA), (b + j, row: columnsB, column: 1), rows: min(tile, columnsA - i),
        inner: rows, columns: min(tile, columnsB - j)
      ).add(to: cross + i * columnsB + j, row: columnsB)
    }
  }

  /// Replaces each row x of `rows` by the solution y of y · (L · Lᵀ) = x, in double precision.
  ///
  /// - Parameters:
  ///   - factor: the lower Cholesky factor, `count` × `count`.
  ///   - rows: `rowCount` × `count`, overwritten.
  public static func solve(
    cholesky factor: [Double], count: Int, rows: UnsafeMutablePointer<Double>, rowCount: Int
  ) {
    precondition(factor.count == count * count, "a square matrix is needed")
    guard count > 0, rowCount > 0 else { return }
    OpenBLAS.prepare()
    nonisolated(unsafe) let rows = rows
    let piece = 128
    factor.withUnsafeBufferPointer { factor in
      nonisolated(unsafe) let factor = factor
      Parallel.forEach((rowCount + piece - 1) / piece) { index in
        let first = index * piece
        let height = Int32(min(piece, rowCount - first))
        // y · L · Lᵀ = x: first z · Lᵀ = x, then y · L = z.
        cblas_dtrsm(
          CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, height, Int32(count), 1,
          factor.baseAddress, Int32(count), rows + first * count, Int32(count))
        cblas_dtrsm(
          CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, height, Int32(count), 1,
          factor.baseAddress, Int32(count), rows + first * count, Int32(count))
      }
    }
  }
}
