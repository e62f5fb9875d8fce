#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Memory that one caller reuses from one step to the next: quantized activations, parts of results. It grows as needed, by a half at
/// least, so that needs which grow step by step seldom ask for memory.
public final class ActivationScratch: @unchecked Sendable {
  private var memory: UnsafeMutableRawPointer?
  private var capacity = 0

  /// No memory yet.
  public init() {}

  /// At least `count` bytes, aligned to 64; what was there before is gone.
  package func reserve(_ count: Int) -> UnsafeMutableRawPointer {
    if let memory, capacity >= count { return memory }
    let wanted = max(count, capacity + capacity / 2)
    if let memory { ReusedMemory.give(back: memory, capacity) }
    let fresh = ReusedMemory.take(wanted)
    (memory, capacity) = (fresh, wanted)
    return fresh
  }

  deinit { if let memory { ReusedMemory.give(back: memory, capacity) } }
}

/// Scratch memory of the calling thread, for one kernel at a time; it is kept until the thread ends.
enum ThreadScratch {
  /// At least `count` bytes, aligned to 64, until the thread's next call.
  static func reserve(_ count: Int) -> UnsafeMutableRawPointer {
    if let held = pthread_getspecific(key) {
      return Unmanaged<ActivationScratch>.fromOpaque(held).takeUnretainedValue().reserve(count)
    }
    let scratch = ActivationScratch()
    pthread_setspecific(key, Unmanaged.passRetained(scratch).toOpaque())
    return scratch.reserve(count)
  }

  private static let key = {
    var key = pthread_key_t()
    #if canImport(Glibc)
      pthread_key_create(&key) { held in
        guard let held else { return }
        Unmanaged<ActivationScratch>.fromOpaque(held).release()
      }
    #else
      pthread_key_create(&key) { held in Unmanaged<ActivationScratch>.fromOpaque(held).release() }
    #endif
    return key
  }()
}
