import TensorCore
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What a machine does at most: bytes read in a second, multiplications and additions in a second.
public struct MachineLimits: Sendable, Equatable {
  /// A rate that was measured some times.
  public struct Rate: Sendable, Equatable {
    /// The median of the runs.
    public var median: Double
    /// The slowest and the fastest run.
    public var least: Double
    public var most: Double
    /// The number of runs.
    public var runs: Int

    /// The summary of `samples`.
    ///
    /// - Precondition: at least one sample.
    public init(_ samples: [Double]) {
      median = Statistics.median(samples)
      least = samples.min() ?? 0
      most = samples.max() ?? 0
      runs = samples.count
    }

    /// How far fastest and slowest are apart, as a part of the median.
    public var spread: Double { median > 0 ? (most - least) / median : 0 }
  }

  /// What a buffer that is read over and over stays in.
  public enum Level: String, Sendable, CaseIterable {
    case l2 = "L2"
    case l3 = "L3"
    case memory = "memory"
  }

  /// Reading from one level of the memory.
  public struct Reading: Sendable, Equatable {
    /// The level that the bytes lie in.
    public var level: Level
    /// The number of threads, each with its own part.
    public var threads: Int
    /// The bytes of all threads' parts.
    public var bytes: Int
    /// Bytes a second, all threads together.
    public var rate: Rate
  }

  /// Multiplying and adding.
  public struct Arithmetic: Sendable, Equatable {
    /// "f32", "bf16" or "int8".
    public var kind: String
    /// The instructions that were used; nil where the processor has none, so that there is no rate.
    public var instructions: String?
    /// The number of threads.
    public var threads: Int
    /// Operations a second, a multiplication and an addition being two, all threads together.
    public var rate: Rate?
  }

  /// Reading, for each level and number of threads.
  public var reading: [Reading]
  /// Arithmetic, for each kind, on one thread and on all.
  public var arithmetic: [Arithmetic]

  /// Limits of these parts.
  public init(reading: [Reading], arithmetic: [Arithmetic]) {
    self.reading = reading
    self.arithmetic = arithmetic
  }

  /// The fastest read from memory that was seen on `threads` threads: the limit that decoding is held against.
  public func readBandwidth(threads: Int) -> Double? {
    reading.first { $0.level == .memory && $0.threads == threads }?.rate.most
  }
}

/// Measures ``MachineLimits``. All of it takes some seconds.
public struct MachineProbe: Sendable {
  /// The runs of each figure.
  public var runs = 7
  /// The seconds that one run of arithmetic, or of reading from a cache, takes, about.
  public var seconds = 0.02
  /// The bytes that are read from memory in one run; nil for eight times the last cache, 256 MiB or more, an eighth of memory
  /// or less.
  public var memoryBytes: Int?
  /// The clock.
  public var clock = Stopwatch.system

  /// The default measurement.
  public init() {}

  /// 1, 2, 4 … and `most` itself.
  public static func threadCounts(upTo most: Int) -> [Int] {
    var counts = Array(sequence(first: 1) { $0 * 2 }.prefix { $0 < most })
    counts.append(max(1, most))
    return counts
  }

  /// Measures everything, on 1, 2, 4 … up to the threads that ``Parallel/threadCount`` allows.
  public func measure() -> MachineLimits {
    let most = Parallel.threadCount
    let counts = MachineProbe.threadCounts(upTo: most)
    defer { Parallel.threadCount = most }
    var reading: [MachineLimits.Reading] = []
    let buffer = PatternBuffer(count: memorySize)
    for level in MachineLimits.Level.allCases {
      for threads in counts {
        guard let bytes = partSize(level, threads: threads) else { continue }
        let rate = readRate(buffer, bytes: bytes, repeated: level != .memory, threads: threads)
        reading.append(.init(level: level, threads: threads, bytes: bytes * threads, rate: rate))
      }
    }
    let arithmetic = MachineKernels.Arithmetic.allCases.flatMap { kind in
      (most > 1 ? [1, most] : [1]).map { arithmeticRate(kind, threads: $0) }
    }
    return MachineLimits(reading: reading, arithmetic: arithmetic)
  }

  /// Reading from memory on `threads` threads alone.
  public func memoryReading(threads: Int) -> MachineLimits.Reading {
    let most = Parallel.threadCount
    defer { Parallel.threadCount = most }
    Parallel.threadCount = threads
    let part = memorySize / threads / 4096 * 4096
    let rate = readRate(PatternBuffer(count: memorySize), bytes: part, repeated: false, threads: threads)
    return .init(level: .memory, threads: threads, bytes: part * threads, rate: rate)
  }

  /// The bytes that `threads`, or as many as `metrics` were taken on, can read in a second: the fastest of the runs. Nil where a token
  /// reads so little that the caches may hold it, and for encoders.
  public static func bandwidth(for metrics: LatencyMetrics, threads: Int? = nil) -> Double? {
    guard let bytes = metrics.bytesPerToken, bytes > 2 * max(16 << 20, cacheSize(.l3) ?? 0) else {
      return nil
    }
    return MachineProbe().memoryReading(threads: threads ?? metrics.threads).rate.most
  }

  // MARK: Reading

  private var memorySize: Int {
    if let memoryBytes { return max(1 << 20, memoryBytes / 4096 * 4096) }
    let memory = Machine.current().memory ?? 2 << 30
    let wanted = max(256 << 20, 8 * (MachineProbe.cacheSize(.l3) ?? 0))
    return max(16 << 20, min(wanted, 1 << 30, memory / 8)) / 4096 * 4096
  }

  /// The bytes of a cache, as the system tells; nil where it does not. The last cache is shared, the second is one core's.
  ///
  /// Linux's files tell what this processor shares; the C library's answer may be that of a whole socket, so it comes second.
  static func cacheSize(_ level: MachineLimits.Level) -> Int? {
    let number = level == .l2 ? "2" : "3"
    for index in 0..<8 {
      let folder = "/sys/devices/system/cpu/cpu0/cache/index\(index)/"
      guard let found = SystemFile.contents(folder + "level"), found.hasPrefix(number) else { continue }
      return SystemFile.contents(folder + "size").flatMap(MachineProbe.size(ofText:))
    }
    #if canImport(Glibc)
      let size = sysconf(Int32(level == .l2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE))
      return size > 0 ? size : nil
    #else
      return nil
    #endif
  }

  /// "1024K" or "32M" as bytes.
  package static func size(ofText text: String) -> Int? {
    let digits = text.prefix { $0.isNumber }
    guard let number = Int(digits), number > 0, number < 1 << 40 else { return nil }
    switch text.dropFirst(digits.count).first {
    case "K": return number << 10
    case "M": return number << 20
    case "G": return number << 30
    default: return number
    }
  }

  /// The bytes that each thread reads from a level: half of its second cache; half of the third's that is shared, where that is
  /// well beyond the second.
  private func partSize(_ level: MachineLimits.Level, threads: Int) -> Int? {
    if level == .memory { return memorySize / threads / 4096 * 4096 }
    guard let second = MachineProbe.cacheSize(.l2) else { return nil }
    if level == .l2 { return second / 2 * threads <= memorySize ? second / 2 / 4096 * 4096 : nil }
    guard let third = MachineProbe.cacheSize(.l3) else { return nil }
    let part = third / 2 / threads / 4096 * 4096
    return part >= 2 * second && part * threads <= memorySize ? part : nil
  }

  /// Bytes a second: each thread reads `bytes` of its own, once, or over and over for ``seconds``.
  private func readRate(_ buffer: PatternBuffer, bytes: Int, repeated: Bool, threads: Int)
    -> MachineLimits.Rate
  {
    Parallel.threadCount = threads
    let estimate = 20e9  // bytes a second; what a run takes need not be exact
    let repeats = repeated ? max(4, Int(seconds * estimate / Double(bytes))) : 1
    let sum = Locked<UInt64>(0)
    func once() -> Double {
      clock.time {
        Parallel.forEach(threads) { thread in
          let part = buffer.part(thread * bytes..<(thread + 1) * bytes)
          var total: UInt64 = 0
          for _ in 0..<repeats { total &+= MachineKernels.read(part) }
          sum.withLock { $0 &+= total }
        }
      }
    }
    _ = once()
    return MachineLimits.Rate(
      (0..<max(1, runs)).map { _ in Double(bytes * threads * repeats) / max(once(), 1e-9) })
  }

  // MARK: Arithmetic

  private func arithmeticRate(_ kind: MachineKernels.Arithmetic, threads: Int) -> MachineLimits.Arithmetic {
    let name = "\(kind)"
    guard let instructions = MachineKernels.instructions(kind) else {
      return .init(kind: name, instructions: nil, threads: threads, rate: nil)
    }
    Parallel.threadCount = threads
    func once(_ rounds: Int) -> Double {
      clock.time { Parallel.forEach(threads) { _ in MachineKernels.multiply(kind, by: 1, rounds: rounds) } }
    }
    let trial = once(100_000)
    let rounds = max(1000, min(1_000_000_000, Int(seconds / max(trial, 1e-6) * 100_000)))
    let rates = (0..<max(1, runs)).map { _ in
      MachineKernels.operations(kind) * Double(rounds * threads) / max(once(rounds), 1e-9)
    }
    return .init(kind: name, instructions: instructions, threads: threads, rate: .init(rates))
  }
}

/// Memory that holds some numbers, in large pages where the system has them.
private final class PatternBuffer: @unchecked Sendable {
  private let bytes: UnsafeMutableRawBufferPointer

  init(count: Int) {
    bytes = .allocate(byteCount: count, alignment: 1 << 21)
    #if canImport(Glibc)
      madvise(bytes.baseAddress, bytes.count, Int32(MADV_HUGEPAGE))
    #endif
    let pieces = (count + (1 << 20) - 1) >> 20
    Parallel.forEach(pieces) { piece in
      for place in stride(from: piece << 20, to: min(count, (piece + 1) << 20) - 7, by: 8) {
        self.bytes.storeBytes(of: UInt64(truncatingIfNeeded: place), toByteOffset: place, as: UInt64.self)
      }
    }
  }

  deinit { bytes.deallocate() }

  func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
}
