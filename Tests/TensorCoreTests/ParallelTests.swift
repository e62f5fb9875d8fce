import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

@Suite struct ParallelTests {
  @Test func everyIndexOnce() {
    let counts = Locked([Int](repeating: 0, count: 1000))
    Parallel.forEach(1000) { index in counts.withLock { $0[index] += 1 } }
    #expect(counts.withLock { $0 }.allSatisfy { $0 == 1 })
  }

  @Test func everyIndexOnceInStretches() {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    for threads in [1, 2, 3, 7] {
      Parallel.threadCount = threads
      for count in [0, 1, 2, 5, 8, 1001] {
        let counts = Locked([Int](repeating: 0, count: count))
        Parallel.forEach(count, work: .max, inStretches: true) { index in
          counts.withLock { $0[index] += 1 }
        }
        #expect(counts.withLock { $0 }.allSatisfy { $0 == 1 })
      }
    }
  }

  @Test func nestedLoopsStayOnTheirThread() {
    let strangers = Locked(0)
    let done = Locked(0)
    Parallel.forEach(32) { _ in
      let outer = pthread_self()
      Parallel.forEach(100) { _ in
        if pthread_equal(pthread_self(), outer) == 0 { strangers.withLock { $0 += 1 } }
        done.withLock { $0 += 1 }
      }
    }
    #expect(done.withLock { $0 } == 3200)
    #expect(strangers.withLock { $0 } == 0)
  }

  @Test func loopsFromManyTasksAllEnd() async {
    let total = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<64 {
        group.addTask {
          let sum = Locked(0)
          Parallel.forEach(50) { index in
            Parallel.forEach(3) { _ in sum.withLock { $0 += index } }
          }
          return sum.withLock { $0 }
        }
      }
      return await group.reduce(0, +)
    }
    #expect(total == 64 * 3 * 1225)
  }

  /// Callers share the threads while their number changes: nobody waits forever, nothing is done twice.
  @Test func shortLoopsOfManyCallersAllEnd() async {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let total = await withTaskGroup(of: Int.self) { group in
      for caller in 0..<8 {
        group.addTask {
          var total = 0
          for round in 0..<2000 {
            if round % 100 == 0 { Parallel.threadCount = 1 + (round / 100 + caller) % 5 }
            let sum = Locked(0)
            Parallel.forEach(7) { index in sum.withLock { $0 += index } }
            total += sum.withLock { $0 }
          }
          return total
        }
      }
      return await group.reduce(0, +)
    }
    #expect(total == 8 * 2000 * 21)
  }

  /// A loop sees what was written before it, and its caller what it wrote.
  @Test func loopsAfterPausesSeeEachOther() {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    Parallel.threadCount = 4
    var values = [Int](repeating: 0, count: 64)
    for round in 1...20 {
      values.withUnsafeMutableBufferPointer { buffer in
        nonisolated(unsafe) let buffer = buffer
        Parallel.forEach(64) { buffer[$0] += 1 }
      }
      #expect(values.allSatisfy { $0 == round })
      // Long enough for workers to fall asleep, now and then.
      if round % 5 == 0 { usleep(3000) }
    }
  }

  @Test func theLowestFailureIsThrown() {
    struct Failure: Error, Equatable { var index: Int }
    #expect(throws: Failure(index: 7)) {
      try Parallel.forEachThrowing(100) { index in if index % 10 == 7 { throw Failure(index: index) } }
    }
  }
}
