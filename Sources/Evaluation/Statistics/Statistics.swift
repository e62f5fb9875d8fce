/// Order statistics and correlations in 64-bit floats.
public enum Statistics {
  /// The arithmetic mean; 0 for no values.
  public static func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  /// The quantile of sorted values by linear interpolation: position (n − 1)·q between the order statistics (Hyndman and
  /// Fan's type 7, the default of numpy and R).
  ///
  /// - Precondition: `sorted` is ascending and not empty, and 0 ≤ `q` ≤ 1.
  public static func quantile(ofSorted sorted: [Double], _ q: Double) -> Double {
    precondition(!sorted.isEmpty && q >= 0 && q <= 1, "a quantile needs values and 0 ≤ q ≤ 1")
    let position = Double(sorted.count - 1) * q
    let below = min(Int(position), sorted.count - 1)
    guard below + 1 < sorted.count else { return sorted[below] }
    let fraction = position - Double(below)
    return sorted[below] + (sorted[below + 1] - sorted[below]) * fraction
  }

  /// The median; 0 for no values.
  public static func median(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : quantile(ofSorted: values.sorted(), 0.5)
  }

  /// The median absolute deviation from the median, unscaled; 0 for no values.
  public static func medianAbsoluteDeviation(_ values: [Double]) -> Double {
    let middle = median(values)
    return median(values.map { abs($0 - middle) })
  }

  /// Pearson's correlation of paired values; nil when fewer than two pairs are given or one side does not vary.
  public static func pearson(_ x: [Double], _ y: [Double]) -> Double? {
    precondition(x.count == y.count, "a correlation needs pairs")
    guard x.count > 1 else { return nil }
    let meanX = mean(x)
    let meanY = mean(y)
    var xx = 0.0
    var yy = 0.0
    var xy = 0.0
    for index in x.indices {
      let dx = x[index] - meanX
      let dy = y[index] - meanY
      xx += dx * dx
      yy += dy * dy
      xy += dx * dy
    }
    guard xx > 0, yy > 0 else { return nil }
    return max(-1, min(1, xy / (xx * yy).squareRoot()))
  }

  /// Spearman's rank correlation: Pearson's of the ranks, ties getting their average rank; nil as for ``pearson(_:_:)``.
  public static func spearman(_ x: [Double], _ y: [Double]) -> Double? { pearson(ranks(x), ranks(y)) }

  /// The ranks 1 … n; equal values share the average of their places.
  public static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var ranks = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start + 1
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      for place in start..<end { ranks[order[place]] = Double(start + 1 + end) / 2 }
      start = end
    }
    return ranks
  }
}

/// A mean and a variance gathered one value at a time, without cancellation (Welford 1962).
public struct RunningMoments: Sendable {
  /// The number of values.
  public private(set) var count = 0
  /// Their mean; 0 for none.
  public private(set) var mean = 0.0
  private var squares = 0.0

  /// No values yet.
  public init() {}

  /// Takes one value in.
  public mutating func add(_ value: Double) {
    count += 1
    let before = value - mean
    mean += before / Double(count)
    squares += before * (value - mean)
  }

  /// The unbiased variance; nil for fewer than two values.
  public var variance: Double? { count > 1 ? squares / Double(count - 1) : nil }
}
