internal import CKernels

/// Activations of some tokens as sums of their products with each other read them: rounded to bfloat16, two tokens side by
/// side, where the processor multiplies such pairs; else as they are.
///
/// What is summed up this way is still the exact Gram matrix of inputs, of the rounded ones: each number is off by at most
/// one part in 512, at random, and sums run over thousands of tokens.
public struct MomentRows {
  /// Numbers, or pairs of them.
  fileprivate let base: UnsafePointer<Float>
  /// The rows that products sum over.
  fileprivate let depth: Int
  fileprivate let columns: Int
  fileprivate let isPaired: Bool

  /// Whether activations are rounded here.
  public static var rounds: Bool { ck_multiplies_bf16() != 0 }

  /// The rows of `x`.
  ///
  /// - Parameters:
  ///   - x: `tokens` × `columns`, valid as long as these rows are used.
  ///   - scratch: where rounded rows go; no other use of it until these rows are done with.
  public init(_ x: UnsafePointer<Float>, tokens: Int, columns: Int, scratch: ActivationScratch) {
    self.columns = columns
    isPaired = MomentRows.rounds
    guard isPaired else {
      (base, depth) = (x, tokens)
      return
    }
    depth = (tokens + 1) / 2
    nonisolated(unsafe) let (source, pairs) = (
      x, scratch.reserve(max(1, depth * columns) * 4).bindMemory(to: UInt32.self, capacity: depth * columns)
    )
    Parallel.forEach(depth, work: tokens * columns) { pair in
      ck_pair_bf16(
        source + 2 * pair * columns, 2 * pair + 1 < tokens ? source + (2 * pair + 1) * columns : nil,
        pairs + pair * columns, columns)
    }
    base = UnsafeRawPointer(pairs).assumingMemoryBound(to: Float.self)
  }

  /// Adds A[first...]ᵀ · B[column...] of `rows` × `width` elements, on the calling thread.
  fileprivate static func add(
    _ a: MomentRows, _ first: Int, _ b: MomentRows, _ column: Int, rows: Int, width: Int,
    to target: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    FloatProduct(
      (a.base + first, row: 1, column: a.columns), (b.base + column, row: b.columns, column: 1), rows: rows,
      inner: a.depth, columns: width, arePairs: a.isPaired
    ).add(to: target, row: stride)
  }
}

extension LinearAlgebra {
  /// Rows of a piece of a sum of products: packing its factors should take little of the time.
  private static func momentTile(_ columns: Int) -> Int { columns >= 1024 ? 512 : tile }

  /// gram += Xᵀ · X, the lower triangle and what shares a tile with it; see ``mirrorLower(_:count:)``.
  public static func addLowerGram(of x: MomentRows, to gram: UnsafeMutablePointer<Float>) {
    let (columns, size) = (x.columns, momentTile(x.columns))
    nonisolated(unsafe) let (x, gram) = (x, gram)
    let tiles = (columns + size - 1) / size
    Parallel.forEach(tiles * (tiles + 1) / 2) { index in
      let cell = triangleCell(index)
      let (i, j) = (cell.row * size, cell.column * size)
      MomentRows.add(
        x, i, x, j, rows: min(size, columns - i), width: min(size, columns - j), to: gram + i * columns + j,
        columns)
    }
  }

  /// cross += Aᵀ · B, where A and B have the same tokens.
  public static func addCross(of a: MomentRows, _ b: MomentRows, to cross: UnsafeMutablePointer<Float>) {
    precondition(a.depth == b.depth, "rows of the same tokens")
    let (height, width) = (momentTile(a.columns), momentTile(b.columns))
    nonisolated(unsafe) let (a, b, cross) = (a, b, cross)
    let across = (b.columns + width - 1) / width
    Parallel.forEach((a.columns + height - 1) / height * across) { index in
      let (i, j) = (index / across * height, index % across * width)
      MomentRows.add(
        a, i, b, j, rows: min(height, a.columns - i), width: min(width, b.columns - j),
        to: cross + i * b.columns + j, b.columns)
    }
  }
}
