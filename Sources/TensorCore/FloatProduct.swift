internal import CKernels

/// One product of float matrices on the calling thread, wherever their elements lie.
struct FloatProduct {
  /// A matrix: its first element, and how far rows and columns lie apart.
  typealias Factor = (base: UnsafePointer<Float>, row: Int, column: Int)

  private var product: ck_product
  private let arePairs: Bool

  /// alpha · A · B: `rows` × `columns`, summed over `inner`.
  ///
  /// - Parameter arePairs: whether elements are pairs of bfloat16 numbers, where the processor multiplies such; see
  ///   ``MomentRows``.
  init(
    _ a: Factor, _ b: Factor, rows: Int, inner: Int, columns: Int, alpha: Float = 1, arePairs: Bool = false
  ) {
    self.arePairs = arePairs
    product = ck_product()
    (product.a, product.a_row, product.a_column) = (a.base, a.row, a.column)
    (product.b, product.b_row, product.b_column) = (b.base, b.row, b.column)
    (product.rows, product.inner, product.columns) = (rows, inner, columns)
    product.alpha = alpha
  }

  /// Adds the product to a matrix whose rows lie `row` apart.
  func add(to result: UnsafeMutablePointer<Float>, row: Int) {
    var product = product
    (product.c, product.c_row) = (result, row)
    let scratch = Scratch.take()
    if arePairs { ck_add_pair_product(&product, scratch) } else { ck_add_product(&product, scratch) }
    Scratch.give(back: scratch)
  }
}

/// Memory for packed panels: as many pieces as products ever ran at one time, kept for the next ones. Not
/// ``ThreadScratch``, which the caller may hold its decoded rows in.
private enum Scratch {
  private static let free = Locked<[UInt]>([])

  static func take() -> UnsafeMutableRawPointer {
    free.withLock { $0.popLast() }.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
      ?? .allocate(byteCount: ck_product_scratch_bytes(), alignment: 64)
  }

  static func give(back piece: UnsafeMutableRawPointer) {
    free.withLock { $0.append(UInt(bitPattern: piece)) }
  }
}
