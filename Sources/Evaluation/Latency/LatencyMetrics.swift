/// How fast a model runs on this machine.
public struct LatencyMetrics: Sendable, Equatable {
  /// Times of one kind of work, in seconds per token (or per sentence for encoders).
  public struct Speed: Sendable, Equatable {
    /// The tokens of one run.
    public var tokens: Int
    /// The number of runs after warm-up.
    public var runs: Int
    /// The median of the seconds that one token takes.
    public var median: Double
    /// Their median absolute deviation from the median.
    public var deviation: Double
    /// Their 95 % quantile.
    public var percentile95: Double

    /// Tokens a second at the median.
    public var rate: Double { median > 0 ? 1 / median : 0 }
    /// Tokens a second at the 95 % quantile of time: the rate that 95 % of the samples reach.
    public var slowRate: Double { percentile95 > 0 ? 1 / percentile95 : 0 }

    /// A summary of these parts.
    public init(tokens: Int, runs: Int, median: Double, deviation: Double, percentile95: Double) {
      self.tokens = tokens
      self.runs = runs
      self.median = median
      self.deviation = deviation
      self.percentile95 = percentile95
    }

    /// A summary of `samples`, each in seconds per token.
    ///
    /// - Precondition: at least one sample.
    public init(tokens: Int, runs: Int, samples: [Double]) {
      self.init(
        tokens: tokens, runs: runs, median: Statistics.median(samples),
        deviation: Statistics.medianAbsoluteDeviation(samples),
        percentile95: Statistics.quantile(ofSorted: samples.sorted(), 0.95))
    }
  }

  /// Speeds with another number of threads.
  public struct ThreadSpeed: Sendable, Equatable {
    /// The number of threads.
    public var threads: Int
    /// Prompt processing.
    public var prefill: Speed
    /// Generation; nil for encoders.
    public var decode: Speed?
    /// The bytes that as many threads can read in a second; nil where that was not measured.
    public var readBandwidth: Double?

    /// Speeds of these parts.
    public init(threads: Int, prefill: Speed, decode: Speed?, readBandwidth: Double? = nil) {
      self.threads = threads
      self.prefill = prefill
      self.decode = decode
      self.readBandwidth = readBandwidth
    }
  }

  /// The same model with the zeros of its pruned matrices stored and multiplied, timed in turns with it.
  public struct WholeRows: Sendable, Equatable {
    /// Prompt processing with whole rows.
    public var prefill: Speed
    /// Generation with whole rows.
    public var decode: Speed?
    /// How many times faster prompts are processed with zeros left out.
    public var prefillSpeedup: LatencyComparison.Speedup
    /// How many times faster tokens are generated with zeros left out.
    public var decodeSpeedup: LatencyComparison.Speedup?

    /// What was measured.
    public init(
      prefill: Speed, decode: Speed?, prefillSpeedup: LatencyComparison.Speedup,
      decodeSpeedup: LatencyComparison.Speedup?
    ) {
      self.prefill = prefill
      self.decode = decode
      self.prefillSpeedup = prefillSpeedup
      self.decodeSpeedup = decodeSpeedup
    }
  }

  /// Prompt processing: one sample a run. For encoders: tokens of the embedded batch.
  public var prefill: Speed
  /// Generation, one token at a time: one sample a token; nil for encoders.
  public var decode: Speed?
  /// Seconds from opening the packed artifact to the first predicted token, with files in the page cache: median.
  public var timeToFirstToken: Double?
  /// The same once, with the file out of the page cache before; nil where the system does not let it go, or was not asked to.
  public var coldFirstToken: Double?
  /// Joules of the processor for one decoded token; nil where they cannot be read.
  public var energyPerToken: Double?
  /// The bytes that as many threads can read in a second; nil where that was not measured.
  public var readBandwidth: Double?
  /// The bytes of weights that one decoded token reads; nil for encoders.
  public var bytesPerToken: Int?
  /// The largest resident memory while this was measured, in bytes.
  public var peakMemory: Int?
  /// Whether ``peakMemory`` is that of this measurement alone, or of the whole process so far.
  public var isPeakOfStage: Bool
  /// The number of threads.
  public var threads: Int
  /// Speeds with other numbers of threads, ascending.
  public var sweep: [ThreadSpeed] = []
  /// What leaving zeros out gains; nil for models that have no such matrices, or where kernels for them would not be faster.
  public var wholeRows: WholeRows?

  /// Speeds with each number of threads, this one's among them, ascending.
  public var byThreads: [ThreadSpeed] {
    let own = ThreadSpeed(threads: threads, prefill: prefill, decode: decode, readBandwidth: readBandwidth)
    return (sweep + [own]).sorted { $0.threads < $1.threads }
  }

  /// ``readFraction`` of a number of threads.
  public func readFraction(of speed: ThreadSpeed) -> Double? {
    guard let bytesPerToken, let decode = speed.decode, let most = speed.readBandwidth, most > 0 else {
      return nil
    }
    return Double(bytesPerToken) * decode.rate / most
  }

  /// The bytes of weights that decoding reads in a second, as a part of what can be read; nil where either is unknown.
  public var readFraction: Double? {
    readFraction(
      of: ThreadSpeed(threads: threads, prefill: prefill, decode: decode, readBandwidth: readBandwidth))
  }

  /// Metrics of these parts.
  public init(
    prefill: Speed, decode: Speed?, timeToFirstToken: Double?, bytesPerToken: Int?, peakMemory: Int?,
    isPeakOfStage: Bool, threads: Int
  ) {
    self.prefill = prefill
    self.decode = decode
    self.timeToFirstToken = timeToFirstToken
    self.bytesPerToken = bytesPerToken
    self.peakMemory = peakMemory
    self.isPeakOfStage = isPeakOfStage
    self.threads = threads
  }
}
