#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A clock that only counts up; tests bring their own.
public struct Stopwatch: Sendable {
  /// Seconds since some fixed moment.
  public let now: @Sendable () -> Double

  /// A clock that reads `now`.
  public init(now: @escaping @Sendable () -> Double) { self.now = now }

  /// The system's monotonic clock.
  public static let system = Stopwatch {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// How long `body` takes, in seconds.
  public func time(_ body: () throws -> Void) rethrows -> Double {
    let start = now()
    try body()
    return now() - start
  }
}
