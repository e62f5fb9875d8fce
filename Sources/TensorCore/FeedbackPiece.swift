internal import CKernels

/// Some rows of a matrix that are rounded to given grids with error feedback, columns in the order of rounding reversed.
///
/// Rows lie side by side in lanes, columns are cut into blocks: what errors of one block mean for the columns of another is a
/// product of matrices. The blocks are those of ``ErrorFeedback`` whatever the number of rows, so rows know nothing of each
/// other.
package final class FeedbackPiece {
  /// What the rows' codes stand for: scale · level(code) + offset, a scale and an offset for each group of columns.
  package struct Grids {
    /// Rows × groups; 0 as the inverse of a scale of 0.
    package var scales, inverses, offsets: UnsafePointer<Float>
    /// The number of groups.
    package var groups: Int
    /// The columns of a group.
    package var groupLength: Int
    /// Ascending.
    package var levels: UnsafeBufferPointer<Float>
    /// Whether levels are consecutive integers.
    package var isUniform: Bool

    /// Grids of these parts.
    package init(
      scales: UnsafePointer<Float>, inverses: UnsafePointer<Float>, offsets: UnsafePointer<Float>,
      groups: Int,
      groupLength: Int, levels: UnsafeBufferPointer<Float>, isUniform: Bool
    ) {
      (self.scales, self.inverses, self.offsets) = (scales, inverses, offsets)
      (self.groups, self.groupLength) = (groups, groupLength)
      (self.levels, self.isUniform) = (levels, isUniform)
    }
  }

  /// Columns whose sums over all other columns are taken at a time, and columns of a block of the kernels.
  private static let (wide, narrow) = (256, Int(CK_FEEDBACK_COLUMNS))

  private let rows, lanes, columns: Int
  private let order: [Int]
  private var block = ck_feedback()
  private let floats: UnsafeMutablePointer<Float>
  private let codes: UnsafeMutablePointer<UInt8>
  private let groupOfPlace: UnsafeMutablePointer<UInt32>
  private let errors, shift, changes: UnsafeMutablePointer<Float>

  /// The rows of `weights`, rows × columns in the columns' own order; `grids` are theirs.
  ///
  /// - Parameters:
  ///   - order: the column that stands at each place; the last place is rounded first.
  ///   - zeros: the weights that get the code nearest to 0 whatever is fed back to them, rows × columns; nil for none.
  package init(
    _ weights: UnsafePointer<Float>, rows: Int, columns: Int, order: [Int], grids: Grids,
    zeros: ArraySlice<Bool>? = nil
  ) {
    (self.rows, self.columns, self.order) = (rows, columns, order)
    lanes = (rows + 15) / 16 * 16
    let (count, groups) = (columns * lanes, grids.groups * lanes)
    let total = 2 * count + 3 * groups + 2 * Self.wide * lanes + (zeros == nil ? 0 : count)
    floats = .allocate(capacity: total)
    floats.initialize(repeating: 0, count: total)
    codes = .allocate(capacity: max(1, count))
    codes.initialize(repeating: 0, count: max(1, count))
    groupOfPlace = .allocate(capacity: max(1, columns))
    let places = floats
    errors = places + count
    shift = errors + count + 3 * groups
    changes = shift + Self.wide * lanes
    for place in 0..<columns {
      (groupOfPlace + place).initialize(to: UInt32(order[place] / grids.groupLength))
    }
    for row in 0..<rows {
      let line = weights + row * columns
      for place in 0..<columns { places[place * lanes + row] = line[order[place]] }
    }
    for (index, source) in [grids.scales, grids.inverses, grids.offsets].enumerated() {
      let target = errors + count + index * groups
      for row in 0..<rows {
        for group in 0..<grids.groups { target[group * lanes + row] = source[row * grids.groups + group] }
      }
    }
    block.weights = UnsafePointer(places)
    (block.errors, block.codes, block.groups) = (errors, codes, UnsafePointer(groupOfPlace))
    (block.scales, block.inverses) = (UnsafePointer(errors + count), UnsafePointer(errors + count + groups))
    block.offsets = UnsafePointer(errors + count + 2 * groups)
    (block.levels, block.level_count) = (grids.levels.baseAddress, grids.levels.count)
    block.is_uniform = grids.isUniform ? 1 : 0
    (block.rows, block.columns) = (lanes, columns)
    guard let zeros else { return }
    let kept = changes + Self.wide * lanes
    for row in 0..<rows {
      let first = zeros.startIndex + row * columns
      for place in 0..<columns { kept[place * lanes + row] = zeros[first + order[place]] ? 0 : 1 }
    }
    block.kept = UnsafePointer(kept)
  }

  deinit {
    floats.deallocate()
    codes.deallocate()
    groupOfPlace.deallocate()
  }

  /// The codes, rows × columns in the columns' own order.
  package func store(_ target: UnsafeMutablePointer<UInt8>) {
    for row in 0..<rows {
      let line = target + row * columns
      for place in 0..<columns { line[order[place]] = codes[place * lanes + row] }
    }
  }

  /// Every column once, from the last to the first, each to its own weight and what is left of the errors before.
  ///
  /// - Parameter feedback: columns × columns, what an error of column i means for the columns j < i, at i · columns + j.
  package func round(_ feedback: UnsafePointer<Float>) {
    for outer in Self.blocks(0..<columns, Self.wide) {
      shift.update(repeating: 0, count: outer.count * lanes)
      add(errors, at: outer.upperBound..<columns, feedback, to: outer, of: outer)
      for inner in Self.blocks(outer, Self.narrow) {
        add(errors, at: inner.upperBound..<outer.upperBound, feedback, to: inner, of: outer)
        prepare(inner, of: outer, feedback)
        ck_round_block(&block)
      }
    }
  }

  /// One pass of coordinate descent on e H eᵀ: each code to the best, all others fixed.
  ///
  /// - Parameter gram: H, columns × columns.
  /// - Returns: how many codes changed.
  package func descend(_ gram: UnsafePointer<Float>) -> Int {
    var count = 0
    for outer in Self.blocks(0..<columns, Self.wide) {
      shift.update(repeating: 0, count: outer.count * lanes)
      add(errors, at: 0..<columns, gram, to: outer, of: outer)
      for inner in Self.blocks(outer, Self.narrow) {
        // What changed in the blocks before came after the product above.
        let changed = changes - outer.lowerBound * lanes
        add(changed, at: inner.upperBound..<outer.upperBound, gram, to: inner, of: outer)
        prepare(inner, of: outer, gram)
        count += ck_descend_block(&block)
      }
    }
    return count
  }

  /// Blocks of a range of columns, the last first.
  private static func blocks(_ range: Range<Int>, _ size: Int) -> [Range<Int>] {
    stride(from: range.lowerBound, to: range.upperBound, by: size).reversed().map {
      $0..<min($0 + size, range.upperBound)
    }
  }

  private func prepare(_ inner: Range<Int>, of outer: Range<Int>, _ matrix: UnsafePointer<Float>) {
    block.matrix = matrix
    (block.start, block.count) = (inner.lowerBound, inner.count)
    block.shift = shift + (inner.lowerBound - outer.lowerBound) * lanes
    block.changes = changes + (inner.lowerBound - outer.lowerBound) * lanes
  }

  /// Adds to the shift of columns `target`, which are among those of `outer`, what `source` is at the places `range`, times the
  /// matrix.
  private func add(
    _ source: UnsafePointer<Float>, at range: Range<Int>, _ matrix: UnsafePointer<Float>,
    to target: Range<Int>, of outer: Range<Int>
  ) {
    guard !range.isEmpty else { return }
    FloatProduct(
      (matrix + range.lowerBound * columns + target.lowerBound, row: 1, column: columns),
      (source + range.lowerBound * lanes, row: lanes, column: 1), rows: target.count, inner: range.count,
      columns: lanes
    ).add(to: shift + (target.lowerBound - outer.lowerBound) * lanes, row: lanes)
  }
}
