import TensorCore

/// The standard error of any statistic by resampling blocks with replacement (Efron 1979).
public struct Bootstrap: Sendable {
  /// How many samples are drawn.
  public var resamples: Int
  /// Equal seeds give equal results, whatever the number of threads.
  public var seed: UInt64

  /// A bootstrap of `resamples` samples.
  public init(resamples: Int = 2000, seed: UInt64 = 0) {
    self.resamples = resamples
    self.seed = seed
  }

  /// The standard deviation of `statistic` over resampled blocks.
  ///
  /// - Parameters:
  ///   - blockCount: the number of blocks; each sample is that many indices below it, drawn with replacement.
  ///   - statistic: the statistic of the blocks of these indices; samples where it is nil (nothing varies) are left out.
  /// - Returns: nil for fewer than two blocks, or when fewer than two samples had a value.
  public func standardError(blockCount: Int, _ statistic: @Sendable ([Int]) -> Double?) -> Double? {
    guard blockCount > 1, resamples > 1 else { return nil }
    var moments = RunningMoments()
    for value in samples(blockCount: blockCount, statistic) { if let value { moments.add(value) } }
    return moments.variance.map { $0.squareRoot() }
  }

  /// `statistic` of each sample, in order.
  func samples(blockCount: Int, _ statistic: @Sendable ([Int]) -> Double?) -> [Double?] {
    let values = Locked([Double?](repeating: nil, count: resamples))
    let seed = seed
    Parallel.forEach(resamples) { sample in
      // A generator of its own for each sample: the result does not depend on which thread draws first.
      var generator = SeededGenerator(seed: seed ^ (UInt64(sample) &* 0x9E37_79B9_7F4A_7C15))
      let indices = (0..<blockCount).map { _ in Int(generator.uniform() * Double(blockCount)) }
      let value = statistic(indices)
      values.withLock { $0[sample] = value }
    }
    return values.withLock { $0 }
  }
}
