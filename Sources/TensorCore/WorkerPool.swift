internal import CKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Threads that stay between loops: a worker watches for the next loop for a moment, then sleeps until one comes.
///
/// One loop runs at a time. It offers places; whoever takes one works on it, and the caller waits for those only, so
/// a worker that wakes late costs nothing.
final class WorkerPool: @unchecked Sendable {
  static let shared = WorkerPool()

  /// How often a waiting thread looks before it sleeps: about 50 µs.
  private static let looks = 2000

  /// Whether a caller has the pool. What follows up to `next` belongs to that caller.
  private let isBusy = Atomic<Bool>(false)
  private var workers = 0
  private var body: ((Int) -> Void)?
  private var count = 0
  /// The stretches of indices that threads begin with: as many as threads, or one that all share.
  private var stretches = 1
  /// The next index of each stretch, each in a line of the cache of its own.
  private let next = UnsafeMutablePointer<Atomic<Int>>.allocate(
    capacity: Parallel.mostThreads * lineOfCounters)
  private static let lineOfCounters = 8
  /// The places that are still free.
  private let places = Atomic<Int>(0)
  /// The workers that took a place and have left it again.
  private let left = Atomic<Int>(0)

  private let workerDoor = Door()
  private let callerDoor = Door()

  private init() {
    for place in 0..<Parallel.mostThreads * Self.lineOfCounters { (next + place).initialize(to: Atomic(0)) }
  }

  /// Calls `body` for each index below `count` on up to `threads` threads, this one included, and waits for all.
  ///
  /// - Parameter inStretches: whether each thread begins with a stretch of neighbours, and takes of the others' when that is done;
  ///   else indices are handed out in order.
  /// - Returns: false, and nothing is done, while another caller has the pool.
  func run(_ count: Int, threads: Int, inStretches: Bool = false, _ body: (Int) -> Void) -> Bool {
    guard !isBusy.exchange(true, ordering: .acquiringAndReleasing) else { return false }
    defer { isBusy.store(false, ordering: .releasing) }
    grow(to: threads - 1)
    withoutActuallyEscaping(body) { body in
      self.body = body
      self.count = count
      stretches = inStretches ? threads : 1
      for stretch in 0..<stretches {
        next[stretch * Self.lineOfCounters].store(start(of: stretch), ordering: .relaxed)
      }
      left.store(0, ordering: .relaxed)
      let offered = threads - 1
      places.store(offered, ordering: .sequentiallyConsistent)
      workerDoor.open(for: offered)
      work(body, from: 0)
      let joined = offered - places.exchange(0, ordering: .sequentiallyConsistent)
      callerDoor.wait(looks: Self.looks) { left.load(ordering: .sequentiallyConsistent) == joined }
      self.body = nil
    }
    return true
  }

  private func start(of stretch: Int) -> Int { stretch * count / stretches }

  /// Works on what is left, beginning with the stretch of the thread's place.
  private func work(_ body: (Int) -> Void, from place: Int) {
    for turn in 0..<stretches {
      let stretch = (place + turn) % stretches
      let end = start(of: stretch + 1)
      while true {
        let index = next[stretch * Self.lineOfCounters].wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < end else { break }
        body(index)
      }
    }
  }

  // MARK: Workers

  private func grow(to wanted: Int) {
    while workers < wanted {
      // Without another thread the loop just runs on those that there are.
      guard startWorker() else { return }
      workers += 1
    }
  }

  private func startWorker() -> Bool {
    // Signals are for the threads that were here before.
    var (all, before) = (sigset_t(), sigset_t())
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    #if canImport(Glibc)
      var thread = pthread_t()
    #else
      var thread: pthread_t?
    #endif
    let status = pthread_create(
      &thread, nil,
      { _ in
        WorkerPool.shared.serve()
        return nil
      }, nil)
    guard status == 0 else { return false }
    #if canImport(Glibc)
      pthread_detach(thread)
    #else
      if let thread { pthread_detach(thread) }
    #endif
    return true
  }

  private func serve() {
    Parallel.isInside = true
    while true {
      workerDoor.wait(looks: Self.looks) { places.load(ordering: .sequentiallyConsistent) > 0 }
      guard let place = takePlace() else { continue }
      if let body { work(body, from: place) }
      left.wrappingAdd(1, ordering: .sequentiallyConsistent)
      callerDoor.open(for: 1)
    }
  }

  /// A place of the loop, from 1 on; 0 is the caller's.
  private func takePlace() -> Int? {
    var free = places.load(ordering: .relaxed)
    while free > 0 {
      let result = places.compareExchange(
        expected: free, desired: free - 1, ordering: .acquiringAndReleasing)
      if result.exchanged { return free }
      free = result.original
    }
    return nil
  }
}

/// Where threads wait until something is true that another thread makes true.
///
/// Who changes something calls ``open(for:)`` afterwards. Both the change and the condition use sequentially
/// consistent atomics: either the waiting thread sees the change, or who makes it sees the sleeper.
private final class Door: @unchecked Sendable {
  private let sleepers = Atomic<Int>(0)
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let signal = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(signal, nil)
  }

  /// Waits until `isTrue`: looks `looks` times, then sleeps.
  @inline(__always)
  func wait(looks: Int, until isTrue: () -> Bool) {
    for _ in 0..<looks {
      if isTrue() { return }
      ck_pause()
    }
    pthread_mutex_lock(mutex)
    sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
    while !isTrue() { pthread_cond_wait(signal, mutex) }
    sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
  }

  /// Wakes up to `count` sleepers.
  @inline(__always)
  func open(for count: Int) {
    let sleeping = sleepers.load(ordering: .sequentiallyConsistent)
    guard sleeping > 0 else { return }
    pthread_mutex_lock(mutex)
    if count < sleeping {
      for _ in 0..<count { pthread_cond_signal(signal) }
    } else {
      pthread_cond_broadcast(signal)
    }
    pthread_mutex_unlock(mutex)
  }
}
