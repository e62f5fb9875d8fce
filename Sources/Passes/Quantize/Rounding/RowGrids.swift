package import TensorCore
package import WeightCodecs

/// The grids that the rows of a matrix are rounded to: scales and offsets as stored, one pair a group of columns.
///
/// A value is scale · level(code) + offset.
package struct RowGrids: Sendable {
  package let grid: CodeGrid
  package let rows: Int
  package let columns: Int
  /// Scales and their inverses (0 for a scale of 0), and offsets: rows × groups.
  private let scales, inverses, offsets: [Float]
  private let groups: Int

  /// The grids of encoded rows.
  ///
  /// - Parameter bytes: rows × columns in `codec`'s format.
  package init(of bytes: ByteRegion, codec: any GridCodec, rows: Int, columns: Int) {
    grid = codec.grid
    self.rows = rows
    self.columns = columns
    let (groups, rowBytes) = (
      (columns + grid.groupLength - 1) / grid.groupLength, bytes.count / max(1, rows)
    )
    self.groups = groups
    var (scales, offsets) = (
      [Float](repeating: 0, count: rows * groups), [Float](repeating: 0, count: rows * groups)
    )
    scales.withUnsafeMutableBufferPointer { scales in
      offsets.withUnsafeMutableBufferPointer { offsets in
        guard let scale = scales.baseAddress, let offset = offsets.baseAddress else { return }
        for row in 0..<rows {
          codec.readScales(
            UnsafeRawBufferPointer(start: bytes.base + row * rowBytes, count: rowBytes), columns: columns,
            scales: scale + row * groups, offsets: offset + row * groups)
        }
      }
    }
    self.scales = scales
    self.offsets = offsets
    inverses = scales.map { $0 == 0 || !(1 / $0).isFinite ? 0 : 1 / $0 }
  }

  /// Calls `body` with a view for loops.
  package func withView<Result>(_ body: (View) throws -> Result) rethrows -> Result {
    try scales.withUnsafeBufferPointer { scales in
      try inverses.withUnsafeBufferPointer { inverses in
        try offsets.withUnsafeBufferPointer { offsets in
          try grid.levels.withUnsafeBufferPointer { levels in
            try body(
              View(
                scales: scales, inverses: inverses, offsets: offsets, levels: levels, groups: groups,
                groupLength: grid.groupLength, isUniform: grid.isUniform,
                low: grid.levels.first ?? 0, high: grid.levels.last ?? 0))
          }
        }
      }
    }
  }

  /// Unsafe pointers to the grids, for the time of a loop.
  package struct View: @unchecked Sendable {
    let scales, inverses, offsets, levels: UnsafeBufferPointer<Float>
    let groups, groupLength: Int
    let isUniform: Bool
    let low, high: Float

    /// The grids of the rows from `row` on.
    func grids(from row: Int) -> FeedbackPiece.Grids? {
      guard let scales = scales.baseAddress, let inverses = inverses.baseAddress,
        let offsets = offsets.baseAddress
      else { return nil }
      let first = row * groups
      return FeedbackPiece.Grids(
        scales: scales + first, inverses: inverses + first, offsets: offsets + first, groups: groups,
        groupLength: groupLength, levels: levels, isUniform: isUniform)
    }

    /// The place of a column's scale.
    @inline(__always) package func place(row: Int, column: Int) -> Int { row * groups + column / groupLength }

    /// The code nearest to `value`; NaN gives the lowest.
    @inline(__always) package func code(of value: Float, at place: Int) -> UInt8 {
      let t = (value - offsets[place]) * inverses[place]
      if isUniform {
        let clamped = t > low ? (t < high ? t : high) : low
        return UInt8(truncatingIfNeeded: Int(clamped.rounded(.toNearestOrEven) - low))
      }
      // The number of midpoints below: levels ascend.
      var (first, last) = (0, levels.count - 1)
      while first < last {
        let middle = (first + last) / 2
        if t > (levels[middle] + levels[middle + 1]) / 2 { first = middle + 1 } else { last = middle }
      }
      return UInt8(truncatingIfNeeded: first)
    }

    /// What a code stands for.
    @inline(__always) package func value(of code: UInt8, at place: Int) -> Float {
      scales[place] * levels[Int(code)] + offsets[place]
    }
  }
}
