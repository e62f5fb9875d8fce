import Dispatch
import Synchronization
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Loops over threads, for work whose pieces write to different memory.
///
/// Results never depend on the number of threads: the caller cuts the work into the same pieces whatever that number is.
public enum Parallel {
  /// The number of threads to use; the machine's processors unless told otherwise.
  public static var threadCount: Int {
    get { storage.withLock { $0 } }
    set { storage.withLock { $0 = max(1, newValue) } }
  }

  private static let storage = Locked(availableProcessors())

  /// Calls `body` once for each index below `count`, on up to ``threadCount`` threads, and waits.
  public static func forEach(_ count: Int, _ body: @Sendable (Int) -> Void) {
    let threads = min(threadCount, count)
    guard threads > 1 else {
      for index in 0..<count { body(index) }
      return
    }
    let next = Counter()
    DispatchQueue.concurrentPerform(iterations: threads) { _ in
      while let index = next.take(below: count) { body(index) }
    }
  }

  /// Like ``forEach(_:_:)`` for a body that can fail: the error of the lowest failing index is thrown.
  public static func forEachThrowing(_ count: Int, _ body: @Sendable (Int) throws -> Void) throws {
    let failure = Locked<(index: Int, error: any Error)?>(nil)
    forEach(count) { index in
      do { try body(index) } catch {
        failure.withLock { if $0 == nil || index < $0.unsafelyUnwrapped.index { $0 = (index, error) } }
      }
    }
    if let failed = failure.withLock({ $0 }) { throw failed.error }
  }

  private static func availableProcessors() -> Int {
    let online = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    return max(1, online)
  }
}

/// A value behind a mutex, shared by reference.
public final class Locked<Value>: Sendable {
  private let mutex: Mutex<Value>

  /// Holds `value`.
  public init(_ value: sending Value) { mutex = Mutex(value) }

  /// Runs `body` alone with the value.
  public func withLock<Result>(_ body: (inout sending Value) throws -> sending Result) rethrows
    -> sending Result
  {
    try mutex.withLock(body)
  }
}

private final class Counter: Sendable {
  private let next = Atomic<Int>(0)
  func take(below count: Int) -> Int? {
    let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
    return index < count ? index : nil
  }
}
