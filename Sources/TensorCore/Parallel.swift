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
    set { storage.withLock { $0 = min(max(1, newValue), mostThreads) } }
  }

  /// More threads than this are never used: OpenBLAS has buffers for that many callers at once.
  static let mostThreads = 128

  private static let storage = Locked(availableProcessors())

  /// Calls `body` once for each index below `count`, on up to ``threadCount`` threads, and waits.
  ///
  /// A loop inside the body of another runs on that body's thread alone, as does one that begins while another caller's
  /// loop has the threads: nobody waits for threads that are all waiting.
  public static func forEach(_ count: Int, _ body: @Sendable (Int) -> Void) {
    forEach(count, inStretches: false, body)
  }

  /// The same; in stretches, each thread begins with neighbours, whose memory it reads as one stream.
  private static func forEach(_ count: Int, inStretches: Bool, _ body: @Sendable (Int) -> Void) {
    let threads = min(threadCount, count)
    guard threads > 1, !isInside else {
      for index in 0..<count { body(index) }
      return
    }
    isInside = true
    defer { isInside = false }
    if !WorkerPool.shared.run(count, threads: threads, inStretches: inStretches, body) {
      for index in 0..<count { body(index) }
    }
  }

  /// Like ``forEach(_:_:)``, but on this thread alone where the whole loop is so little work that waking others costs more
  /// than it saves.
  ///
  /// - Parameters:
  ///   - work: the multiplications of the whole loop, about.
  ///   - inStretches: whether each thread begins with a stretch of neighbours, which lie side by side in memory; else indices are
  ///     handed out in order.
  public static func forEach(
    _ count: Int, work: Int, inStretches: Bool = false, _ body: @Sendable (Int) -> Void
  ) {
    if work < serialWork {
      for index in 0..<count { body(index) }
    } else {
      forEach(count, inStretches: inStretches, body)
    }
  }

  /// The multiplications that one thread does in the time that waking others takes.
  private static let serialWork = 128 * 1024

  /// Whether the calling thread runs a loop's body.
  static var isInside: Bool {
    get { pthread_getspecific(insideKey) != nil }
    set { pthread_setspecific(insideKey, newValue ? UnsafeRawPointer(bitPattern: 1) : nil) }
  }

  private static let insideKey = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

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
    return min(max(1, online), mostThreads)
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
