#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A measured mean, or a function of means, and how far it may be off.
public struct Estimate: Sendable, Equatable {
  /// The value.
  public var value: Double
  /// The standard error, one sigma; nil when a single block was measured, which says nothing about the spread.
  public var standardError: Double?

  /// An estimate of these parts.
  public init(_ value: Double, standardError: Double?) {
    self.value = value
    self.standardError = standardError
  }

  /// The estimate of f(x) by the delta method: `value` is f(x), `slope` is |f'(x)|.
  func mapped(to value: Double, slope: Double) -> Estimate {
    Estimate(value, standardError: standardError.map { $0 * abs(slope) })
  }

  /// e to the power of the estimate.
  var exponential: Estimate { mapped(to: exp(value), slope: exp(value)) }
}

/// The sums of one quantity over one block of correlated observations (a chunk of text).
public struct BlockSum: Sendable, Equatable {
  /// The sum.
  public var sum: Double
  /// The number of observations in the block.
  public var count: Int

  /// A block of `count` observations that add up to `sum`.
  public init(sum: Double, count: Int) {
    self.sum = sum
    self.count = count
  }
}

extension Estimate {
  /// The mean over all observations, with the standard error that the spread *between blocks* gives.
  ///
  /// The tokens of one text predict each other, so counting them as independent would understate the error; whole
  /// chunks are close to independent. For blocks of equal size this is the method of batch means, sd(block means)/√n; for
  /// unequal ones the ratio estimator Σ sum / Σ count with its linearised variance (Cochran 1977, eq. 2.39).
  ///
  /// - Precondition: at least one observation.
  public init(blocks: [BlockSum]) {
    let count = blocks.reduce(0) { $0 + $1.count }
    precondition(count > 0, "a mean needs an observation")
    let mean = blocks.reduce(0) { $0 + $1.sum } / Double(count)
    guard blocks.count > 1 else {
      self.init(mean, standardError: nil)
      return
    }
    let residuals = blocks.reduce(0) { total, block in
      let residual = block.sum - mean * Double(block.count)
      return total + residual * residual
    }
    let n = Double(blocks.count)
    self.init(mean, standardError: (residuals * n / (n - 1)).squareRoot() / Double(count))
  }
}
