/// C += alpha · A · B of float matrices with any strides, cut over the threads.
///
/// An element's sum does not depend on how rows and columns are cut (`ck_product.h`), so neither does the result on the number of
/// threads.
package struct StridedProduct {
  /// A matrix: its first element, and how far rows and columns lie apart.
  package typealias Factor = (base: UnsafePointer<Float>, row: Int, column: Int)

  private let a, b: Factor
  private let rows, inner, columns: Int
  private let alpha: Float

  /// The product of `a`, `rows` × `inner`, and `b`, `inner` × `columns`.
  package init(_ a: Factor, _ b: Factor, rows: Int, inner: Int, columns: Int, alpha: Float = 1) {
    (self.a, self.b) = (a, b)
    (self.rows, self.inner, self.columns) = (rows, inner, columns)
    self.alpha = alpha
  }

  /// Adds the product on the calling thread.
  package func addAlone(to c: UnsafeMutablePointer<Float>, row: Int) {
    guard rows > 0, columns > 0, inner > 0 else { return }
    FloatProduct(a, b, rows: rows, inner: inner, columns: columns, alpha: alpha).add(to: c, row: row)
  }

  /// Adds the product to a matrix whose rows lie `row` apart.
  package func add(to c: UnsafeMutablePointer<Float>, row: Int) {
    guard rows > 0, columns > 0, inner > 0 else { return }
    let threads = Parallel.isInside ? 1 : Parallel.threadCount
    guard threads > 1, rows * columns * inner > 1 << 17 else { return addAlone(to: c, row: row) }
    let (height, width) = StridedProduct.piece(rows, columns, pieces: 3 * threads)
    let across = (columns + width - 1) / width
    nonisolated(unsafe) let (a, b, c) = (a, b, c)
    let (rows, inner, columns, alpha) = (rows, inner, columns, alpha)
    Parallel.forEach((rows + height - 1) / height * across) { piece in
      let (i, j) = (piece / across * height, piece % across * width)
      FloatProduct(
        (a.base + i * a.row, a.row, a.column), (b.base + j * b.column, b.row, b.column),
        rows: min(height, rows - i), inner: inner, columns: min(width, columns - j), alpha: alpha
      ).add(to: c + i * row + j, row: row)
    }
  }

  /// About as many pieces as wanted, as square as can be: each packs its rows and columns anew.
  private static func piece(_ rows: Int, _ columns: Int, pieces: Int) -> (height: Int, width: Int) {
    var best = (height: rows, width: columns)
    var least = Double.infinity
    for down in 1...pieces {
      let across = max(1, (pieces + down - 1) / down)
      let height = rounded((rows + down - 1) / down, to: 24)
      let width = rounded((columns + across - 1) / across, to: 32)
      let cost = 1 / Double(min(height, rows)) + 1 / Double(min(width, columns))
      if cost < least { (best, least) = ((height, width), cost) }
    }
    return best
  }

  private static func rounded(_ value: Int, to step: Int) -> Int { (value + step - 1) / step * step }
}
