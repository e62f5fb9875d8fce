internal import CKernels

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
  private let arePairs: Bool

  /// The product of `a`, `rows` × `inner`, and `b`, `inner` × `columns`.
  package init(_ a: Factor, _ b: Factor, rows: Int, inner: Int, columns: Int, alpha: Float = 1) {
    self.init(a, b, rows: rows, inner: inner, columns: columns, alpha: alpha, arePairs: false)
  }

  private init(
    _ a: Factor, _ b: Factor, rows: Int, inner: Int, columns: Int, alpha: Float, arePairs: Bool
  ) {
    self.arePairs = arePairs
    (self.a, self.b) = (a, b)
    (self.rows, self.inner, self.columns) = (rows, inner, columns)
    self.alpha = alpha
  }

  /// Whether the processor multiplies pairs of bfloat16 numbers, so that ``addRounded(to:row:)`` pays.
  package static var canRound: Bool { ck_multiplies_bf16() != 0 }

  /// Adds the product of both matrices rounded to bfloat16, sums in single precision; as they are where the processor has no such
  /// products, or lines do not lie densely along either side.
  package func addRounded(to c: UnsafeMutablePointer<Float>, row: Int) {
    guard StridedProduct.canRound, rows > 0, columns > 0, inner > 0,
      a.column == 1 || a.row == 1, b.row == 1 || b.column == 1
    else { return add(to: c, row: row) }
    let depth = (inner + 1) / 2
    let left = PairedRows(
      a.base, count: rows, line: a.row, step: a.column, inner: inner, isAlong: a.column == 1)
    let right = PairedRows(
      b.base, count: columns, line: b.column, step: b.row, inner: inner, isAlong: b.row == 1)
    // What is a factor's line for the product is a row of A and a column of B.
    StridedProduct(
      (left.base, left.line, left.step), (right.base, right.step, right.line), rows: rows, inner: depth,
      columns: columns, alpha: alpha, arePairs: true
    ).add(to: c, row: row)
  }

  /// Adds the product on the calling thread.
  package func addAlone(to c: UnsafeMutablePointer<Float>, row: Int) {
    guard rows > 0, columns > 0, inner > 0 else { return }
    FloatProduct(
      a, b, rows: rows, inner: inner, columns: columns, alpha: alpha, arePairs: arePairs
    ).add(to: c, row: row)
  }

  /// Adds the product to a matrix whose rows lie `row` apart.
  package func add(to c: UnsafeMutablePointer<Float>, row: Int) {
    guard rows > 0, columns > 0, inner > 0 else { return }
    let threads = Parallel.isInside ? 1 : Parallel.threadCount
    guard threads > 1, rows * columns * inner > 1 << 17 else { return addAlone(to: c, row: row) }
    let (height, width) = StridedProduct.piece(rows, columns, pieces: 3 * threads)
    let across = (columns + width - 1) / width
    nonisolated(unsafe) let (a, b, c) = (a, b, c)
    let (rows, inner, columns, alpha, arePairs) = (rows, inner, columns, alpha, arePairs)
    Parallel.forEach((rows + height - 1) / height * across) { piece in
      let (i, j) = (piece / across * height, piece % across * width)
      FloatProduct(
        (a.base + i * a.row, a.row, a.column), (b.base + j * b.column, b.row, b.column),
        rows: min(height, rows - i), inner: inner, columns: min(width, columns - j), alpha: alpha,
        arePairs: arePairs
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

/// The lines of a factor rounded to bfloat16, each two numbers that a sum runs over side by side.
private final class PairedRows {
  let base: UnsafePointer<Float>
  /// How far lines, and pairs of one line, lie apart.
  let line, step: Int
  private let memory: UnsafeMutableRawPointer
  private let bytes: Int

  /// - Parameters:
  ///   - isAlong: whether the numbers of a line lie one behind the other; else those of all lines do.
  init(_ x: UnsafePointer<Float>, count: Int, line: Int, step: Int, inner: Int, isAlong: Bool) {
    let depth = (inner + 1) / 2
    bytes = count * depth * 4
    memory = ReusedMemory.take(bytes)
    let pairs = memory.bindMemory(to: UInt32.self, capacity: count * depth)
    base = UnsafeRawPointer(memory).assumingMemoryBound(to: Float.self)
    nonisolated(unsafe) let (x, target) = (x, pairs)
    if isAlong {
      (self.line, self.step) = (depth, 1)
      Parallel.forEach(count, work: count * inner) { index in
        let place = target + index * depth
        if inner % 2 == 1 { place[depth - 1] = 0 }
        Kernels.encode(x + index * line, as: .bf16, into: place, count: inner)
      }
    } else {
      (self.line, self.step) = (1, count)
      Parallel.forEach(depth, work: count * inner) { index in
        let even = x + 2 * index * step
        ck_pair_bf16(even, 2 * index + 1 < inner ? even + step : nil, target + index * count, count)
      }
    }
  }

  deinit { ReusedMemory.give(back: memory, bytes) }
}
