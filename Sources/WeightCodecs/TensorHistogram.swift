public import TensorCore

/// How a tensor's weights and their codes are distributed, next to its original's.
public struct TensorHistogram: Sendable, Equatable {
  /// The weights that were counted: those of all rows, or of rows at even distances of a large tensor.
  public var weights: Int
  /// Classes of weights are of one width from −bound to bound; what lies beyond is in the first and the last one.
  public var bound: Double
  /// The original's weights in each class.
  public var original: [Int]
  /// The stored weights in each class.
  public var stored: [Int]
  /// The codes; nil for formats without.
  public var codes: Codes?

  /// How often codes are used.
  public struct Codes: Sendable, Equatable {
    /// The code that the first class begins with: a level where levels are integers, else a place in the format's table.
    public var lowest: Int
    /// The codes of a class.
    public var step: Int
    /// The weights in each class. Weights of groups whose scale is zero have no code and are left out.
    public var counts: [Int]
  }
}

extension TensorHistogram {
  /// The classes of weights; zero is in the middle of one.
  public static let classCount = 49
  /// The most classes of codes.
  public static let codeClassCount = 64
  /// About how many weights are counted at most.
  public static let limit = 1 << 22

  /// Counts the weights of `bytes` and of `reference`, two stored forms of one tensor. Classes reach to six times the
  /// original's root mean square, or to its largest weight where that is less. Counts do not depend on the number of threads.
  ///
  /// - Returns: nil where there is no weight, or all of the original's are zero.
  /// - Throws: ``CodingError`` when a format holds no weights or bytes do not match the shape.
  public init?(
    of bytes: ByteRegion, _ format: TensorFormat, against reference: ByteRegion,
    _ referenceFormat: TensorFormat, rows: Int, columns: Int
  ) throws {
    let stored = try StoredRows(bytes, format: format, rows: rows, columns: columns)
    let original = try StoredRows(reference, format: referenceFormat, rows: rows, columns: columns)
    guard rows > 0, columns > 0 else { return nil }
    let distance = max(1, rows / max(1, TensorHistogram.limit / columns))
    let picked = (rows - 1) / distance + 1
    let bound = TensorHistogram.bound(original, picked: picked, distance: distance)
    guard bound > 0, bound.isFinite else { return nil }
    let counter = CodeCounter(format)
    let sums = Locked(Sums(codes: counter.count))
    Parallel.forEach(picked) { place in
      let row = place * distance
      var mine = Sums(codes: counter.count)
      original.withDecoded(row..<row + 1) { TensorHistogram.count($0, bound, into: &mine.original) }
      stored.withDecoded(row..<row + 1) { TensorHistogram.count($0, bound, into: &mine.stored) }
      counter.count(stored, row: row, into: &mine.codes)
      let found = mine
      sums.withLock { $0.add(found) }
    }
    let total = sums.withLock { $0 }
    weights = picked * columns
    self.bound = bound
    self.original = total.original
    self.stored = total.stored
    codes = counter.classes(total.codes)
  }

  private struct Sums: Sendable {
    var original = [Int](repeating: 0, count: TensorHistogram.classCount)
    var stored = [Int](repeating: 0, count: TensorHistogram.classCount)
    var codes: [Int]

    init(codes: Int) { self.codes = [Int](repeating: 0, count: codes) }

    mutating func add(_ other: Sums) {
      for place in original.indices { original[place] += other.original[place] }
      for place in stored.indices { stored[place] += other.stored[place] }
      for place in codes.indices { codes[place] += other.codes[place] }
    }
  }

  private static func bound(_ original: StoredRows, picked: Int, distance: Int) -> Double {
    let parts = Locked([(square: Double, peak: Double)](repeating: (0, 0), count: picked))
    Parallel.forEach(picked) { place in
      let row = place * distance
      let part = original.withDecoded(row..<row + 1) { values in
        values.reduce((square: 0.0, peak: 0.0)) {
          ($0.square + Double($1) * Double($1), max($0.peak, Double(abs($1))))
        }
      }
      parts.withLock { $0[place] = part }
    }
    let all = parts.withLock { $0 }
    let square = all.reduce(0) { $0 + $1.square } / Double(picked * original.columns)
    return min(6 * square.squareRoot(), all.reduce(0) { max($0, $1.peak) })
  }

  private static func count(
    _ values: UnsafeMutableBufferPointer<Float>, _ bound: Double, into counts: inout [Int]
  ) {
    let scale = Double(classCount) / (2 * bound)
    for value in values {
      let place = (Double(value) + bound) * scale
      // NaN fails both comparisons and is counted nowhere.
      if place >= Double(classCount - 1) {
        counts[classCount - 1] += 1
      } else if place < Double(classCount - 1) {
        counts[Int(max(0, place))] += 1
      }
    }
  }
}

/// Finds the codes of stored rows: of formats with a grid from the decoded weights, which are exactly scale · level + offset.
private struct CodeCounter: Sendable {
  private let format: TensorFormat
  private let codec: (any GridCodec)?

  init(_ format: TensorFormat) {
    self.format = format
    codec = CodecList.gridCodec(for: format)
  }

  private var isUniform: Bool { format == .uniform8 || format == .uniform16 }

  /// The number of different codes; 0 for formats without.
  var count: Int { isUniform ? 2 * format.highestUniformCode + 1 : codec?.grid.levels.count ?? 0 }

  func count(_ stored: StoredRows, row: Int, into counts: inout [Int]) {
    let bytes = UnsafeRawBufferPointer(
      start: stored.bytes.base + row * stored.bytesPerRow, count: stored.bytesPerRow)
    if isUniform {
      let middle = format.highestUniformCode
      for column in 0..<stored.columns {
        let code = Int(bytes.uniformCode(column, as: format)) + middle
        counts[min(max(code, 0), counts.count - 1)] += 1
      }
    } else if let codec {
      count(codec, bytes, columns: stored.columns, into: &counts)
    }
  }

  private func count(
    _ codec: any GridCodec, _ bytes: UnsafeRawBufferPointer, columns: Int, into counts: inout [Int]
  ) {
    let grid = codec.grid
    let groups = (columns - 1) / grid.groupLength + 1
    withUnsafeTemporaryAllocation(of: Float.self, capacity: columns + 2 * groups) { memory in
      guard let values = memory.baseAddress else { return }
      let (scales, offsets) = (values + columns, values + columns + groups)
      codec.decode(bytes, into: UnsafeMutableBufferPointer(start: values, count: columns))
      codec.readScales(bytes, columns: columns, scales: scales, offsets: offsets)
      for column in 0..<columns {
        let group = column / grid.groupLength
        guard scales[group] != 0, scales[group].isFinite else { continue }
        let level = (values[column] - offsets[group]) / scales[group]
        guard level.isFinite else { continue }
        counts[CodeCounter.place(level, grid)] += 1
      }
    }
  }

  /// The code whose level is nearest.
  private static func place(_ level: Float, _ grid: CodeGrid) -> Int {
    let last = grid.levels.count - 1
    if grid.isUniform {
      return Int(min(max((level - grid.levels[0]).rounded(), 0), Float(last)))
    }
    return grid.levels.indices.min { abs(grid.levels[$0] - level) < abs(grid.levels[$1] - level) } ?? 0
  }

  /// The counts in as few classes as pictures have room for: of all codes, or of uniform codes those that are used.
  func classes(_ counts: [Int]) -> TensorHistogram.Codes? {
    guard !counts.isEmpty else { return nil }
    var used = 0..<counts.count
    var lowest = codec.map { $0.grid.isUniform ? Int($0.grid.levels[0]) : 0 } ?? 0
    if isUniform {
      guard let first = counts.firstIndex(where: { $0 > 0 }), let last = counts.lastIndex(where: { $0 > 0 })
      else { return nil }
      used = first..<last + 1
      lowest = first - format.highestUniformCode
    }
    let step = (used.count - 1) / TensorHistogram.codeClassCount + 1
    let sums = stride(from: used.lowerBound, to: used.upperBound, by: step).map { start in
      counts[start..<min(start + step, used.upperBound)].reduce(0, +)
    }
    return TensorHistogram.Codes(lowest: lowest, step: step, counts: sums)
  }
}
